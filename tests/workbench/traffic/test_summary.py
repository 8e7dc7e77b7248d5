"""Replies in numbers."""

from __future__ import annotations

import json

import pytest

from workbench.traffic import Outcome, Reply, Second, lateness_p99, quantile, summary


def reply(
    at: float, outcome: Outcome, kind: str = "read", *, error: str | None = None, late: float = 0.0
) -> Reply:
    sent = None if outcome == "dropped" else at + late
    done = None if outcome == "dropped" else at + 0.5
    return Reply(f"{at}", kind, "GET", "/", at, sent, None, done, None, outcome, error, 3, 5)


def test_every_request_is_counted_once() -> None:
    """Counts by outcome, by kind and by error add up to the schedule, and the series has every second of it."""
    result = summary(
        [
            reply(0.1, "ok"),
            reply(0.9, "dropped", error="dropped: 2 in flight"),
            reply(2.0, "failed", error="reset"),
            reply(2.5, "indeterminate", "order", error="reset"),
            reply(2.999, "ok", "order"),
        ]
    )
    assert result.outcomes == {"ok": 2, "failed": 1, "indeterminate": 1, "dropped": 1}
    assert result.kinds["order"] == {"ok": 1, "failed": 0, "indeterminate": 1, "dropped": 0}
    assert result.errors == {"reset": 2, "dropped: 2 in flight": 1}
    assert result.seconds == (Second(0, 1, 2), Second(1, 0, 0), Second(2, 1, 3))
    assert sum(second.total for second in result.seconds) == result.total == 5
    assert (result.bytes_up, result.bytes_down) == (15, 25)
    assert result.latency_p99 == pytest.approx(0.5)
    assert json.loads(json.dumps(result.as_dict()))["seconds"][2] == {"second": 2, "ok": 1, "total": 3}


def test_lateness_counts_sent_requests_only() -> None:
    """The 99th percentile is over what was sent; with nothing sent there is none."""
    replies = [reply(n, "ok", late=0.001 * n) for n in range(1, 101)]
    assert lateness_p99([*replies, reply(5, "dropped")]) == pytest.approx(0.099)
    assert lateness_p99([reply(5, "dropped")]) is None


@pytest.mark.parametrize(("q", "value"), [(0.01, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1, 4)])
def test_a_quantile_is_a_value_that_occurred(q: float, value: float) -> None:
    """The nearest rank, whatever the order of the values."""
    assert quantile([4, 1, 3, 2], q) == value


def test_nothing_is_summarised_as_nothing() -> None:
    """No replies give zero counts and no quantiles."""
    assert summary([]).total == 0
    assert summary([]).latency_p50 is None
    assert summary([]).seconds == ()
