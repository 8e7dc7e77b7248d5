# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""`with resilient_transaction()` under real faults: all or nothing, and the right result, at every statement boundary."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.models import F
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart import resilient_transaction
from stalwart.events import CommitResolved, TransactionReplayed
from stalwart.exceptions import CommitOutcomeUnknown
from workbench.servers.proxy import Proxy

pytestmark = pytest.mark.usefixtures("django_db")

# The cells of the matrix are those of the script that prints it.
_SCRIPT = Path(__file__).parents[3] / "benchmarks" / "boundary_kills.py"
_spec = importlib.util.spec_from_file_location("boundary_kills", _SCRIPT)
matrix = importlib.util.module_from_spec(_spec)
sys.modules["boundary_kills"] = matrix
_spec.loader.exec_module(matrix)

LAST = len(matrix.BOUNDARIES) - 1


@pytest.fixture(scope="module")
def shared_proxy(postgres) -> Iterator[Proxy]:
    with Proxy((postgres.host, postgres.port)) as running:
        yield running


@pytest.fixture
def proxy(shared_proxy, postgres) -> Iterator[Proxy]:
    """A proxy that the default database is reached through."""
    settings = connection.settings_dict
    connection.close()
    settings["PORT"] = shared_proxy.port
    yield shared_proxy
    shared_proxy.clear()
    connections["default"].close()
    settings["PORT"] = postgres.port


@pytest.fixture
def stage(postgres, proxy) -> matrix.Stage:
    return matrix.Stage(postgres, proxy, "library", Account, Entry)


def cells() -> Iterator[object]:
    for fault in matrix.FAULTS:
        # A restart of the server takes a second, and so does a silence; the script does all of them.
        long = fault.startswith("server") or fault.endswith("swallowed")
        boundaries = (0, 2, 5, LAST) if long else range(LAST + 1)
        for boundary in boundaries:
            yield pytest.param(fault, boundary, id=f"{fault} before {matrix.BOUNDARIES[boundary]}")


@pytest.mark.parametrize(("fault", "boundary"), list(cells()))
def test_a_fault_at_every_boundary_goes_unnoticed(stage, seen, fault, boundary) -> None:
    """Whatever strikes, and wherever, the block ends with the rows, keys and hooks of a run without a fault."""
    assert matrix.run(stage, resilient_transaction, fault, boundary) == "right"
    resolved = [event for event in seen if isinstance(event, CommitResolved)]
    replays = [type(event) for event in seen].count(TransactionReplayed)
    done_already = fault in ("reply lost", "reply swallowed") and boundary == LAST
    assert (replays, [event.committed for event in resolved if event.committed]) == (
        (0, [True]) if done_already else (1, [])
    )


def test_without_us_a_lost_reply_leaves_a_doubt(stage) -> None:
    """The judge of the matrix is not blind: plain atomic raises for a COMMIT that was done, and for a kill before it."""
    assert matrix.run(stage, matrix.plain_atomic, "reply lost", LAST) == "DOUBT: OperationalError"
    assert matrix.run(stage, matrix.plain_atomic, "reply swallowed", LAST) == "DOUBT: OperationalError"
    for _ in range(2):  # the first one's locks do not stop the second one
        assert matrix.run(stage, matrix.plain_atomic, "statement swallowed", 2) == "error: OperationalError"
    assert matrix.run(stage, matrix.plain_atomic, "back end terminated", LAST) == "error: OperationalError"


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.3}})
def test_a_server_that_stays_away_is_the_databases_error(postgres) -> None:
    """Before COMMIT: OperationalError with a note, and nothing written."""
    Entry.objects.count()
    with pytest.raises(OperationalError) as caught, resilient_transaction():
        Entry.objects.create(text="x")
        postgres.kill()
        Entry.objects.create(text="y")
    assert any("no usable connection" in note for note in caught.value.__notes__)
    postgres.start()
    postgres.wait_ready()
    assert Entry.objects.count() == 0


@pytest.mark.parametrize("forwarded", [True, False], ids=["done", "never arrived"])
def test_a_lost_commit_reply_is_resolved(proxy, seen, forwarded) -> None:
    """Done or not: the row is there once, the hooks run once, and nobody is told of an error."""
    hooks: list[int] = []
    with resilient_transaction():
        Entry.objects.create(text="x")
        transaction.on_commit(lambda: hooks.append(1))
        cut_commit(proxy, done=forwarded)
    assert (Entry.objects.count(), hooks) == (1, [1])
    [resolved] = [event for event in seen if isinstance(event, CommitResolved)]
    assert resolved.committed is forwarded


