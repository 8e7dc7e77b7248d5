"""Who holds the connections of a pool, since when, and from which place in the code.

A hold is known to be over by looking: the connection object does not have the driver's connection any more. So giving back
needs no hook. Overdue ones are looked for when somebody else comes for a connection, when one was not to be had, and when the
status is asked for: then it matters, and no thread has to keep watch.

A thread that ends without closing its connection takes it from the pool for good, in silence: psycopg_pool goes on counting
it as one of its own. That shows here as well.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import django
from django.db.backends.base.base import BaseDatabaseWrapper

import stalwart
from stalwart import events

_DEPTH = 12
# Frames of these say nothing about whose code it was; looked at from the innermost outwards.
_LIBRARIES = tuple(str(Path(file).parent) + os.sep for file in (django.__file__, stalwart.__file__))


@dataclass(frozen=True, slots=True)
class Held:
    """A connection that is checked out.

    Attributes:
        alias: name of the database.
        seconds: since when.
        thread: name of the thread that took it.
        taken_at: the frames that took it, innermost first, as "file:line in function"; without Django's own.
        now_at: where that thread is at this moment, likewise; empty when it is gone.
    """

    alias: str
    seconds: float
    thread: str
    taken_at: tuple[str, ...]
    now_at: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict."""
        return asdict(self)


@dataclass(slots=True, eq=False)
class Hold:
    """One checkout."""

    alias: str
    connection: weakref.ref[BaseDatabaseWrapper]
    driver: weakref.ref[Any]
    thread: weakref.ref[threading.Thread]
    name: str
    ident: int
    number: int
    frames: tuple[tuple[str, int, str], ...]
    since: float = field(default_factory=time.monotonic)
    reported: bool = False

    def lasts(self) -> bool:
        """Whether it is still checked out."""
        connection, driver = self.connection(), self.driver()
        return connection is not None and driver is not None and connection.connection is driver

    def is_lost(self) -> bool:
        """Whether nobody is left to give it back. The thread that made the pool leaves its connection object to it."""
        thread, connection = self.thread(), self.connection()
        gone = thread is None or not thread.is_alive()
        return gone and not (connection is not None and connection.allow_thread_sharing)

    def record(self) -> Held:
        """It, to be shown."""
        frame = None if self.is_lost() else sys._current_frames().get(self.ident)
        return Held(
            self.alias, time.monotonic() - self.since, self.name, _texts(self.frames), _texts(_stack(frame))
        )


_holds: dict[int, Hold] = {}
_lost: deque[Hold] = deque(maxlen=100)
_numbers = itertools.count()
_reporting = threading.Lock()
_reported_at = float("-inf")


def took(connection: BaseDatabaseWrapper, driver: Any) -> None:
    """A connection was taken from its pool, by the code that called us."""
    key, number, thread = id(driver), next(_numbers), threading.current_thread()
    _holds[key] = Hold(
        connection.alias,
        weakref.ref(connection, partial(_connection_gone, key, number)),
        weakref.ref(driver, partial(_driver_gone, key, number)),
        weakref.ref(thread),
        thread.name,
        threading.get_ident(),
        number,
        _stack(sys._getframe(1)),
    )


def report(limit: float, *, seldom: bool = False) -> None:
    """Send an event for each hold that lasts too long, once.

    Args:
        limit: seconds; 0 reports nothing.
        seldom: not more often than four times in `limit`.
    """
    global _reported_at
    now = time.monotonic()
    if not limit or (seldom and now - _reported_at < limit / 4) or not _reporting.acquire(blocking=False):
        return
    try:
        _reported_at = now
        due = []
        for key, hold in list(_holds.items()):
            if not hold.lasts():
                if hold.connection() is not None and _holds.get(key) is hold:
                    del _holds[key]
            elif not hold.reported and (now - hold.since >= limit or hold.is_lost()):
                hold.reported = True
                due.append((hold, hold.is_lost()))
        while _lost:
            if not (gone := _lost.popleft()).reported:
                due.append((gone, True))
    finally:
        _reporting.release()
    for hold, lost in due:
        held = hold.record()
        events.emit(
            events.ConnectionHeldTooLong(
                "stalwart.database.pool",
                held.alias,
                held.seconds,
                held.thread,
                held.taken_at,
                held.now_at,
                lost,
            )
        )


def held(alias: str, longer_than: float) -> tuple[Held, ...]:
    """The connections of a database that are checked out for so many seconds, longest first."""
    found = [hold.record() for hold in list(_holds.values()) if hold.alias == alias and hold.lasts()]
    return tuple(
        sorted((each for each in found if each.seconds >= longer_than), key=lambda each: -each.seconds)
    )


def renew() -> None:
    """Begin anew, in a forked child: another thread of the parent may have been reporting at that moment."""
    global _reporting
    _holds.clear()
    _lost.clear()
    _reporting = threading.Lock()


def _connection_gone(key: int, number: int, _: object) -> None:
    """A connection object went with its thread. Runs wherever the garbage is collected: nobody is told from here."""
    hold = _holds.get(key)
    if hold is None or hold.number != number:
        return
    _holds.pop(key, None)
    driver = hold.driver()
    # One that was given back lies in its pool, which has taken this attribute from it. One that the pool has closed since
    # was not found here any more: see below.
    if driver is None or getattr(driver, "_pool", None) is not None:
        _lost.append(hold)


def _driver_gone(key: int, number: int, _: object) -> None:
    hold = _holds.get(key)
    # Without its connection object, the two went together, and the other callback finds that it was never given back.
    if hold is not None and hold.number == number and hold.connection() is not None:
        _holds.pop(key, None)


def _stack(frame: FrameType | None) -> tuple[tuple[str, int, str], ...]:
    """The innermost frames of the application; where there are none (ATOMIC_REQUESTS), of whatever there is."""
    ours: list[tuple[str, int, str]] = []
    others: list[tuple[str, int, str]] = []
    while frame is not None and len(ours) < _DEPTH:
        code = frame.f_code
        found = others if code.co_filename.startswith(_LIBRARIES) else ours
        if len(found) < _DEPTH:
            found.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return tuple(ours or others)


def _texts(frames: tuple[tuple[str, int, str], ...]) -> tuple[str, ...]:
    return tuple(f"{file}:{line} in {function}" for file, line, function in frames)
