"""`resilient_transaction` on SQLite: one writer, so locks are conflicts; COMMIT is local, so never in doubt."""

# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from django.db import IntegrityError, connections, transaction
from warehouse.models import Account, Entry

from stalwart import resilient_transaction
from stalwart.events import TransactionReplayed
from stalwart.exceptions import ReplayMismatch, TransactionLost

pytestmark = pytest.mark.usefixtures("django_db")


@pytest.fixture
def other() -> Iterator[sqlite3.Connection]:
    """A second connection to the same file, in autocommit mode."""
    connections["lite"].ensure_connection()
    second = sqlite3.connect(connections["lite"].settings_dict["NAME"], isolation_level=None, timeout=1)
    yield second
    if second.in_transaction:
        second.execute("ROLLBACK")
    connections["lite"].close()
    second.execute("PRAGMA journal_mode = DELETE")
    second.close()


class Release:
    """Ends the other transaction at the first event that tells of a repeat."""

    def __init__(self, other: sqlite3.Connection) -> None:
        self.other = other

    def __call__(self, event: object) -> None:
        if self.other.in_transaction:
            self.other.execute("COMMIT")


@pytest.fixture
def release(other) -> Iterator[None]:
    from stalwart import events

    undo = events.subscribe(Release(other))
    yield
    undo()


def test_a_snapshot_that_is_too_old_is_replayed(other, seen) -> None:
    """BUSY_SNAPSHOT: what was read is unchanged, so the body does not notice; its keys and rows are right."""
    other.execute("PRAGMA journal_mode = WAL")
    Account.objects.using("lite").create(name="a", value=1)
    with resilient_transaction("lite"):
        assert Account.objects.using("lite").get(name="a").value == 1
        other.execute("INSERT INTO warehouse_entry (text) VALUES ('theirs')")
        entry = Entry.objects.using("lite").create(text="ours")
    assert Entry.objects.using("lite").get(text="ours").pk == entry.pk
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_a_snapshot_whose_rows_changed_is_a_mismatch(other) -> None:
    """Nothing is written, and the connection is fine afterwards."""
    other.execute("PRAGMA journal_mode = WAL")
    Account.objects.using("lite").create(name="a", value=1)
    with pytest.raises(ReplayMismatch), resilient_transaction("lite"):
        Account.objects.using("lite").get(name="a")
        other.execute("UPDATE warehouse_account SET value = 2")
        Entry.objects.using("lite").create(text="ours")
    assert Entry.objects.using("lite").count() == 0


def test_a_busy_writer_is_waited_for(other, release) -> None:
    """BUSY in the middle of the block: rolled back, replayed, done."""
    with resilient_transaction("lite"):
        Entry.objects.using("lite").count()
        other.execute("BEGIN IMMEDIATE")
        Entry.objects.using("lite").create(text="ours")
    assert Entry.objects.using("lite").count() == 1


def test_a_busy_commit_is_replayed_with_its_keys(other, release) -> None:
    """A reader holds the file at COMMIT; savepoints, a swallowed error and bulk inserts are in the block."""
    Account.objects.using("lite").create(name="a", value=1)
    hooks = []
    with resilient_transaction("lite"):
        rows = Entry.objects.using("lite").bulk_create([Entry(text="x"), Entry(text="y")])
        with pytest.raises(IntegrityError), transaction.atomic("lite"):
            Account.objects.using("lite").create(name="a")
        transaction.on_commit(lambda: hooks.append(1), using="lite")
        other.execute("BEGIN")
        other.execute("SELECT * FROM warehouse_account").fetchall()
    assert list(Entry.objects.using("lite").order_by("id").values_list("id", flat=True)) == [
        row.pk for row in rows
    ]
    assert hooks == [1]


def test_a_cursor_goes_on_in_the_replayed_transaction(other, release) -> None:
    """iterator() yields every row once, though the block is replayed in the middle of it."""
    Entry.objects.using("lite").bulk_create([Entry(text=str(number)) for number in range(8)])
    seen = []
    with resilient_transaction("lite"):
        for entry in Entry.objects.using("lite").order_by("id").iterator(chunk_size=3):
            seen.append(entry.text)
            if entry.text == "4":
                other.execute("BEGIN IMMEDIATE")
                Account.objects.using("lite").create(name="n")
    assert seen == [str(number) for number in range(8)]
    assert Account.objects.using("lite").count() == 1


def test_another_lastrowid_is_a_mismatch(other) -> None:
    """The body holds a key that is somebody else's by now."""
    other.execute("PRAGMA journal_mode = WAL")
    lite = connections["lite"]
    with pytest.raises(ReplayMismatch), resilient_transaction("lite"), lite.cursor() as cursor:
        cursor.execute("INSERT INTO warehouse_entry (text) VALUES ('ours')")
        assert cursor.lastrowid
        lite.connection.execute("ROLLBACK")  # the log does not see it: the other one may take the same key
        other.execute("INSERT INTO warehouse_entry (text) VALUES ('theirs')")
        lite.connection.execute("BEGIN")
        cursor.execute("SELECT * FROM warehouse_account")
        other.execute("INSERT INTO warehouse_entry (text) VALUES ('more')")
        cursor.execute("INSERT INTO warehouse_entry (text) VALUES ('late')")  # the snapshot is too old
    assert not Entry.objects.using("lite").filter(text="ours").exists()


def test_a_transaction_that_sqlite_gave_up_is_an_error(other) -> None:
    """An INSERT OR ROLLBACK ends the whole transaction; caught and forgotten, it is TransactionLost."""
    Account.objects.using("lite").create(name="a", value=1)
    with pytest.raises(TransactionLost), resilient_transaction("lite"):
        Entry.objects.using("lite").create(text="x")
        with connections["lite"].cursor() as cursor, pytest.raises(IntegrityError):
            cursor.execute("INSERT OR ROLLBACK INTO warehouse_account (name, value) VALUES ('a', 1)")
    assert Entry.objects.using("lite").count() == 0


def test_two_readers_that_both_want_to_write(other, release) -> None:
    """SQLite says BUSY at once, whatever the time-out: one must roll back, so that the other can commit. Ours does."""
    Account.objects.using("lite").create(name="a", value=1)
    with resilient_transaction("lite"):
        Account.objects.using("lite").count()
        other.execute("BEGIN")
        other.execute("SELECT * FROM warehouse_account").fetchall()
        other.execute("INSERT INTO warehouse_company (name) VALUES ('theirs')")
        Entry.objects.using("lite").create(text="ours")
    assert Entry.objects.using("lite").count() == 1
    assert other.execute("SELECT count(*) FROM warehouse_company").fetchone() == (1,)


def test_a_key_that_another_has_taken_meanwhile_is_a_mismatch(other) -> None:
    """A rolled back key is free again on SQLite: when somebody else has it by now, the body must not go on with it."""
    from stalwart import events

    def take_it(event: object) -> None:
        if other.in_transaction:
            other.execute("COMMIT")
            other.execute("INSERT INTO warehouse_entry (text) VALUES ('theirs')")

    undo = events.subscribe(take_it)
    try:
        with pytest.raises(ReplayMismatch), resilient_transaction("lite"):
            Entry.objects.using("lite").create(text="ours")
            other.execute("BEGIN")
            other.execute("SELECT * FROM warehouse_account").fetchall()
    finally:
        undo()
    assert list(Entry.objects.using("lite").values_list("text", flat=True)) == ["theirs"]
