"""A COMMIT whose reply is lost: one row, one call, and an error that says what is known."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart import database_retry
from stalwart.events import CommitResolved, OutcomeUnknown
from stalwart.exceptions import CommitOutcomeUnknown

pytestmark = pytest.mark.usefixtures("django_db")


class Cutter:
    """A proxy that cuts the client at its first COMMIT.

    Args:
        upstream: host and port of the server.
        forward: let the server commit and reply first (the reply is swallowed); else it never hears of the COMMIT.
        then_refuse: stop listening before, so that the client's reconnect is refused and masks the loss.
    """

    def __init__(self, upstream: tuple[str, int], *, forward: bool, then_refuse: bool) -> None:
        self._upstream, self._forward, self._then_refuse = upstream, forward, then_refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cutting = False
        self._replied = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                pair = self._listener.accept()[0], socket.create_connection(self._upstream)
                for pump in (self._upwards, self._downwards):
                    self._threads.append(threading.Thread(target=pump, args=pair))
                    self._threads[-1].start()

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                if data.endswith(b"COMMIT\0") and not self.cutting:
                    self.cutting = True
                    if self._then_refuse:
                        self.refuse()
                    if self._forward:
                        server.sendall(data)
                        assert self._replied.wait(10)
                    self._replied.set()
                    client.shutdown(socket.SHUT_RDWR)
                else:
                    server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _downwards(self, client: socket.socket, server: socket.socket) -> None:
        with server, contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.cutting and self._forward and not self._replied.is_set():
                    self._replied.set()
                else:
                    client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        self.refuse()
        connections["default"].close()
        for thread in self._threads:
            thread.join(10)


@contextlib.contextmanager
def through_cutter(postgres, *, forward: bool, then_refuse: bool = False) -> Iterator[Cutter]:
    cutter = Cutter((postgres.host, postgres.port), forward=forward, then_refuse=then_refuse)
    settings = connection.settings_dict
    connection.close()
    settings["PORT"] = cutter.port
    try:
        yield cutter
    finally:
        cutter.close()
        settings["PORT"] = postgres.port


def test_lost_reply_of_a_done_commit_is_settled(postgres, seen) -> None:
    """The server committed and the reply is lost: one call, one row, and the function's own value comes back."""
    calls = []

    @database_retry
    def write() -> int:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")
        return 42

    with through_cutter(postgres, forward=True) as cutter:
        assert write() == 42
        assert cutter.cutting
    assert len(calls) == 1
    assert Entry.objects.count() == 1
    [settled] = [event for event in seen if isinstance(event, CommitResolved)]
    assert settled.committed


def test_hooks_run_once_after_a_settled_commit(postgres) -> None:
    """on_commit hooks of a transaction whose reply was lost run, once."""
    ran = []

    @database_retry
    def write() -> None:
        with transaction.atomic():
            Entry.objects.create(text="x")
            transaction.on_commit(lambda: ran.append(1))

    with through_cutter(postgres, forward=True):
        write()
    assert ran == [1]


def test_commit_that_never_arrived_is_repeated(postgres, seen) -> None:
    """The COMMIT was cut on its way: the server says aborted, the call is made again, and one row is there."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")

    with through_cutter(postgres, forward=False) as cutter:
        write()
        assert cutter.cutting
    assert len(calls) == 2
    assert Entry.objects.count() == 1
    assert [event.committed for event in seen if isinstance(event, CommitResolved)] == [False]


@pytest.mark.parametrize("write", ["create", "bulk_create", "executemany", "raw", "update", "opaque"])
def test_every_way_of_writing_is_settled(postgres, write) -> None:
    """Whether the transaction's id rode along or was asked for before COMMIT: a done COMMIT is one row and no error."""
    Account.objects.create(pk=1, name="a")

    @database_retry
    def run() -> None:
        with transaction.atomic():
            if write == "create":
                assert Entry.objects.create(text="x").pk is not None
            elif write == "bulk_create":
                made = Entry.objects.bulk_create([Entry(text="x"), Entry(text="x")])
                assert all(each.pk for each in made)
            elif write == "executemany":
                with connection.cursor() as cursor:
                    cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", [["x"], ["y"]])
            elif write == "raw":
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO warehouse_entry (text) VALUES ('%') RETURNING text", None)
                    assert cursor.fetchall() == [("%",)]
                    assert cursor.rowcount == 1
            elif write == "update":
                assert Account.objects.filter(pk=1).update(value=5) == 1
            else:
                Entry.objects.create(text="x")
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(7)")
                assert Entry.objects.count() == 1

    with through_cutter(postgres, forward=True) as cutter:
        run()
        assert cutter.cutting
    rows = Entry.objects.count()
    assert (
        rows == {"create": 1, "bulk_create": 2, "executemany": 2, "raw": 1, "update": 0, "opaque": 1}[write]
    )
    assert Account.objects.get().value == (5 if write == "update" else 0)


