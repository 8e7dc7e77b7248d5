"""The outcomes of the latest calls: by number (`CountWindow`) or by age (`TimeWindow`).

`record` is all that a successful call pays. A window belongs to one closed period of one circuit and is thrown away with it,
so a late result of an earlier period lands in a window that nobody reads: that is the generation stamp.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

FINE, FAILED, SLOW, FAILED_SLOWLY = range(4)


class Totals(NamedTuple):
    """Sums of a window.

    Attributes:
        calls: all of them.
        failed: those that failed, slowly or not.
        slow: those that were slow, failed or not.
    """

    calls: int
    failed: int
    slow: int


class CountWindow:
    """The latest `size` calls. `record(outcome)` is the append of a bounded deque: atomic, no lock, no Python frame."""

    __slots__ = ("_ring", "record")

    def __init__(self, size: int) -> None:
        self._ring: deque[int] = deque(maxlen=size)
        self.record: Callable[[int], None] = self._ring.append

    def totals(self) -> Totals:
        """The sums. Of a copy, since others append meanwhile."""
        ring = self._ring.copy()
        both = ring.count(FAILED_SLOWLY)
        return Totals(len(ring), ring.count(FAILED) + both, ring.count(SLOW) + both)


class _Bucket:
    __slots__ = ("counts", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.counts = [0, 0, 0, 0]


class TimeWindow:
    """The calls of the latest `seconds`, in `buckets` parts of which the oldest is dropped at a time.

    Counting takes no lock: two threads that begin a bucket at the same moment may lose the count of a call. A rate does
    not care; a lock in every call would.
    """

    __slots__ = ("_buckets", "_clock", "_length", "_size")

    def __init__(self, seconds: float, clock: Callable[[], float], buckets: int = 10) -> None:
        self._clock = clock
        self._size = buckets
        self._length = seconds / buckets
        self._buckets = [_Bucket(-1) for _ in range(buckets)]

    def record(self, outcome: int) -> None:
        """Count a call that ended now."""
        number = int(self._clock() / self._length)
        bucket = self._buckets[number % self._size]
        if bucket.number != number:
            bucket = self._buckets[number % self._size] = _Bucket(number)
        bucket.counts[outcome] += 1

    def totals(self) -> Totals:
        """The sums of the buckets that are not too old."""
        oldest = int(self._clock() / self._length) - self._size + 1
        rows = [bucket.counts for bucket in self._buckets if bucket.number >= oldest]
        fine, failed, slow, both = (sum(row[i] for row in rows) for i in range(4))
        return Totals(fine + failed + slow + both, failed + both, slow + both)
