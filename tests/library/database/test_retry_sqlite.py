"""`database_retry` on SQLite, whose COMMIT is local and so never in doubt."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections, transaction
from warehouse.models import Account, Entry

from stalwart import database_retry

pytestmark = pytest.mark.usefixtures("django_db")


@pytest.fixture
def other() -> Iterator[sqlite3.Connection]:
    """A second connection to the same file, in autocommit mode."""
    connections["lite"].ensure_connection()
    second = sqlite3.connect(connections["lite"].settings_dict["NAME"], isolation_level=None, timeout=1)
    yield second
    if second.in_transaction:
        second.execute("ROLLBACK")
    second.execute("PRAGMA journal_mode = DELETE")
    second.close()


def test_busy_writer_is_repeated(other) -> None:
    """SQLITE_BUSY after the driver's own time-out is repeated until the other writer is done."""
    other.execute("BEGIN IMMEDIATE")
    calls = []

    @database_retry(delay=0)
    def write() -> None:
        calls.append(1)
        if len(calls) == 2:
            other.execute("COMMIT")
        Entry.objects.using("lite").create(text="x")

    write()
    assert len(calls) == 2
    assert Entry.objects.using("lite").count() == 1


def test_busy_at_commit_is_definite_and_repeated(other) -> None:
    """A COMMIT that is refused because a reader holds the file was surely not done: repeated, one row."""
    other.execute("BEGIN")
    other.execute("SELECT * FROM warehouse_entry").fetchall()
    calls = []

    @database_retry(delay=0)
    def write() -> None:
        calls.append(1)
        if len(calls) == 2:
            other.execute("COMMIT")
        with transaction.atomic(using="lite"):
            Entry.objects.using("lite").create(text="x")

    write()
    assert len(calls) == 2
    assert Entry.objects.using("lite").count() == 1


def test_busy_snapshot_is_repeated_with_a_new_transaction(other) -> None:
    """SQLITE_BUSY_SNAPSHOT, which comes at once and ignores the time-out, is repeated and then sees the other's row."""
    other.execute("PRAGMA journal_mode = WAL")
    connections["lite"].close()
    calls, seen = [], []

    @database_retry(delay=0)
    def write() -> None:
        calls.append(1)
        with transaction.atomic(using="lite"):
            seen.append(Account.objects.using("lite").count())
            if len(calls) == 1:
                other.execute("INSERT INTO warehouse_account (name, value) VALUES ('other', 1)")
            Entry.objects.using("lite").create(text="x")

    write()
    connections["lite"].close()
    assert seen == [0, 1]
    assert Entry.objects.using("lite").count() == 1
    connections["lite"].close()


def test_read_only_file_is_not_repeated() -> None:
    """A read-only SQLite database stays one: one call."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with connections["lite"].cursor() as cursor:
            cursor.execute("PRAGMA query_only = on")
        Entry.objects.using("lite").create(text="x")

    with pytest.raises(OperationalError, match="readonly"):
        write()
    connections["lite"].close()
    assert len(calls) == 1
