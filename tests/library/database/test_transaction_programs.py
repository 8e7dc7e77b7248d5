"""Random programs of statements, savepoints and faults: the database of the fault-free run, or an error and nothing written."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warehouse.models import Account, Entry

from stalwart import resilient_transaction
from stalwart.exceptions import ReplayMismatch

pytestmark = pytest.mark.usefixtures("django_db")

NAMES = ("a", "b", "c")


class Aborted(Exception):
    """The body's own error."""


statements = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES)),
    st.tuples(st.just("unique"), st.sampled_from(NAMES)),
    st.tuples(st.just("bulk"), st.integers(1, 3)),
    st.tuples(st.just("add"), st.sampled_from(NAMES)),
    st.tuples(st.just("read"), st.sampled_from(NAMES)),
    st.tuples(st.just("iterate"), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("many"), st.integers(0, 2)),
    st.tuples(st.just("hook"), st.integers(0, 9)),
    st.tuples(st.just("fault"), st.just("terminate")),
    st.tuples(st.just("fault"), st.just("close the socket")),
)
programs = st.recursive(
    st.lists(statements, max_size=5),
    lambda inner: st.lists(
        st.one_of(statements, st.tuples(st.sampled_from(["savepoint", "undone savepoint"]), inner)),
        max_size=5,
    ),
    max_leaves=4,
)


class Run:
    """One run of a program: with faults through the resilient block, or without through plain `atomic`.

    What the program sees decides what it writes, as in a real one: every value read goes into the text of the next row.
    """

    def __init__(self, postgres: Any, *, faults: bool) -> None:
        self.postgres = postgres
        self.faults = faults
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
        self.saved(Entry.objects.create(text=f"{name}{self.text()}"))

    def bulk(self, count: int) -> None:
        self.saved(*Entry.objects.bulk_create([Entry(text=self.text()) for _ in range(count)]))

    def unique(self, name: str) -> None:
        with contextlib.suppress(IntegrityError), transaction.atomic():
            self.seen.append(name)
            Account.objects.create(name=name, value=len(self.seen))

    def add(self, name: str) -> None:
        self.seen.append(Account.objects.filter(name=name).update(value=F("value") + 1))

    def read(self, name: str) -> None:
        self.seen.append(list(Account.objects.filter(name=name).values_list("value")))

    def iterate(self, stop: int) -> None:
        for number, text in enumerate(
            Entry.objects.order_by("id").values_list("text", flat=True).iterator(2)
        ):
            self.seen.append(text)
            if number == stop:
                self.fault("terminate")

    def delete(self, name: str) -> None:
        self.seen.append(Entry.objects.filter(text__startswith=name).delete()[0])

    def many(self, count: int) -> None:
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", [("m",)] * count)

    def hook(self, number: int) -> None:
        transaction.on_commit(lambda: self.hooks.append(number))

    def savepoint(self, inner: list[Any]) -> None:
        with transaction.atomic():
            self.all(inner)

    def undone_savepoint(self, inner: list[Any]) -> None:
        with contextlib.suppress(Aborted), transaction.atomic():
            self.all(inner)
            raise Aborted

    def fault(self, kind: str) -> None:
        if not self.faults or connection.connection.closed:
            return
        if kind == "terminate":
            self.postgres.terminate_backends("library")
        else:
            duplicate = socket.socket(fileno=os.dup(connection.connection.fileno()))
            with duplicate, contextlib.suppress(OSError):  # it may be gone already
                duplicate.shutdown(socket.SHUT_RDWR)


def empty() -> None:
    Entry.objects.all().delete()
    Account.objects.all().delete()
    Account.objects.create(name="a", value=5)
    Entry.objects.create(text="zero")


def contents() -> tuple[list[Any], list[Any]]:
    return (
        list(Account.objects.order_by("name").values_list("name", "value")),
        # Sorted: a row whose key nobody has seen gets another one in a replay.
        sorted(Entry.objects.values_list("text", flat=True)),
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(program=programs, changed=st.booleans())
def test_programs_end_as_without_faults_or_with_nothing(postgres, program, changed) -> None:
    """All of rows, hooks and what the body saw are those of plain atomic; with another writer in between, all or nothing."""
    empty()
    plain = Run(postgres, faults=False)
    with transaction.atomic():
        plain.all(program)
    expected = contents()

    empty()
    before = contents()
    run = Run(postgres, faults=True)
    try:
        with resilient_transaction(max_retries=30):
            run.all(program)
            if changed:
                with postgres.connect("library") as other:
                    other.execute("SET lock_timeout = '50ms'")
                    with contextlib.suppress(Exception):
                        other.execute("UPDATE warehouse_account SET value = value WHERE name = 'nobody'")
                        other.execute("INSERT INTO warehouse_account (name, value) VALUES ('other', 1)")
                run.fault("terminate")
    except ReplayMismatch:
        connection.close()
        Account.objects.filter(name="other").delete()
        assert contents() == before
        assert run.hooks == []
        return
    connection.close()  # a fault behind the last statement of a block that did nothing is nobody's loss
    Account.objects.filter(name="other").delete()
    assert contents() == expected
    assert run.hooks == plain.hooks
    assert run.seen == plain.seen
    # The keys that the body holds are those of its rows.
    there = dict(Entry.objects.exclude(text__in=["zero", "m"]).values_list("pk", "text"))
    assert there.items() <= run.rows.items()
