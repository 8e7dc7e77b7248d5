# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""`lose_commit_reply` and `fail_on_commit_hook`: what naive code doubles or loses, and Stalwart does not."""

from __future__ import annotations

import pytest
from django.db import OperationalError, transaction
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart import database_retry, resilient_transaction
from stalwart.events import CommitResolved
from stalwart.exceptions import CommitOutcomeUnknown
from stalwart.testing import FaultDidNotBite, fail_on_commit_hook, lose_commit_reply, refuse_connections


def write() -> None:
    with transaction.atomic():
        Entry.objects.create(text="x")


@pytest.mark.parametrize("committed", [True, False])
def test_plain_django_cannot_tell(committed) -> None:
    """The same error without a code in both cases, and the row is there in one of them only."""
    with (
        pytest.raises(OperationalError, match="server closed the connection") as caught,
        lose_commit_reply(committed=committed) as fault,
    ):
        write()
    assert caught.value.__cause__.sqlstate is None
    assert fault.bites == 1
    assert Entry.objects.count() == int(committed)


def test_a_naive_retry_doubles_the_write() -> None:
    """What this fault is for: code that repeats whatever is an OperationalError has two rows."""
    with lose_commit_reply():
        try:
            write()
        except OperationalError:
            write()
    assert Entry.objects.count() == 2


@pytest.mark.parametrize("committed", [True, False])
def test_a_resilient_transaction_finds_out(seen, committed) -> None:
    """One row and one hook in both cases."""
    hooks = []
    with lose_commit_reply(committed=committed), resilient_transaction():
        Entry.objects.create(text="x")
        transaction.on_commit(lambda: hooks.append(1))
    assert (Entry.objects.count(), hooks) == (1, [1])
    assert [event.committed for event in seen if isinstance(event, CommitResolved)] == [committed]


@pytest.mark.parametrize("committed", [True, False])
def test_database_retry_finds_out(seen, committed) -> None:
    """One row in both cases; the function runs again only when its first transaction is not done."""
    with lose_commit_reply(committed=committed):
        database_retry(delay=0)(write)()
    assert Entry.objects.count() == 1
    assert [event.committed for event in seen if isinstance(event, CommitResolved)] == [committed]


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.2}})
def test_what_cannot_be_found_out_is_said() -> None:
    """The reply is lost, and so is the server: CommitOutcomeUnknown, and nothing is done again."""
    Entry.objects.count()
    with pytest.raises(CommitOutcomeUnknown), lose_commit_reply(), refuse_connections(end_sessions=False):
        database_retry(delay=0)(write)()
    assert Entry.objects.count() == 1


def test_twice_in_a_row() -> None:
    """The COMMIT of the replay is lost, too."""
    with lose_commit_reply(committed=False, times=2) as fault, resilient_transaction():
        Entry.objects.create(text="x")
    assert fault.bites == 2
    assert Entry.objects.count() == 1


def test_without_a_commit_nothing_bites() -> None:
    """A write in autocommit mode sends none; the error says what to use for it."""
    with pytest.raises(FaultDidNotBite, match="kill_connection_at"), lose_commit_reply():
        Entry.objects.create(text="x")


def test_a_rollback_is_no_commit() -> None:
    """A block that was rolled back sends none either."""
    with pytest.raises(FaultDidNotBite), lose_commit_reply(), transaction.atomic():
        Entry.objects.create(text="x")
        transaction.set_rollback(True)


def test_a_failing_hook_escapes_after_the_commit() -> None:
    """Plain Django: the error comes out of the block, and the row is there; a naive retry would write it again."""
    with pytest.raises(OperationalError) as caught, fail_on_commit_hook() as fault:
        write()
    assert caught.value.__cause__.sqlstate == "57P01"
    assert fault.bites == 1
    assert Entry.objects.count() == 1


def test_the_hook_of_the_code_is_the_one_that_fails() -> None:
    """The first that uses the database."""
    ran = []

    def hook() -> None:
        ran.append(1)
        Account.objects.count()
        ran.append(2)

    with pytest.raises(OperationalError), fail_on_commit_hook() as fault, transaction.atomic():
        Entry.objects.create(text="x")
        transaction.on_commit(hook)
    assert (ran, fault.bites) == ([1], 1)


@pytest.mark.parametrize("how", ["retry", "block", "function"])
def test_a_failing_hook_does_not_double_the_write(how) -> None:
    """Stalwart sees that it is committed, and hands the error on."""
    calls = []

    def counted() -> None:
        calls.append(1)
        Entry.objects.create(text="x")

    def block() -> None:
        with resilient_transaction():
            counted()

    run = {
        "retry": database_retry(delay=0)(transaction.atomic(counted)),
        "block": block,
        "function": resilient_transaction(counted),
    }[how]
    with pytest.raises(OperationalError), fail_on_commit_hook():
        run()
    assert (len(calls), Entry.objects.count()) == (1, 1)
