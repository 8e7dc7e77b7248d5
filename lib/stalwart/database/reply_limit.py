"""How long a reply of the server may take: the setting, what a block of code says instead, and what time is left.

The values of a block are in a context variable, so they hold for the block's own statements, also where an asynchronous
caller has them run in the thread of the ORM, and for no other request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from stalwart import django_conf
from stalwart.policies.deadline import Deadline

# An attempt that was begun gets so many seconds at least: with next to none a healthy server could not answer it.
LEAST = 0.25


@dataclass(frozen=True, slots=True)
class Allowance:
    """What holds in a block instead of the setting.

    Attributes:
        seconds: that a reply may take, 0 without a limit; None leaves what the setting says.
        deadline: of an attempt to reach the database; limits every wait in it, see `time_left`.
    """

    seconds: float | None = None
    deadline: Deadline | None = None


_allowed: ContextVar[Mapping[str, Allowance] | None] = ContextVar("stalwart_reply_limits", default=None)


def limit(alias: str) -> float:
    """Seconds that a reply of this database may take here and now; 0 without a limit."""
    database = django_conf.current().database
    if not database.enabled:
        return 0.0
    allowed = _allowed.get()
    if allowed is None or alias not in allowed:
        return database.reply_within
    own = allowed[alias]
    seconds = database.reply_within if own.seconds is None else own.seconds
    left = time_left(alias)
    if left is None:
        return seconds
    return min(seconds, left) if seconds else left


def time_left(alias: str) -> float | None:
    """Seconds that one wait may take in a block with a deadline; None without one.

    It is half of what is left, and `LEAST` at least: an attempt that began in a silent network is lost even if the network
    is well again soon, and there must be time for another one.
    """
    allowed = _allowed.get()
    deadline = allowed[alias].deadline if allowed is not None and alias in allowed else None
    return None if deadline is None else max(deadline.remaining() / 2, LEAST)


@contextmanager
def at_least(seconds: float, alias: str) -> Iterator[None]:
    """Where there is a limit, let it not be below `seconds`: for a statement of ours that may be silent for so long."""
    now = limit(alias)
    with allowing(alias, seconds=max(now, seconds) if now else 0.0):
        yield


@contextmanager
def until(deadline: Deadline, alias: str) -> Iterator[None]:
    """Whatever the limit, wait for no reply longer than `time_left` says."""
    with allowing(alias, deadline=deadline):
        yield


@contextmanager
def allowing(alias: str, **changes: float | Deadline | None) -> Iterator[None]:
    """Change the allowance of a database within this block; what is not named stays as it is around it."""
    outer = _allowed.get() or {}
    own = replace(outer.get(alias, Allowance()), **changes)  # type: ignore[arg-type]
    token = _allowed.set({**outer, alias: own})
    try:
        yield
    finally:
        _allowed.reset(token)
