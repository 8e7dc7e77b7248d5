"""Two arms measured by turns, and what their times say."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from workbench.judge import estimates
from workbench.profile.records import Measured

T = TypeVar("T")
#: A saving below this share is not worth a change, however certain.
WORTH = 0.10
#: Rounds that there are whatever they take.
LEAST = 5


@dataclass(frozen=True)
class Saving:
    """Share of the time that the second arm saves, with its 95 % interval; None where it cannot be told."""

    share: float | None
    low: float | None
    high: float | None

    @property
    def shown(self) -> bool:
        """It is worth a change, and no accident."""
        return self.share is not None and self.low is not None and self.share >= WORTH and self.low > 0

    def __str__(self) -> str:
        if self.share is None or self.low is None or self.high is None:
            return "cannot be told"
        return f"{self.share:.0%}, 95 % interval {self.low:.0%} to {self.high:.0%}"


def alternated(
    control: Callable[[], T],
    treatment: Callable[[], T],
    *,
    rounds: int = 10,
    seconds: float = 20.0,
    least: int = LEAST,
) -> tuple[list[T], list[T]]:
    """Measure both arms in each round, each first in every other one, so that what changes with time meets both.

    Args:
        control, treatment: measure one arm once; what the very first calls give is thrown away.
        rounds: pairs; fewer, but at least `least`, where they take longer than `seconds`.
        seconds, least: see there.
    """
    control()
    treatment()
    one: list[T] = []
    other: list[T] = []
    end = time.monotonic() + seconds
    for number in range(rounds):
        if number >= least and time.monotonic() > end:
            break
        if number % 2:
            other.append(treatment())
            one.append(control())
        else:
            one.append(control())
            other.append(treatment())
    return one, other


def saving(control: Sequence[float], treatment: Sequence[float]) -> Saving:
    """What the second arm saves, by Fieller's interval over the pairs (`workbench.judge.estimates`)."""
    found = estimates.paired_reduction(control, treatment).floats()
    return Saving(None, None, None) if found is None else Saving(*found)


def measured(queries: int, milliseconds: Sequence[float]) -> Measured:
    """Figures of one arm: the median, with the interval of the mean around it."""
    middle = statistics.median(milliseconds)
    found = estimates.mean(milliseconds).floats() or (middle, middle, middle)
    return Measured(queries, middle, max(0.0, min(found[1], middle)), max(found[2], middle))
