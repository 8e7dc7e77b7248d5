"""A point in time that work must not run past."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

ambient: ContextVar[float | None] = ContextVar("stalwart_deadline", default=None)
"""The moment at which the call under way must be done, on its operation's clock; None without a limit.

Set by operations that have a limit, so that what they call can keep to it too.
"""


def remaining_time(clock: Callable[[], float] = time.monotonic) -> float | None:
    """Seconds that the operation around the caller still has, None when it has no limit, 0 when they are used up.

    A synchronous call cannot be interrupted from outside: hand this on as the time-out of the client that is called.
    """
    until = ambient.get()
    return None if until is None else max(0.0, until - clock())


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock.

    Attributes:
        at: the moment, in the clock's seconds.
        clock: what tells the time; `time.monotonic` unless a test says otherwise.
    """

    at: float
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """The deadline that lies `seconds` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(0.0, self.at - self.clock())

    def fits(self, wait: float) -> bool:
        """Whether a sleep of `wait` seconds, begun now, ends before the deadline.

        A sleep that does not fit must not be started: its caller would have to be told of the failure anyway, only
        later.
        """
        return self.clock() + wait < self.at
