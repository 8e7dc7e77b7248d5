"""A reply that the server has sent and the driver never reads.

psycopg waits for its socket in one method of its connection, which it hands a generator that says what it waits for. In
between stands ours: once the reply is coming, it waits until the server is done, throws away what came, and shuts the
socket. What the driver then raises, it raises by itself. Nothing of the protocol needs to be known for it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from stalwart.testing.control import PATIENCE, Control

_READABLE = 1  # psycopg's Wait.R and Ready.R
_POLL = 0.002


def lose_reply(driver: Any, control: Control, send: Callable[[], Any]) -> Any:
    """Call `send`, which runs one statement on a psycopg connection; the server executes it, and the driver fails."""
    plain, own, threshold = driver.wait, vars(driver).get("wait"), driver.prepare_threshold

    def wait(generator: Any, *args: Any, **kwargs: Any) -> Any:
        return plain(_lossy(generator, driver, control), *args, **kwargs)

    driver.wait = wait
    driver.prepare_threshold = (
        None  # preparing it would be a round trip of its own, whose reply is not the one
    )
    try:
        return send()
    finally:
        del driver.wait
        if own is not None:  # somebody else stands there, too
            driver.wait = own
        driver.prepare_threshold = threshold


def shut(driver: Any) -> None:
    """Shut the socket of a psycopg connection, which does not know of it."""
    own = _socket_of(driver)
    try:
        _shut(own)
    finally:
        own.close()


def _shut(own: socket.socket) -> None:
    with suppress(OSError):  # ENOTCONN: the server has hung up first
        own.shutdown(socket.SHUT_RDWR)


def _lossy(generator: Any, driver: Any, control: Control) -> Generator[Any, Any, Any]:
    cut = False
    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            # While something is left to be sent it waits for both, and what can be read then is not the reply.
            if not cut and int(wanted) == _READABLE and int(ready) & _READABLE:
                cut = True
                _discard_until_done(driver, control)
            wanted = generator.send(ready)
    except StopIteration as end:
        return end.value


def _discard_until_done(driver: Any, control: Control) -> None:
    own, deadline = _socket_of(driver), time.monotonic() + PATIENCE
    try:
        done = False
        while not done and time.monotonic() < deadline:
            # Asked first, then drained: a notice comes before the statement is done, and a large result has to be taken
            # from the server before it can be.
            done = control.is_idle(driver.pgconn.backend_pid)
            _drain(own)
            if not done:
                time.sleep(_POLL)
        _shut(own)
        if not done:
            raise TimeoutError(
                f"the server has not done within {PATIENCE} s what its reply was to be lost of"
            )
    finally:
        own.close()


def _drain(own: socket.socket) -> None:
    while True:
        try:
            if not own.recv(65536):
                return
        except BlockingIOError:
            return


def _socket_of(driver: Any) -> socket.socket:
    """A second handle of the driver's socket, which may be closed without closing that one."""
    own = socket.fromfd(driver.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM)
    own.setblocking(False)  # as libpq has it; the flag belongs to both handles
    return own
