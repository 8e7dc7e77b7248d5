"""What is computed from closing prices: plain binary floats, emitted with all their digits, as many real APIs do.

Only the IEEE operations, ``fsum`` and ``sqrt`` are used, whose results are the same everywhere (``sum`` of floats is
not: Python 3.12 made it more exact), because the payload mix is frozen byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, sqrt

TRADING_DAYS = 252


def change(now: float, before: float) -> float:
    """The relative change, such as 0.0123."""
    return now / before - 1.0


def changes(closes: Sequence[float]) -> list[float | None]:
    """The relative change at each close; the first has none."""
    steps = [change(now, before) for before, now in pairwise(closes)]
    return [None, *steps] if closes else []


def moving_averages(values: Sequence[float], window: int) -> list[float | None]:
    """The mean of the last ``window`` values at each place, None where there are not enough yet."""
    return [
        fsum(values[end - window : end]) / window if end >= window else None
        for end in range(1, len(values) + 1)
    ]


def volatility(closes: Sequence[float]) -> float | None:
    """The yearly deviation of the daily changes; None below three closes."""
    steps = [step for step in changes(closes) if step is not None]
    if len(steps) < 2:
        return None
    mean = fsum(steps) / len(steps)
    return sqrt(fsum((step - mean) * (step - mean) for step in steps) / (len(steps) - 1)) * sqrt(TRADING_DAYS)
