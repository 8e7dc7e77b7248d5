"""How many calls of a dependency should be under way at once, found out from how long they take and how they end.

Pure functions of the numbers: no clock, no thread. `Bulkhead` applies them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from stalwart.exceptions import ConfigurationError
from stalwart.policies.finite import is_finite


class Limit(Protocol):
    """A number of calls that learns."""

    value: float

    def learn(self, seconds: float, in_flight: int, *, dropped: bool) -> None:
        """One call is over.

        Args:
            seconds: that it took.
            in_flight: calls that were under way while it ran, itself included.
            dropped: it was refused for overload or ran into a time-out.
        """


@dataclass(slots=True)
class Fixed:
    """A number that stays as it is."""

    value: float

    def __post_init__(self) -> None:
        if not (is_finite(self.value) and self.value >= 1):
            raise ConfigurationError(f"the limit is {self.value!r}; use a whole number of at least 1")

    def learn(self, seconds: float, in_flight: int, *, dropped: bool) -> None:
        """Nothing."""


@dataclass(slots=True)
class Aimd:
    """Additive increase, multiplicative decrease, as TCP does it.

    Attributes:
        value: calls; where to begin.
        minimum, maximum: bounds of it.
        shrink: factor after a drop.
        timeout: seconds; a call of that length counts as dropped.
    """

    value: float = 20.0
    minimum: float = 1.0
    maximum: float = 200.0
    shrink: float = 0.9
    timeout: float = math.inf

    def __post_init__(self) -> None:
        _check(self.value, self.minimum, self.maximum)
        if not 0 < self.shrink < 1:
            raise ConfigurationError(f"shrink is {self.shrink!r}; use a factor between 0 and 1")

    def learn(self, seconds: float, in_flight: int, *, dropped: bool) -> None:
        """One up per full round of calls, a tenth down per drop. No growth while half empty: nothing was tried."""
        if dropped or seconds >= self.timeout:
            self.value = max(self.minimum, self.value * self.shrink)
        elif in_flight * 2 >= self.value:
            # A whole step per call would double the limit in one round trip; 1/value makes it one per round.
            self.value = min(self.maximum, self.value + 1 / self.value)


@dataclass(slots=True)
class Gradient:
    """Goes by how much longer calls take now than over the long run, so it backs off before anything is dropped.

    After Netflix' Gradient2: `g = clamp(tolerance * long / short, 0.5, 1)`, then a smoothed step to
    `value * g + headroom`.

    Attributes:
        value: calls; where to begin.
        minimum, maximum: bounds of it.
        tolerance: how much longer than in the long run is still normal.
        headroom: calls that may queue at the dependency.
        smoothing: share of each step that is taken.
        long_run: calls over which the long run is averaged.
    """

    value: float = 20.0
    minimum: float = 1.0
    maximum: float = 200.0
    tolerance: float = 1.5
    headroom: float = 4.0
    smoothing: float = 0.2
    long_run: int = 600
    _long: float = 0.0
    _seen: int = 0

    def __post_init__(self) -> None:
        _check(self.value, self.minimum, self.maximum)

    def learn(self, seconds: float, in_flight: int, *, dropped: bool) -> None:
        """Follow the gradient; a drop halves as far as one step goes. No growth while half empty."""
        if dropped:
            # What was dropped says nothing about how long calls take: it must not spoil the long run.
            self._step(self.value * 0.5)
            return
        short = max(seconds, 1e-9)
        self._seen = min(self._seen + 1, self.long_run)
        self._long += (short - self._long) / self._seen
        if self._long > 2 * short:
            self._long *= 0.95  # after an overload: forget the bad times sooner than their average would
        if in_flight * 2 < self.value:
            return
        gradient = min(1.0, max(0.5, self.tolerance * self._long / short))
        self._step(self.value * gradient + self.headroom)

    def _step(self, target: float) -> None:
        moved = self.value * (1 - self.smoothing) + target * self.smoothing
        self.value = min(self.maximum, max(self.minimum, moved))


def _check(value: float, minimum: float, maximum: float) -> None:
    if not 1 <= minimum <= value <= maximum < math.inf:
        raise ConfigurationError(
            f"minimum, value and maximum are {minimum}, {value}, {maximum}; use numbers of at least 1 in this order"
        )
