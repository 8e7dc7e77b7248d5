# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""Pitfalls of retried transactions that others have fallen into, each as a test of `resilient_transaction`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.db import OperationalError, connection
from warehouse.models import Company, Entry

from stalwart import resilient_transaction
from stalwart.database import mark_side_effect
from stalwart.events import TransactionReplayed
from stalwart.exceptions import CommitOutcomeUnknown

pytestmark = pytest.mark.usefixtures("django_db")


def terminate(postgres) -> None:
    connection.ensure_connection()
    assert connection.connection.info.backend_pid in postgres.terminate_backends("library")


def level() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_isolation')")
        return cursor.fetchone()[0]


@dataclass(frozen=True)
class FrozenError(Exception):
    """An exception that refuses notes, as any frozen dataclass does."""

    reason: str


def test_the_isolation_level_survives_a_health_check(postgres, monkeypatch) -> None:
    """Django gives a dead idle session up at BEGIN; the level must be that of the session that takes its place."""
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    with resilient_transaction():
        assert level() == "read committed"
    terminate(postgres)
    connection.health_check_enabled, connection.health_check_done = True, False
    with resilient_transaction(isolation="serializable"):
        assert level() == "serializable"


def test_an_exception_that_refuses_notes_is_raised_as_it_came(postgres) -> None:
    """A note is a courtesy: an exception without room for it still arrives, with and without a repeat."""

    @resilient_transaction
    def work() -> None:
        mark_side_effect("sent it")
        try:
            terminate(postgres)
            Entry.objects.create(text="x")
        except OperationalError as error:
            raise FrozenError("body") from error

    with pytest.raises(FrozenError):
        work()
    with pytest.raises(FrozenError), resilient_transaction():
        Entry.objects.create(text="x")
        postgres.kill()
        raise FrozenError("body")
    postgres.start()
    assert Entry.objects.count() == 0


def test_an_unknown_outcome_inside_a_group_is_not_repeated(postgres) -> None:
    """An exception group that holds CommitOutcomeUnknown beside a lost connection does not run the function again."""
    calls = []

    @resilient_transaction
    def work() -> None:
        calls.append(1)
        try:
            terminate(postgres)
            Entry.objects.create(text="x")
        except OperationalError as error:
            raise ExceptionGroup("several", [CommitOutcomeUnknown("other")]) from error

    with pytest.raises(ExceptionGroup):
        work()
    assert len(calls) == 1


def test_settings_of_the_transaction_are_not_taken_for_those_of_the_session(postgres, seen) -> None:
    """SET LOCAL of what the server reports by itself: the new session begins without, and the replay sets it again."""
    with resilient_transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = 'Asia/Tokyo'")
        Entry.objects.create(text="x")
        terminate(postgres)
        cursor.execute("SELECT current_setting('timezone')")
        assert cursor.fetchone() == ("Asia/Tokyo",)
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_rows_that_were_changed_in_the_body_are_compared_as_they_came(postgres, seen) -> None:
    """Values that can be changed (JSON, arrays), many rows and long ones: what the body does to them is not compared."""
    Company.objects.bulk_create([Company(name="n" * 40, country="de") for _ in range(20)])
    with resilient_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(name ORDER BY id), repeat('x', 1000) FROM warehouse_company")
        [(names, _)] = cursor.fetchall()
        names.clear()
        cursor.execute("INSERT INTO warehouse_entry (text) VALUES ('a') RETURNING text, ARRAY[text]")
        [(_, keys)] = cursor.fetchall()
        assert len(list(Company.objects.all())) == 20
        terminate(postgres)
        keys[:] = []
        Entry.objects.filter(text="a").update(text="b")
    assert Entry.objects.get().text == "b"
    assert [type(event) for event in seen].count(TransactionReplayed) == 1
