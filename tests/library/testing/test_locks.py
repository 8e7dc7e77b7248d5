# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""Deadlocks, serialization failures and locks that are not to be had: the server's own codes, and what is made of them."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.models import F
from warehouse.models import Account, Entry

from stalwart import database_retry, resilient_transaction
from stalwart.events import TransactionReplayed
from stalwart.exceptions import ConfigurationError
from stalwart.testing import (
    FaultDidNotBite,
    deadlock_with,
    kill_connection_at,
    lock_timeout_on,
    lose_commit_reply,
    opponent,
    serialization_failure_on,
)


@pytest.fixture(autouse=True)
def _accounts(_nothing_is_left) -> None:
    Account.objects.bulk_create([Account(name="a"), Account(name="b")])


def named(name: str):
    return Account.objects.filter(name=name)


def transfer() -> None:
    named("a").update(value=F("value") - 1)
    named("b").update(value=F("value") + 1)


def values() -> list[int]:
    return list(Account.objects.order_by("name").values_list("value", flat=True))


def test_plain_django_is_the_victim_of_the_deadlock() -> None:
    """The code under test, not the opponent, is ended by the server."""
    with (
        pytest.raises(OperationalError) as caught,
        deadlock_with(named("a"), named("b")) as fault,
        transaction.atomic(),
    ):
        transfer()
    assert caught.value.__cause__.sqlstate == "40P01"
    assert fault.bites == 1
    assert values() == [0, 0]


def test_a_resilient_transaction_survives_deadlocks(seen) -> None:
    """Two in a row, and money moves once."""
    with deadlock_with(named("a").get(), named("b").get(), times=2), resilient_transaction():
        transfer()
    assert values() == [-1, 1]
    assert [type(event) for event in seen].count(TransactionReplayed) == 2


def test_database_retry_survives_a_deadlock_in_one_statement() -> None:
    """SQL names what a queryset cannot; both rows are locked by a single statement of the code."""
    first, second = (f"SELECT 1 FROM warehouse_account WHERE name = '{name}' FOR UPDATE" for name in "ab")

    def both() -> None:
        with transaction.atomic():
            list(Account.objects.select_for_update().order_by("name"))
            transfer()

    with deadlock_with(first, second):
        database_retry(delay=0)(both)()
    assert values() == [-1, 1]


def test_the_right_order_does_not_deadlock() -> None:
    """Code that locks in the opponent's order waits at most: the fault does not bite, and the hint says what was looked for."""
    with (
        pytest.raises(FaultDidNotBite, match="Did the code lock `first`"),
        deadlock_with(named("b"), named("a")),
        transaction.atomic(),
    ):
        transfer()


def test_a_server_that_looks_for_deadlocks_too_soon_is_named(admin, monkeypatch) -> None:
    """The code's session has looked before the circle was closed; then the other one is ended, and the error says so."""
    monkeypatch.setattr(opponent, "_POLL", 0.3)
    admin.execute("ALTER DATABASE library SET deadlock_timeout = '1ms'")
    try:
        with (
            pytest.raises(FaultDidNotBite, match="deadlock_timeout"),
            deadlock_with(named("a"), named("b")),
            transaction.atomic(),
        ):
            transfer()
    finally:
        admin.execute("ALTER DATABASE library SET deadlock_timeout = '300ms'")
    assert values() == [-1, 1]


def test_a_serialization_failure_is_the_servers() -> None:
    """Plain Django under REPEATABLE READ gets 40001; Stalwart's block survives it."""
    with (
        pytest.raises(OperationalError) as caught,
        serialization_failure_on(named("a")),
        transaction.atomic(),
    ):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        transfer()
    assert caught.value.__cause__.sqlstate == "40001"
    with (
        serialization_failure_on(named("a"), times=2) as fault,
        resilient_transaction(isolation="repeatable read"),
    ):
        transfer()
    assert fault.bites == 2
    assert values() == [-1, 1]


def test_read_committed_has_no_serialization_failure() -> None:
    """The code goes on, and the error says why nothing was shown."""
    with (
        pytest.raises(FaultDidNotBite, match="READ COMMITTED"),
        serialization_failure_on(named("a")),
        transaction.atomic(),
    ):
        transfer()


def test_a_lock_is_not_to_be_had() -> None:
    """Plain Django gets 55P03; the sessions have their own lock_timeout again afterwards."""
    with pytest.raises(OperationalError) as caught, lock_timeout_on(named("b")), transaction.atomic():
        transfer()
    assert caught.value.__cause__.sqlstate == "55P03"
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


@pytest.mark.parametrize("times", [1, 2])
def test_the_lock_is_free_after_the_last_bite(times) -> None:
    """A retry gets it then. A block hands the error on: on PostgreSQL, a lock that is not to be had is an answer."""
    with lock_timeout_on(named("b"), times=times) as fault:
        database_retry(delay=0)(transaction.atomic(transfer))()
    assert fault.bites == times
    assert values() == [-1, 1]
    with pytest.raises(OperationalError), lock_timeout_on(named("b")), resilient_transaction():
        transfer()
    assert values() == [-1, 1]


def test_nowait_needs_no_timeout() -> None:
    """timeout=None leaves the session's settings alone, and may begin inside a transaction."""
    with pytest.raises(OperationalError) as caught, transaction.atomic():
        Entry.objects.create(text="x")
        with lock_timeout_on(named("a"), timeout=None):
            named("a").select_for_update(nowait=True).get()
    assert caught.value.__cause__.sqlstate == "55P03"


def test_rows_must_be_there() -> None:
    """No row, no lock: said at the beginning, not by a fault that does not bite."""
    with (
        pytest.raises(ConfigurationError, match=r"no row of warehouse\.Account"),
        lock_timeout_on(named("z")),
    ):
        pass
    with pytest.raises(ConfigurationError, match="no row"), deadlock_with(Account(name="new"), named("a")):
        pass
    with pytest.raises(ConfigurationError, match="cannot lock 5"), lock_timeout_on(5):
        pass
    with pytest.raises(ConfigurationError, match="timeout is 0"):
        lock_timeout_on(named("a"), timeout=0)


def test_sqlite_is_locked_as_well(seen) -> None:
    """Plain Django: "database is locked"; database_retry and the block get through once the lock is free."""
    Account.objects.using("lite").create(name="a")
    rows = Account.objects.using("lite").all()

    def write() -> None:
        Entry.objects.using("lite").create(text="x")

    with pytest.raises(OperationalError, match="locked"), lock_timeout_on(rows, timeout=0.01, using="lite"):
        write()
    with lock_timeout_on(rows, timeout=0.01, times=2, using="lite"):
        database_retry(delay=0)(write)()
    with lock_timeout_on(rows, timeout=0.01, times=2, using="lite") as fault, resilient_transaction("lite"):
        write()
    assert fault.bites == 2
    assert Entry.objects.using("lite").count() == 2
    with connections["lite"].cursor() as cursor:
        assert cursor.execute("PRAGMA busy_timeout").fetchone() == (100,)


@pytest.mark.parametrize("fault", [lambda: kill_connection_at(1, using="lite"), lambda: lose_commit_reply(using="lite"),
                                   lambda: deadlock_with("x", "y", using="lite")])  # fmt: skip
def test_sqlite_has_no_sessions(fault) -> None:
    """The other faults say so instead of testing nothing."""
    with pytest.raises(ConfigurationError, match="built for PostgreSQL"), fault():
        pass
