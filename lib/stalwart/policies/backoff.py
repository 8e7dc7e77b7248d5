"""How long to wait before the next try: exponential growth, a cap, and full jitter.

The cap is applied before the jitter (as in gRPC, botocore and PyMongo): with the jitter first, all who have waited long
would come back at the same moment, the cap.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from dataclasses import dataclass

from stalwart.exceptions import ConfigurationError
from stalwart.policies.finite import is_finite


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of `random * min(cap, base * multiplier ** (n - 1))` seconds before the n-th repeat.

    Attributes:
        base: seconds; upper end of the first wait.
        multiplier: growth from one wait to the next, at least 1.
        cap: seconds; no wait is longer.

    Raises:
        ConfigurationError: for a negative or infinite length, or a multiplier below 1.
    """

    base: float
    multiplier: float = 2.0
    cap: float = 20.0

    def __post_init__(self) -> None:
        for name in ("base", "cap"):
            value = getattr(self, name)
            if not (is_finite(value) and value >= 0):
                raise ConfigurationError(f"{name} is {value!r}; use a finite number of seconds, 0 or more")
        if not (is_finite(self.multiplier) and self.multiplier >= 1):
            raise ConfigurationError(f"multiplier is {self.multiplier!r}; use a finite number of at least 1")

    def ceiling(self, repeat: int) -> float:
        """Upper end, in seconds, of the wait before repeat number `repeat` (from 1), for any number however large."""
        if repeat < 1:
            raise ConfigurationError(f"repeat is {repeat}; repeats are counted from 1")
        if self.multiplier == 1:
            return min(self.cap, self.base)
        try:
            return min(self.cap, self.base * self.multiplier ** (repeat - 1))
        except OverflowError:  # floats end at about 2 ** 1024, waits do not grow beyond the cap anyway
            return self.cap if self.base else 0.0

    def wait(self, repeat: int, random: Callable[[], float] = _random.random) -> float:
        """Seconds to wait before repeat number `repeat` (from 1); `random` gives numbers in [0, 1)."""
        return self.ceiling(repeat) * random()
