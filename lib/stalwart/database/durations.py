"""How long something took, over many times: count, total, longest, and any quantile to within 2 %, in little memory.

Buckets are log-linear: 32 between each power of two and the next, so none is wider than 1/32 of its lower bound, and its
middle is at most 1.6 % from whatever fell into it. Two of these can be added up, which stored quantiles cannot.
"""

from __future__ import annotations

import math

_STEPS = 32  # buckets in each doubling


class Durations:
    """Some durations in seconds. Not locked: whoever shares one between threads holds a lock.

    Attributes:
        count: how many.
        total: their sum.
        longest: the greatest, 0 while there is none.
    """

    __slots__ = ("_buckets", "count", "longest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.longest = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one more; what is not above zero counts as next to nothing."""
        self.count += 1
        self.total += max(seconds, 0.0)
        self.longest = max(self.longest, seconds)
        bucket = _bucket(seconds)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def merge(self, other: Durations) -> None:
        """Add the durations of another one, as from another process."""
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        for bucket, number in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + number

    def quantile(self, share: float) -> float | None:
        """The duration that a share of all (0 to 1) does not exceed, by nearest rank; None while there is none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count))
        if rank >= self.count:
            return self.longest
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return min(_middle(bucket), self.longest)
        return self.longest


def _bucket(seconds: float) -> int:
    # A nanosecond is the clock's own step.
    mantissa, exponent = math.frexp(max(seconds, 1e-9))
    return exponent * _STEPS + int((mantissa - 0.5) * 2 * _STEPS)


def _middle(bucket: int) -> float:
    exponent, step = divmod(bucket, _STEPS)
    return math.ldexp(0.5 + (step + 0.5) / (2 * _STEPS), exponent)
