"""What a circuit breaker is told: `BreakerSettings`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from stalwart.exceptions import ConfigurationError
from stalwart.policies.faults import Kinds
from stalwart.policies.finite import is_finite


class BreakerOptions(TypedDict, total=False):
    """The settings as keywords of `CircuitBreaker`; `BreakerSettings` says what they mean."""

    failure_rate: float
    window: int
    window_seconds: float | None
    minimum_calls: int
    slow_seconds: float | None
    slow_rate: float
    open_for: float
    growth: float
    max_open_for: float
    probes: int
    lease: float
    counts: Kinds | None


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a circuit opens, and how it closes again.

    Attributes:
        failure_rate: share of failed calls in the window at which it opens, above 0 to 1. Judged when a call fails.
        window: calls that are looked at, the latest.
        window_seconds: look at the calls of the latest so many seconds instead; costs a look at the clock per call.
        minimum_calls: with fewer calls in the window nothing is judged.
        slow_seconds: a call of this length or more is slow; None looks at no lengths.
        slow_rate: share of slow calls at which it opens.
        open_for: seconds until the first probe after it opened.
        growth: factor by which that time grows with each probe that failed, at least 1.
        max_open_for: seconds; end of that growth.
        probes: successful probes that close it. They are let through one at a time at first, and one more at a time with
            each success: a dependency that has just come back must not be met by everybody at once.
        lease: seconds that a probe may take before another caller gets its place; a lost probe cannot wedge the circuit.
        counts: which errors are failures of the dependency: types, or a function that gets the error. Other errors count as
            answers. None means every `Exception`. Mistakes of the caller (`TypeError`, ...) and refusals never count.
    """

    failure_rate: float = 0.5
    window: int = 100
    window_seconds: float | None = None
    minimum_calls: int = 10
    slow_seconds: float | None = None
    slow_rate: float = 0.5
    open_for: float = 5.0
    growth: float = 2.0
    max_open_for: float = 60.0
    probes: int = 3
    lease: float = 10.0
    counts: Kinds | None = None

    def __post_init__(self) -> None:
        for name in ("failure_rate", "slow_rate"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ConfigurationError(f"{name} is {value!r}; use a share above 0 and at most 1")
        for name in ("window", "minimum_calls", "probes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name} is {value!r}; use a whole number of at least 1")
        for name in ("window_seconds", "slow_seconds", "open_for", "max_open_for", "lease"):
            value = getattr(self, name)
            if value is not None and not (is_finite(value) and value > 0):
                raise ConfigurationError(f"{name} is {value!r}; use a finite number of seconds above 0")
        if not (is_finite(self.growth) and self.growth >= 1):
            raise ConfigurationError(f"growth is {self.growth!r}; use a finite number of at least 1")
        if self.window_seconds is None and self.minimum_calls > self.window:
            raise ConfigurationError(
                f"minimum_calls is {self.minimum_calls} and window {self.window}: it could never open; use a window of at "
                "least minimum_calls"
            )
