"""Connections of psycopg 3 that do not wait for a silent server for ever.

On a silent network no error ever comes: a middle box that reads and discards also acknowledges, so the kernel's keep-alives
are answered. Only the missing reply tells.

psycopg's own way of waiting is used, and no thread. Whatever waits for the server (statements, `executemany`, COPY, server-side
cursors, COMMIT, health checks of a pool) is a generator that `Connection.wait` drives: it is resumed when the socket is
ready, and ten times a second when it is not. A second generator around it sees both, and so knows what a watchdog thread
could not: whether the server is silent or merely slow to finish. It costs no clock while all goes well, has nothing to
tidy up after a fork or at the end, and acts in the thread that owns the connection, so that no descriptor can be closed, and handed
out to somebody else, at the moment at which it is shut. The price is precision: silence is noticed by up to three tenths of a
second late. A reply is owed while a command is under way; a connection that listens
for notifications owes nothing.

An overdue reply is thrown into psycopg's generator as the error that reading from a dead socket raises there, and the connection is
closed. So it takes the ways of any lost connection, through psycopg, Django and our classification; during COMMIT the outcome is
unknown, as with any lost reply.

The subclasses made here override `wait`, and `_connect_gen` for logging in; the tests hold both names.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Generator
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn

from stalwart import events
from stalwart.database import isolation
from stalwart.database.reply_limit import limit

LOGGING_IN = "logging in"
_ACTIVE = 1  # psycopg.pq.TransactionStatus
_WHAT = {"_commit_gen": "COMMIT", "_rollback_gen": "ROLLBACK", "_fetch_gen": "fetching rows"}
_BASE = "_stalwart_base"

_telling = threading.local()


def watched(kind: type[Any], alias: str) -> type[Any]:
    """The class of connections like `kind` whose replies, those to the login included, can be overdue.

    Args:
        kind: `psycopg.Connection`, a subclass, or a class made here.
        alias: of the database, for the limit and the event.
    """
    base: Any = unwatched(kind)
    return _make(base, alias)


def unwatched(kind: type[Any]) -> type[Any]:
    """The class that a watched one was made from; any other class itself."""
    base: type[Any] = getattr(kind, _BASE, kind)
    return base


@functools.cache
def _make(base: Any, alias: str) -> type[Any]:
    plain_wait = base.wait

    def wait(self: Any, gen: Any, *args: Any, **kwargs: Any) -> Any:
        seconds = limit(alias)
        if seconds:
            gen = _attentive(gen, seconds, alias, self)
        # Only waiting for notifications has more arguments; unpacking none costs as much as the rest of this.
        return plain_wait(self, gen, *args, **kwargs) if args or kwargs else plain_wait(self, gen)

    def connect_gen(cls: Any, *args: Any, **kwargs: Any) -> Any:
        gen = base._connect_gen.__func__(cls, *args, **kwargs)
        seconds = limit(alias)
        return _attentive(gen, seconds, alias, None) if seconds else gen

    members = {
        "__slots__": (),
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "__qualname__": base.__qualname__,
        _BASE: base,
        "wait": wait,
        "_connect_gen": classmethod(connect_gen),
    }
    made: type[Any] = type(base)(base.__name__, (base,), members)
    return made


def _attentive(
    gen: Generator[Any, Any, Any], seconds: float, alias: str, driver: Any
) -> Generator[Any, Any, Any]:
    """Pass everything on between psycopg and its generator, and give up when nothing came for so many seconds.

    Args:
        gen: waits for the server.
        seconds: of silence.
        alias: of the database.
        driver: the connection; None while it logs in.
    """
    try:
        state = next(gen)
        since = looked = 0.0
        while True:
            ready = yield state
            if ready:
                since = 0.0
            else:
                now = monotonic()
                if not since or (driver is not None and driver.pgconn.transaction_status != _ACTIVE):
                    since = now
                # The look at the socket that has just found nothing must have begun when the reply was overdue already:
                # a process that was stopped for a while, or did not get its turn, finds a reply that came meanwhile.
                elif looked - since >= seconds:
                    if driver is None:
                        _give_up_login(gen, seconds, alias)
                    _give_up_waiting(driver, gen, seconds, alias)
                looked = now
            state = gen.send(ready)
    except StopIteration as done:
        return done.value


def _give_up_waiting(driver: Any, gen: Generator[Any, Any, Any], seconds: float, alias: str) -> NoReturn:
    from psycopg import OperationalError

    what = _WHAT.get(getattr(gen, "__name__", ""), "a statement")
    error = OperationalError(
        f"no reply came from the server for {seconds:g} s ({what}): the connection is closed. For a statement that may be "
        "silent for longer, raise STALWART['DATABASE']['REPLY_WITHIN'], or use stalwart.database.reply_within()"
    )
    try:
        # It leaves by StopIteration, with the server's own error, where that had come and only the end of the reply is missing.
        gen.throw(error)
        raise error
    finally:
        del error  # its traceback holds this frame: a cycle
        isolation.keep_traits(driver)
        driver.pgconn.finish()
        gen.close()
        # psycopg holds the connection's lock meanwhile. A sink that uses this very connection would wait for ever.
        lock, driver.lock = driver.lock, _Refusal()
        try:
            _tell(events.ReplyOverdue("waiting for a reply", alias, seconds, what))
        finally:
            driver.lock = lock


def _give_up_login(gen: Generator[Any, Any, Any], seconds: float, alias: str) -> NoReturn:
    from psycopg.errors import ConnectionTimeout

    # Its connection is in no other hands, so this closes the socket; psycopg's own time-out leaves it to the collector.
    gen.close()
    _tell(events.ReplyOverdue("waiting for a reply", alias, seconds, LOGGING_IN))
    # Like its own time-out, this makes psycopg try the next host, if there is one.
    raise ConnectionTimeout(
        f"connection failed: no reply to the login came from the server for {seconds:g} s"
    )


class _Refusal:
    """In the place of the lock of a closed connection."""

    def __enter__(self) -> NoReturn:
        from psycopg import OperationalError

        raise OperationalError("the connection is closed")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _tell(event: events.Event) -> None:
    # A sink that goes to the same silent database meets an overdue reply of its own; telling of that would go on for ever.
    if getattr(_telling, "now", False):
        return
    _telling.now = True
    try:
        events.emit(event)
    finally:
        _telling.now = False
