"""What is remembered of slow statements: a bounded table, least recently used out first.

Each entry is one kind of statement from one place on one database. Beside the slow runs, which are all counted, there are
drawings: one in `DRAWN` of all runs, slow or not, from which the number of runs and the usual time are estimated. They have
a table of their own, so that many quick kinds do not push a slow one out.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from stalwart.database.durations import Durations
from stalwart.database.explained import NOT_EXPLAINED, Explained

#: Kinds of slow statements that are kept, and as many drawn ones.
CAPACITY = 256
#: One run in so many is drawn.
DRAWN = 1_000
#: Seconds between two events about one kind.
TOLD_EVERY = 60.0

_T = TypeVar("_T")


class Key(NamedTuple):
    """One kind of statement."""

    alias: str
    hash: str
    call_site: str | None


@dataclass(slots=True)
class Entry:
    """The slow runs of one kind.

    Attributes:
        sql: without values.
        statement, has_params: the text as the application gave it, to have it explained later; it is shown nowhere, since a
            literal in it may be a secret. None where it is too long.
        durations, failed, first_seen, last_seen: see `SlowQueryRecord`.
        threshold: the setting at the last run.
        told: when the last event was emitted, by the monotonic clock; None before the first.
        untold: slow runs since.
        explained: what EXPLAIN gave, or why it was not asked.
        asked: when it was, by the monotonic clock; None if it never was.
    """

    sql: str
    statement: str | None
    has_params: bool
    durations: Durations = field(default_factory=Durations)
    failed: int = 0
    first_seen: float = field(default_factory=time.time)
    last_seen: float = 0.0
    threshold: float = 0.0
    told: float | None = None
    untold: int = 0
    explained: Explained = NOT_EXPLAINED
    asked: float | None = None


class Kept(OrderedDict[Key, _T], Generic[_T]):
    """A dict that forgets what was not touched for the longest time."""

    def touch(self, key: Key, make: Callable[[], _T]) -> _T:
        """The value of a key, now the youngest; made where there is none."""
        value = self.get(key)
        if value is None:
            value = self[key] = make()
            if len(self) > CAPACITY:
                self.popitem(last=False)
        else:
            self.move_to_end(key)
        return value


slow: Kept[Entry] = Kept()
drawn: Kept[Durations] = Kept()
# Re-entrant: a garbage collection inside may run a query of somebody's __del__.
lock = threading.RLock()
#: Held by the thread that has a plan explained.
explaining = threading.Lock()


def forget() -> None:
    """Begin anew."""
    with lock:
        slow.clear()
        drawn.clear()


def _in_child() -> None:
    # Another thread of the parent may have held a lock; and what the parent saw is the parent's to tell.
    global lock, explaining
    lock, explaining = threading.RLock(), threading.Lock()
    slow.clear()
    drawn.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
