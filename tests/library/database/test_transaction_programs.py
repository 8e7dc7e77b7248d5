"""Random programs of statements, savepoints and faults: the database of the fault-free run, or an error and nothing written.

A program is run twice: through plain `atomic` without faults, and through a resilient block with them. The faults of
PostgreSQL strike at a statement by its number (also at savepoints, and between an error and its rollback), at COMMIT, and in
between the statements; on SQLite another connection holds the lock, or commits behind the snapshot. STALWART_EXAMPLES=2000 in
the environment runs so many programs, and other ones each time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import F
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from warehouse.models import Account, Entry

from stalwart import events, resilient_transaction
from stalwart.exceptions import ConfigurationError, ReplayMismatch
from stalwart.testing import FaultDidNotBite, kill_connection_at, lose_commit_reply

pytestmark = pytest.mark.usefixtures("django_db")

NAMES = ("a", "b", "c")
MORE = os.environ.get("STALWART_EXAMPLES")


class Aborted(Exception):
    """The body's own error."""


names = st.sampled_from(NAMES)
words = st.one_of(
    st.tuples(st.just("create"), names),
    st.tuples(st.just("unique"), names),
    st.tuples(st.just("get or create"), names),
    st.tuples(st.just("upsert"), names),
    st.tuples(st.just("bulk"), st.integers(1, 3)),
    st.tuples(st.just("returning"), st.integers(1, 2)),
    st.tuples(st.just("add"), names),
    st.tuples(st.just("lock"), names),
    st.tuples(st.just("read"), names),
    st.tuples(st.just("iterate"), st.integers(0, 3)),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("many"), st.integers(0, 2)),
    st.tuples(st.just("hook"), st.integers(0, 9)),
)


def programs(*faults: str) -> st.SearchStrategy[list[Any]]:
    """Programs in which these faults may strike between the statements."""
    statements = st.one_of(words, st.tuples(st.just("fault"), st.sampled_from(faults)))
    nested = st.sampled_from(["savepoint", "undone savepoint", "swallowed savepoint"])
    return st.recursive(
        st.lists(statements, max_size=5),
        lambda inner: st.lists(st.one_of(statements, st.tuples(nested, inner)), max_size=5),
        max_leaves=4,
    )


# Number of the statement, whether its reply is lost or itself; at COMMIT: whether it is done.
strikes = st.lists(
    st.one_of(
        st.tuples(st.just("statement"), st.integers(1, 14), st.booleans()),
        st.tuples(st.just("commit"), st.just(0), st.booleans()),
    ),
    max_size=2,
    unique_by=lambda strike: strike[:2],
)


