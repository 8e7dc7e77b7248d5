"""The seeded Poisson schedule."""

from __future__ import annotations

import itertools
import statistics

import pytest

from workbench.traffic import arrivals


def test_the_same_seed_gives_the_same_times() -> None:
    """Both arms of a block get one schedule, another seed gives another."""
    assert arrivals(40, 10, 7) == arrivals(40, 10, 7)
    assert arrivals(40, 10, 7) != arrivals(40, 10, 8)


def test_times_are_a_poisson_process() -> None:
    """At 50/s for 400 s count, mean gap and spread of gaps are those of a Poisson process within 5 standard errors."""
    times = arrivals(50, 400, 1)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < 400
    assert abs(len(times) - 20_000) < 5 * 20_000**0.5
    assert abs(statistics.stdev(gaps) / statistics.mean(gaps) - 1) < 5 / len(gaps) ** 0.5


@pytest.mark.parametrize(("rate", "duration"), [(0, 1), (-1, 1), (1, 0)])
def test_refuses_what_is_no_load(rate: float, duration: float) -> None:
    """A rate or a duration that is not positive is an error that shows the value."""
    with pytest.raises(ValueError, match="positive"):
        arrivals(rate, duration, 1)