def test_after_a_rolled_back_savepoint_the_id_is_learnt_again(postgres) -> None:
    """A first write that a savepoint took back does not leave the transaction without an id."""

    @database_retry
    def write() -> None:
        with transaction.atomic():
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                Entry.objects.create(text="gone")
                raise ZeroDivisionError
            Entry.objects.create(text="x")

    with through_cutter(postgres, forward=True):
        write()
    assert [entry.text for entry in Entry.objects.all()] == ["x"]


def test_nothing_stays_on_the_connection(postgres) -> None:
    """After the outermost call the connection commits as ever."""

    @database_retry
    def inner() -> None:
        Entry.objects.create(text="x")

    @database_retry
    def outer() -> None:
        inner()
        assert "_commit" in connections["default"].__dict__

    outer()
    assert "_commit" not in connections["default"].__dict__


@pytest.mark.parametrize("forward", [True, False], ids=["committed", "not committed"])
@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.2}})
def test_lost_commit_reply_is_unknown_when_the_server_cannot_be_asked(postgres, seen, forward) -> None:
    """Done or not, where a refused reconnect masks the loss: CommitOutcomeUnknown with the id, after one call."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")

    with through_cutter(postgres, forward=forward, then_refuse=True) as cutter:
        with pytest.raises(CommitOutcomeUnknown) as caught:
            write()
        assert cutter.cutting
    assert len(calls) == 1
    assert Entry.objects.count() == (1 if forward else 0)
    assert (caught.value.alias, caught.value.during) == ("default", "COMMIT")
    assert caught.value.xid is not None
    assert isinstance(caught.value.__cause__, OperationalError)
    assert [type(event) for event in seen] == [OutcomeUnknown]


def test_backend_that_dies_inside_commit_is_settled(postgres) -> None:
    """A back end that ends itself in a deferred trigger, while COMMIT runs, has aborted: repeated, then the error."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON warehouse_entry DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION die()"
        )
    calls = []

    @database_retry(max_retries=2, delay=0)
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")

    try:
        with pytest.raises(OperationalError):
            write()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER die ON warehouse_entry; DROP FUNCTION die()")
    assert len(calls) == 3
    assert Entry.objects.count() == 0


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.2}})
def test_an_outer_decorator_does_not_repeat_an_unknown_outcome(postgres) -> None:
    """CommitOutcomeUnknown goes through further decorators, also when they repeat for every exception."""
    calls = []

    @database_retry(on=Exception)
    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")

    with through_cutter(postgres, forward=True, then_refuse=True), pytest.raises(CommitOutcomeUnknown):
        write()
    assert len(calls) == 1
    assert Entry.objects.count() == 1


def test_without_the_decorator_a_naive_loop_writes_twice(postgres) -> None:
    """The fault is real: a plain `except OperationalError: again` leaves two rows."""
    with through_cutter(postgres, forward=True):
        for _ in range(2):
            try:
                with transaction.atomic():
                    Entry.objects.create(text="x")
                break
            except OperationalError:
                continue
    assert Entry.objects.count() == 2