class Run:
    """One run of a program: with faults through the resilient block, or without through plain `atomic`.

    What the program sees decides what it writes, as in a real one: every value read goes into the text of the next row.
    """

    def __init__(self, using: str, *, faults: dict[str, Any] | None = None) -> None:
        self.using = using
        self.connection = connections[using]
        self.accounts, self.entries = Account.objects.using(using), Entry.objects.using(using)
        self.faults = faults or {}
        self.hooks: list[int] = []
        self.seen: list[Any] = []
        self.rows: dict[int, str] = {}

    def text(self) -> str:
        return f"{len(self.seen)}:{sum(hash(str(each)) % 1000 for each in self.seen)}"

    def all(self, program: list[Any]) -> None:
        for word, value in program:
            getattr(self, word.replace(" ", "_"))(value)

    def saved(self, *entries: Entry) -> None:
        assert not self.rows.keys() & {entry.pk for entry in entries}
        self.rows.update({entry.pk: entry.text for entry in entries})

    def create(self, name: str) -> None:
        self.saved(self.entries.create(text=f"{name}{self.text()}"))

    def bulk(self, count: int) -> None:
        self.saved(*self.entries.bulk_create([Entry(text=self.text()) for _ in range(count)]))

    def returning(self, count: int) -> None:
        values = ", ".join(["(%s)"] * count)
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO warehouse_entry (text) VALUES {values} RETURNING id, text",
                [self.text()] * count,
            )
            self.saved(*(Entry(pk=key, text=text) for key, text in cursor.fetchall()))

    def unique(self, name: str) -> None:
        with contextlib.suppress(IntegrityError), transaction.atomic(self.using):
            self.seen.append(name)
            self.accounts.create(name=name, value=len(self.seen))

    def get_or_create(self, name: str) -> None:
        account, made = self.accounts.get_or_create(name=name, defaults={"value": len(self.seen)})
        self.seen.append((account.value, made))

    def upsert(self, name: str) -> None:
        self.accounts.bulk_create(
            [Account(name=name, value=len(self.seen))],
            update_conflicts=True, unique_fields=["name"], update_fields=["value"],
        )  # fmt: skip

    def add(self, name: str) -> None:
        self.seen.append(self.accounts.filter(name=name).update(value=F("value") + 1))

    def lock(self, name: str) -> None:
        account = self.accounts.select_for_update().filter(name=name).first()
        if account is not None:
            account.value += len(self.seen)
            account.save()

    def read(self, name: str) -> None:
        self.seen.append(list(self.accounts.filter(name=name).values_list("value")))

    def iterate(self, stop: int) -> None:
        for number, text in enumerate(self.entries.order_by("id").values_list("text", flat=True).iterator(2)):
            self.seen.append(text)
            if number == stop and self.faults:
                self.fault(next(iter(self.faults)))

    def delete(self, name: str) -> None:
        self.seen.append(self.entries.filter(text__startswith=name).delete()[0])

    def many(self, count: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", [("m",)] * count)

    def hook(self, number: int) -> None:
        transaction.on_commit(lambda: self.hooks.append(number), using=self.using)

    def savepoint(self, inner: list[Any]) -> None:
        with transaction.atomic(self.using):
            self.all(inner)

    def undone_savepoint(self, inner: list[Any]) -> None:
        before = dict(self.rows)
        with contextlib.suppress(Aborted), transaction.atomic(self.using):
            self.all(inner)
            raise Aborted
        self.rows = before

    def swallowed_savepoint(self, inner: list[Any]) -> None:
        before = dict(self.rows)
        with contextlib.suppress(IntegrityError), transaction.atomic(self.using):
            self.all(inner)
            self.accounts.create(name="twice")
            self.accounts.create(name="twice")
        self.rows = before

    def fault(self, kind: str) -> None:
        if kind in self.faults:
            self.faults[kind]()


def empty(using: str) -> None:
    Entry.objects.using(using).all().delete()
    Account.objects.using(using).all().delete()
    Account.objects.using(using).create(name="a", value=5)
    Entry.objects.using(using).create(text="zero")


def contents(using: str) -> tuple[list[Any], list[Any]]:
    return (
        list(
            Account.objects.using(using).exclude(name="other").order_by("name").values_list("name", "value")
        ),
        # Sorted: a row whose key nobody has seen gets another one in a replay.
        sorted(Entry.objects.using(using).values_list("text", flat=True)),
    )


def compare(using: str, program: list[Any], faults: dict[str, Any], struck: Any, *, changed: bool) -> None:
    """Both runs. `struck`: what else happens around the second one. `changed`: others write, so a mismatch is in order."""
    empty(using)
    plain = Run(using)
    with transaction.atomic(using):
        plain.all(program)
    expected = contents(using)

    empty(using)
    before = contents(using)
    run = Run(using, faults=faults)
    try:
        with struck, resilient_transaction(using, max_retries=30):
            run.all(program)
            if changed:
                run.fault("another writes")
    except ReplayMismatch:
        connections[using].close()
        assert changed, "nobody else has written"
        assert contents(using) == before
        assert run.hooks == []
        return
    connections[
        using
    ].close()  # a fault behind the last statement of a block that did nothing is nobody's loss
    assert contents(using) == expected
    assert run.hooks == plain.hooks
    assert run.seen == plain.seen
    # The keys that the body holds are those of its rows.
    there = dict(Entry.objects.using(using).exclude(text__in=["zero", "m"]).values_list("pk", "text"))
    assert there.items() <= run.rows.items()


@contextlib.contextmanager
def striking(strikes: list[tuple[str, int, bool]]) -> Iterator[None]:
    """Faults at statements and at COMMIT, those that the program never comes to left out."""
    with contextlib.ExitStack() as stack:
        for kind, number, done in strikes:
            stack.enter_context(contextlib.suppress(FaultDidNotBite))
            stack.enter_context(
                lose_commit_reply(committed=done, even_on="library")
                if kind == "commit"
                else kill_connection_at(number, when="after" if done else "before", even_on="library")
            )
        yield


def profile(examples: int) -> settings:
    return settings(
        max_examples=int(MORE) if MORE else examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        derandomize=not MORE,
        print_blob=True,
    )


@profile(60)
@given(program=programs("terminate", "close the socket"), strikes=strikes, changed=st.booleans())
def test_postgresql(postgres, program, strikes, changed) -> None:
    """Rows, hooks and what the body saw are those of plain atomic; with another writer in between, all or nothing."""
    connection = connections["default"]

    def terminate() -> None:
        if connection.connection is not None and not connection.connection.closed:
            with postgres.connect() as admin:  # this one alone: the other faults have sessions of their own
                admin.execute(
                    "SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid]
                )

    def close_the_socket() -> None:
        if connection.connection is not None and not connection.connection.closed:
            duplicate = socket.socket(fileno=os.dup(connection.connection.fileno()))
            with duplicate, contextlib.suppress(OSError):  # it may be gone already
                duplicate.shutdown(socket.SHUT_RDWR)

    def another_writes() -> None:
        with postgres.connect("library") as other:
            other.execute("SET lock_timeout = '50ms'")
            for sql in (
                "INSERT INTO warehouse_account (name, value) VALUES ('other', 1)",
                "UPDATE warehouse_account SET value = value + 0 WHERE name = 'b'",
                "DELETE FROM warehouse_account WHERE name = 'nobody'",
            ):
                with contextlib.suppress(Exception):
                    other.execute(sql)
        terminate()

    faults = {
        "terminate": terminate,
        "close the socket": close_the_socket,
        "another writes": another_writes,
    }
    try:
        compare("default", program, faults, striking(strikes), changed=changed)
    except ConfigurationError:
        reject()  # the reply to an executemany cannot be lost
    finally:
        connection.close()


@profile(60)
@given(program=programs("busy", "another commits"), changed=st.booleans())
def test_sqlite(program, changed) -> None:
    """The same where the faults are a lock that another connection holds for a moment, and a snapshot that is too old."""
    lite = connections["lite"]
    lite.ensure_connection()
    other = sqlite3.connect(lite.settings_dict["NAME"], isolation_level=None, timeout=0)
    other.execute("PRAGMA journal_mode = WAL")

    def busy() -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # the block has written: it holds the lock itself
            other.execute("BEGIN IMMEDIATE")

    def another_commits() -> None:
        with contextlib.suppress(sqlite3.Error):
            other.execute("UPDATE warehouse_company SET name = name")
            other.execute("INSERT INTO warehouse_company (name) VALUES ('c')")

    def another_writes() -> None:
        with contextlib.suppress(sqlite3.Error):
            other.execute("INSERT INTO warehouse_account (name, value) VALUES ('other', 1)")

    def release(_: object = None) -> None:
        if other.in_transaction:
            other.execute("ROLLBACK")

    undo = events.subscribe(release)  # the first repeat that is told of
    try:
        faults = {"busy": busy, "another commits": another_commits}
        if changed:
            faults["another writes"] = another_writes
        compare("lite", program, faults, contextlib.nullcontext(), changed=changed)
    finally:
        undo()
        release()
        lite.close()
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("DELETE FROM warehouse_company")
        other.close()