def cut_commit(proxy: Proxy, *, done: bool, **how: object) -> None:
    if done:
        proxy.add("cut_after_message", message="CommandComplete", tag="COMMIT", before_forwarding=True, **how)
    else:
        proxy.add("cut_after_message", message="Query", sql_prefix="COMMIT", stream="upstream", before_forwarding=True, **how)  # fmt: skip


def test_a_session_that_the_server_believes_alive_is_ended(proxy, seen) -> None:
    """A partition at COMMIT: the old session would hold its locks; it is ended by its id, and the block is replayed."""
    Account.objects.create(name="a", value=1)
    with resilient_transaction():
        Account.objects.filter(name="a").update(value=F("value") + 1)
        cut_commit(proxy, done=False, partition=True)
    assert Account.objects.get().value == 2
    [resolved] = [event for event in seen if isinstance(event, CommitResolved)]
    assert not resolved.committed


def test_a_commit_that_is_still_running_is_waited_for(postgres, proxy, seen) -> None:
    """The client is cut while a deferred trigger runs inside COMMIT; it is done a moment later, once."""
    with postgres.connect("library") as admin:
        admin.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON warehouse_entry DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    try:
        with resilient_transaction():
            Entry.objects.create(text="x")
            proxy.add(
                "cut_after_message", message="Query", sql_prefix="COMMIT", stream="upstream", partition=True
            )
    finally:
        with postgres.connect("library") as admin:
            admin.execute("DROP TRIGGER slow ON warehouse_entry; DROP FUNCTION slow()")
    assert Entry.objects.count() == 1
    [resolved] = [event for event in seen if isinstance(event, CommitResolved)]
    assert resolved.committed


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.3}})
def test_an_outcome_that_cannot_be_asked_for_is_unknown(proxy, seen) -> None:
    """The reply is lost and no connection is to be had: CommitOutcomeUnknown with the id, and the hooks do not run."""
    hooks: list[int] = []
    with pytest.raises(CommitOutcomeUnknown) as caught, resilient_transaction():
        Entry.objects.create(text="x")
        transaction.on_commit(lambda: hooks.append(1))
        cut_commit(proxy, done=True)
        proxy.add("refuse")
    assert caught.value.xid is not None
    assert hooks == []
    proxy.clear()
    assert Entry.objects.count() == 1
    with transaction.atomic():
        pass
    assert hooks == []


def test_an_id_from_before_a_crash_is_not_trusted(postgres, proxy) -> None:
    """With another incarnation of the server, "committed" may be somebody else's: unknown, not a guess."""
    with pytest.raises(CommitOutcomeUnknown), resilient_transaction():
        Entry.objects.create(text="x")
        with postgres.connect("library") as admin:
            admin.execute("SELECT pg_stat_reset_shared('bgwriter')")  # what a crash restart does to the token
        cut_commit(proxy, done=True)


def test_a_block_that_only_read_does_not_care(proxy, seen) -> None:
    """Its lost COMMIT is no unknown outcome; a function that may write is one that is asked after."""
    Account.objects.create(name="a", value=1)
    with resilient_transaction():
        assert Account.objects.filter(name="a").count() == 1
        cut_commit(proxy, done=True)
    assert not any(isinstance(event, CommitResolved) for event in seen)
    proxy.clear()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION note() RETURNS int LANGUAGE sql AS "
            "'INSERT INTO warehouse_entry (text) VALUES (''x''); SELECT 1'"
        )
    try:
        with resilient_transaction():
            with connection.cursor() as cursor:
                cursor.execute("SELECT note()")
            cut_commit(proxy, done=True)
        assert Entry.objects.count() == 1
    finally:
        proxy.clear()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION note()")


def test_a_socket_that_hung_up_before_libpq_noticed_is_a_lost_connection(monkeypatch, seen) -> None:
    """psycopg then raises without a code, on a connection that still looks open; at COMMIT, too."""

    def hang_up(*_: object, **__: object) -> None:
        monkeypatch.undo()
        assert not connection.connection.closed
        raise psycopg.OperationalError("connection socket closed")

    with resilient_transaction():
        Entry.objects.create(text="x")
        monkeypatch.setattr(connection.connection, "wait", hang_up)
        Entry.objects.create(text="y")
        monkeypatch.setattr(connection.connection, "wait", hang_up)
    assert Entry.objects.count() == 2
    assert [type(event) for event in seen].count(TransactionReplayed) == 2
