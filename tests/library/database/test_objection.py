"""What `resilient_operation` must not repeat when it stands around database work."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, connections, transaction
from warehouse.models import Account, Entry

from stalwart import database_retry, resilient_operation, resilient_transaction

pytestmark = pytest.mark.usefixtures("django_db")


def terminate_own_backend(postgres) -> None:
    connection.ensure_connection()
    assert connections["default"].connection.info.backend_pid in postgres.terminate_backends("library")


def decorated(function):
    calls = []

    @resilient_operation(max_retries=2, circuit_breaker=False, budget=False)
    def run() -> None:
        calls.append(1)
        function()

    return run, calls


def run_sql(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_write_whose_connection_was_lost_is_not_repeated(postgres) -> None:
    """The write may be done: one call, and the note names the way to have it repeated safely."""

    def write() -> None:
        terminate_own_backend(postgres)
        Entry.objects.create(text="x")

    run, calls = decorated(write)
    with pytest.raises(OperationalError) as caught:
        run()
    assert len(calls) == 1
    assert any("use database_retry" in note for note in caught.value.__notes__)


def test_a_failed_hook_is_not_repeated() -> None:
    """What an on_commit hook follows is committed: a repeat would write it again."""

    def write() -> None:
        with transaction.atomic():
            Entry.objects.create(text="x")
            transaction.on_commit(
                lambda: run_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")
            )

    run, calls = decorated(write)
    with pytest.raises(OperationalError):
        run()
    assert len(calls) == 1
    assert Entry.objects.count() == 1


def test_inside_a_transaction_it_is_not_repeated() -> None:
    """A deadlock has ended the caller's transaction: a repeat in it cannot succeed."""
    run, calls = decorated(
        lambda: run_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END $$")
    )
    with pytest.raises(OperationalError), transaction.atomic():
        run()
    assert len(calls) == 1


def test_reads_and_conflicts_are_repeated(postgres) -> None:
    """A lost read and a conflict in a transaction of its own are repeated as any failure is."""

    def read() -> None:
        if len(reads) == 1:
            terminate_own_backend(postgres)
        Account.objects.count()

    run, reads = decorated(read)
    with pytest.raises(OperationalError):
        run()
    assert (
        len(reads) == 3
    )  # plain Django keeps the dead connection; getting another one is database_retry's business

    def conflict() -> None:
        with transaction.atomic():
            Entry.objects.create(text="x")
            if len(conflicts) == 1:
                run_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    run, conflicts = decorated(conflict)
    connection.close()
    run()
    assert len(conflicts) == 2
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("write", [False, True])
def test_whoever_repeats_the_whole_transaction_still_does(postgres, write) -> None:
    """The layer inside cannot, and leaves it to the one outside, also when what was lost was a write."""

    def work() -> None:
        if len(inner) == 1:
            terminate_own_backend(postgres)
        if write:
            Entry.objects.create(text="x")
        else:
            Account.objects.count()

    run, inner = decorated(work)
    for around in (resilient_transaction(run), database_retry(transaction.atomic(run))):
        inner.clear()
        around()
        assert len(inner) == 2
    assert Entry.objects.count() == 2 * write
