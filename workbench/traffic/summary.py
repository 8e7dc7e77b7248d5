"""What a load's replies say, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from workbench.traffic.records import OUTCOMES, Reply


def quantile(values: Iterable[float], q: float) -> float | None:
    """The nearest-rank quantile: a value that occurred, never one in between. None without values.

    Args:
        values: in any order.
        q: in (0, 1], such as 0.99.
    """
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1] if ordered else None


def lateness_p99(replies: Iterable[Reply]) -> float | None:
    """Seconds by which 99 in 100 sent requests left late at most; None when nothing was sent.

    A late generator offers another load than the one planned: a trial in which this is large says nothing.
    """
    return quantile((reply.lateness for reply in replies if reply.lateness is not None), 0.99)


@dataclass(frozen=True)
class Second:
    """The requests that were meant to leave within one second of the schedule."""

    second: int
    ok: int
    total: int


@dataclass(frozen=True)
class Summary:
    """A load in numbers.

    Args:
        total: scheduled requests, each counted in exactly one outcome.
        outcomes: count by outcome; all four are always there.
        kinds: the same for each kind of request.
        errors: count by error class; ok requests have none.
        seconds: ok and total for each second of the schedule, by intended time, empty seconds included.
        latency_p50: seconds from the intended time, over ok requests; None when none was ok. So is `latency_p99`.
        latency_p99: see there.
        lateness_p99: the generator's own lateness in seconds.
        repeated: requests that were written to a second connection, the first being stale.
        bytes_up: on the wire, over all requests; so is `bytes_down`.
        bytes_down: see there.
    """

    total: int
    outcomes: dict[str, int]
    kinds: dict[str, dict[str, int]]
    errors: dict[str, int]
    seconds: tuple[Second, ...]
    latency_p50: float | None
    latency_p99: float | None
    lateness_p99: float | None
    repeated: int
    bytes_up: int
    bytes_down: int

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def summary(replies: Sequence[Reply]) -> Summary:
    """Count a load's replies.

    Args:
        replies: as `Load.wait` returns them; any order will do.
    """
    kinds: dict[str, dict[str, int]] = {}
    for reply in replies:
        kinds.setdefault(reply.kind, dict.fromkeys(OUTCOMES, 0))[reply.outcome] += 1
    fine = [reply for reply in replies if reply.outcome == "ok"]
    latencies = [reply.latency for reply in fine if reply.latency is not None]
    errors = Counter(reply.error for reply in replies if reply.error is not None)
    return Summary(
        total=len(replies),
        outcomes={name: sum(counts[name] for counts in kinds.values()) for name in OUTCOMES},
        kinds=dict(sorted(kinds.items())),
        errors=dict(errors.most_common()),
        seconds=_by_second(replies),
        latency_p50=quantile(latencies, 0.5),
        latency_p99=quantile(latencies, 0.99),
        lateness_p99=lateness_p99(replies),
        repeated=sum(reply.attempts > 1 for reply in replies),
        bytes_up=sum(reply.bytes_up for reply in replies),
        bytes_down=sum(reply.bytes_down for reply in replies),
    )


def _by_second(replies: Sequence[Reply]) -> tuple[Second, ...]:
    total = Counter(int(reply.intended) for reply in replies)
    fine = Counter(int(reply.intended) for reply in replies if reply.outcome == "ok")
    return tuple(Second(second, fine[second], total[second]) for second in range(max(total, default=-1) + 1))
