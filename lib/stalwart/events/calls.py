"""What became of calls that failed: repeats, circuits, fallbacks, other targets."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from .record import Event


@dataclass(frozen=True, slots=True)
class RetryScheduled(Event):
    """A failed call will be made again.

    Attributes:
        call: number of the call that failed, from 1.
        max_retries: how often it may be repeated in all.
        wait: seconds until the repeat.
        error_class: the word of `stalwart.database.classification.ErrorClass`; "failure" for `resilient_operation`.
        error: name of the exception's type.
        code: SQLSTATE or the like, None where the driver gives none.
    """

    level: ClassVar[int] = logging.WARNING

    call: int
    max_retries: int
    wait: float
    error_class: str
    error: str
    code: str | None


@dataclass(frozen=True, slots=True)
class RetryGivenUp(Event):
    """A call that could have been repeated was not repeated again.

    Attributes:
        calls: how many were made.
        reason: why there is no further one.
        error_class, error, code: as in `RetryScheduled`.
    """

    level: ClassVar[int] = logging.ERROR

    calls: int
    reason: str
    error_class: str
    error: str
    code: str | None


@dataclass(frozen=True, slots=True)
class CircuitChanged(Event):
    """A circuit breaker went from one state to another; `operation` is its name.

    Attributes:
        number: counts the changes of this circuit, so that records which overtake each other can be put in order.
        before, after: words of `stalwart.policies.breaker.State`. Both are "metrics-only" when a circuit that only
            watches would have opened.
        reason: why.
        calls: in the window that was judged, 0 where none was.
        failure_rate, slow_rate: their shares, 0 to 1.
        open_for: seconds until the first probe, for a circuit that opened; else None.
    """

    level: ClassVar[int] = logging.WARNING

    number: int
    before: str
    after: str
    reason: str
    calls: int
    failure_rate: float
    slow_rate: float
    open_for: float | None


@dataclass(frozen=True, slots=True)
class FallbackUsed(Event):
    """A call was answered by its fallback.

    Attributes:
        calls: that were made before.
        error: name of the exception's type.
    """

    level: ClassVar[int] = logging.WARNING

    calls: int
    error: str


@dataclass(frozen=True, slots=True)
class TargetChanged(Event):
    """A failover now prefers another target; `operation` is its name.

    Attributes:
        before, after: names of the targets.
        primary: whether `after` is the first one, that is, things are as they should be again.
    """

    level: ClassVar[int] = logging.WARNING

    before: str
    after: str
    primary: bool


@dataclass(frozen=True, slots=True)
class RequestRetried(Event):
    """A request whose view had failed was answered by running the view again; `operation` is its method and view.

    Attributes:
        runs: of the view, at least 2.
        seconds: from the first failure to the answer.
        status: of the answer. An error's when the last run has failed, too.
        error_class, error, code: of the last failure that was followed by another run, as in `RetryScheduled`.
    """

    level: ClassVar[int] = logging.WARNING

    runs: int
    seconds: float
    status: int
    error_class: str
    error: str
    code: str | None
