"""Durations in log-linear buckets: quantiles to within 2 %, in little memory, and they add up."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from stalwart.database.durations import Durations

SECONDS = st.floats(min_value=1e-8, max_value=1e5)


def of(values: list[float]) -> Durations:
    made = Durations()
    for value in values:
        made.add(value)
    return made


@given(st.lists(SECONDS, min_size=1, max_size=200), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_within_two_percent(values: list[float], share: float) -> None:
    """It is the nearest-rank quantile of the values themselves, give or take 2 %."""
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    found = of(values).quantile(share)
    assert found is not None
    assert abs(found - exact) <= 0.02 * exact


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_two_add_up_to_one(one: list[float], other: list[float]) -> None:
    """Merging gives what counting all of them at once gives."""
    merged, all_at_once = of(one), of(one + other)
    merged.merge(of(other))
    assert merged._buckets == all_at_once._buckets
    assert merged.count == all_at_once.count
    assert merged.longest == all_at_once.longest
    assert math.isclose(merged.total, all_at_once.total)


def test_nothing_counted_has_no_quantile() -> None:
    """None, not nought: nought would be a time."""
    assert Durations().quantile(0.95) is None


def test_a_clock_that_went_back_does_no_harm() -> None:
    """What is not above nought counts, and weighs nothing."""
    made = of([-1.0, 0.0, 2.0])
    assert (made.count, made.total, made.longest) == (3, 2.0, 2.0)


def test_little_memory() -> None:
    """From half a second to an hour no more than 450 buckets, however many were counted."""
    made = of([0.5 * 1.001**step for step in range(9000)])
    assert len(made._buckets) <= 450
