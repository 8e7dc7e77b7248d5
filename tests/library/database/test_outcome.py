"""What a server says of a transaction whose COMMIT had no reply, and what of that is believed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import DataError, connections
from warehouse.models import Entry

from stalwart.database.outcome import Outcome, Ticket, incarnation, resolve
from stalwart.policies.deadline import Deadline

pytestmark = pytest.mark.usefixtures("django_db")

INSERT = "INSERT INTO warehouse_entry (text) VALUES ('x')"
ID = "SELECT pg_current_xact_id()::text::bigint"


def token() -> str:
    connections["default"].ensure_connection()
    return incarnation(connections["default"])


def asked(ticket: Ticket, seconds: float = 4.0) -> Outcome:
    connections["default"].ensure_connection()
    return resolve(connections["default"], ticket, Deadline.after(seconds), time.sleep)


def session(*, autocommit: bool = False) -> psycopg.Connection:
    """One of the application's own role, which may end its own sessions only."""
    params = connections["default"].get_connection_params()
    return psycopg.connect(
        **{name: params[name] for name in ("host", "port", "dbname", "user", "password") if name in params},
        autocommit=autocommit,
    )


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    """Somebody's session, in whose transaction a row was written."""
    somebody = session()
    somebody.execute(INSERT)
    yield somebody
    somebody.close()


@pytest.mark.parametrize(
    ("known", "end", "expected"),
    [
        (True, "commit", Outcome.COMMITTED),
        (True, "rollback", Outcome.ABORTED),
        (False, "commit", Outcome.UNKNOWN),
        (False, "rollback", Outcome.ABORTED),
    ],
)
def test_after_another_incarnation_only_an_abort_is_believed(other, known, end, expected) -> None:
    """An id can have been handed out again since; an aborted one was at least not ours committed."""
    [xid] = other.execute(ID).fetchone()
    getattr(other, end)()
    assert asked(Ticket(xid, other.info.backend_pid, token() if known else "another time")) is expected


@pytest.mark.parametrize("known", [True, False])
def test_an_id_that_was_not_handed_out_is_surely_not_committed(known) -> None:
    """The server calls it "in the future": a crash has thrown it away."""
    with connections["default"].cursor() as cursor:
        cursor.execute(ID)
        [xid] = cursor.fetchone()
    assert asked(Ticket(xid + 100_000, 1, token() if known else "another time")) is Outcome.ABORTED


def test_a_transaction_that_hangs_is_ended(other) -> None:
    """It is waited for a moment; then its session is ended, by its process and its id."""
    [xid] = other.execute(ID).fetchone()
    assert asked(Ticket(xid, other.info.backend_pid, token())) is Outcome.ABORTED
    with pytest.raises(psycopg.OperationalError):
        other.execute("SELECT 1")


def test_a_session_with_the_same_process_number_is_let_be(other) -> None:
    """When the transaction is another one than its id says, nothing is ended, and in the end nothing is known."""
    [xid] = other.execute(ID).fetchone()
    stranger = Ticket(xid, os.getpid(), token())
    assert asked(stranger, 0.6) is Outcome.UNKNOWN
    assert other.execute("SELECT 1").fetchone() == (1,)


def test_an_id_that_was_handed_out_again_after_a_crash_is_not_believed(postgres, poll) -> None:
    """The server crashed before it had written anything of ours to disk, gave our id to another one, and says "committed"."""

    def status(xid: int) -> str | None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_xact_status(%s::text::xid8)", [str(xid)])
            return cursor.fetchone()[0]

    def crash() -> bool:
        ours, victim = session(), session()
        [xid] = ours.execute(ID).fetchone()
        ticket = Ticket(xid, ours.info.backend_pid, token())
        connections["default"].close()
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        for each in (ours, victim):
            poll(lambda each=each: is_gone(each))
            each.close()
        postgres.wait_ready()
        for _ in range(100):
            try:
                said = status(xid)
            except DataError:  # still "in the future"
                assert asked(ticket) is Outcome.ABORTED
                Entry.objects.create(text="somebody else's")
            else:
                assert asked(ticket) is (Outcome.ABORTED if said == "aborted" else Outcome.UNKNOWN)
                return said == "committed"
        return False

    assert any(crash() for _ in range(5))  # the fault bites unless somebody has flushed the log in between


def is_gone(one: psycopg.Connection) -> bool:
    try:
        one.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False
