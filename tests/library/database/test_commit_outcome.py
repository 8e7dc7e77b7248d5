"""A COMMIT whose reply is lost: one row, one call, and an error that says what is known."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Entry

from stalwart import database_retry
from stalwart.events import OutcomeUnknown
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


@pytest.mark.parametrize("then_refuse", [False, True], ids=["reply cut", "reply cut and reconnect refused"])
@pytest.mark.parametrize("forward", [True, False], ids=["committed", "not committed"])
@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.2}})
def test_lost_commit_reply_is_unknown_and_never_repeated(postgres, seen, forward, then_refuse) -> None:
    """Done or not, and also where a refused reconnect hides it: CommitOutcomeUnknown after one call."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")

    with through_cutter(postgres, forward=forward, then_refuse=then_refuse) as cutter:
        with pytest.raises(CommitOutcomeUnknown) as caught:
            write()
        assert cutter.cutting
    assert len(calls) == 1
    assert Entry.objects.count() == (1 if forward else 0)
    assert (caught.value.alias, caught.value.during) == ("default", "COMMIT")
    assert isinstance(caught.value.__cause__, OperationalError)
    assert [type(event) for event in seen] == [OutcomeUnknown]


def test_backend_that_dies_inside_commit_is_unknown(postgres) -> None:
    """A back end that ends itself in a deferred trigger, while COMMIT runs, leaves the outcome open; no repeat."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON warehouse_entry DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION die()"
        )
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")

    try:
        with pytest.raises(CommitOutcomeUnknown):
            write()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER die ON warehouse_entry; DROP FUNCTION die()")
    assert len(calls) == 1
    assert Entry.objects.count() == 0


def test_an_outer_decorator_does_not_repeat_an_unknown_outcome(postgres) -> None:
    """CommitOutcomeUnknown goes through further decorators, also when they repeat for every exception."""
    calls = []

    @database_retry(on=Exception)
    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")

    with through_cutter(postgres, forward=True), pytest.raises(CommitOutcomeUnknown):
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
