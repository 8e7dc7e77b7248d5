"""How many trials would decide, at the effect and the spread seen. A hint for the next run, with even chances to hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from workbench.judge.estimates import LEVEL, exact_share, student_quantile

#: Beyond this many the honest answer is that it cannot be told.
LIMIT = 10_000


def trials_for_t(statistic: float, trials: int, level: float = LEVEL) -> int | None:
    """Trials at which a t statistic, growing with the root of their number, leaves the interval.

    Args:
        statistic: as seen, against the threshold, of either sign.
        trials: that it rests on.
    """
    size = abs(statistic)
    if not size > 0:
        return None
    return _least(
        trials,
        lambda count: size * math.sqrt(count / trials) >= student_quantile(count, level),
    )


def trials_for_share(
    share: float, size: float, trials: int, threshold: float, level: float = LEVEL
) -> int | None:
    """Trials at which the exact interval of a share excludes the threshold.

    Args:
        share: as seen.
        size: effective number of units in `trials` trials.
    """
    if share == threshold or not size > 0:
        return None

    def decided(count: int) -> bool:
        units = np.asarray(size * count / trials)
        interval = exact_share(share * units, units, level)
        return bool(interval.low > threshold or interval.high < threshold)

    return _least(trials, decided)


def _least(start: int, enough: Callable[[int], bool]) -> int | None:
    """The least count from `start` on that is enough, for a condition that stays true once it is."""
    low, high = max(start, 2), max(start, 2)
    while not enough(high):
        if high >= LIMIT:
            return None
        low, high = high + 1, min(2 * high, LIMIT)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
