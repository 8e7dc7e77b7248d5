"""When requests leave: the times of a seeded Poisson process."""

from __future__ import annotations

import random


def arrivals(rate: float, duration: float, seed: int) -> list[float]:
    """Times at which independent users arrive, the same for the same arguments.

    Args:
        rate: mean requests per second.
        duration: seconds; every time lies in [0, duration).
        seed: both arms of a block get the same one, and so the same times.

    Raises:
        ValueError: rate or duration is not positive.
    """
    if rate <= 0 or duration <= 0:
        raise ValueError(
            f"rate and duration must be positive, not {rate!r} per second and {duration!r} seconds"
        )
    chance = random.Random(seed)
    times: list[float] = []
    at = chance.expovariate(rate)
    while at < duration:
        times.append(at)
        at += chance.expovariate(rate)
    return times
