"""Limits that learn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stalwart.exceptions import ConfigurationError
from stalwart.policies.limiter import Aimd, Fixed, Gradient


def test_aimd_grows_by_one_per_round_and_shrinks_by_a_tenth() -> None:
    """A full round of good calls adds about one call, a drop or a time-out takes a tenth."""
    limit = Aimd(10.0, timeout=5.0)
    for _ in range(10):
        limit.learn(0.1, 10, dropped=False)
    assert limit.value == pytest.approx(11, abs=0.1)
    limit.learn(0.1, 10, dropped=True)
    limit.learn(5.0, 10, dropped=False)
    assert limit.value == pytest.approx(11 * 0.81, abs=0.1)


@pytest.mark.parametrize("limit", [Aimd(20.0), Gradient(20.0)], ids=["aimd", "gradient"])
def test_no_growth_while_half_empty(limit) -> None:
    """A limit that nobody reaches is not proven by quick calls."""
    for _ in range(1000):
        limit.learn(0.01, 9, dropped=False)
    assert limit.value == 20
    for _ in range(1000):
        limit.learn(0.01, 100, dropped=False)
    assert limit.value > 20


def test_gradient_backs_off_before_anything_is_dropped() -> None:
    """When calls take three times as long as in the long run, the limit falls; when that passes, it recovers."""
    limit = Gradient(50.0, maximum=100.0)
    for _ in range(600):
        limit.learn(0.1, 50, dropped=False)
    assert limit.value == 100
    for _ in range(30):
        limit.learn(0.3, 100, dropped=False)
    low = limit.value
    assert low < 60
    for _ in range(200):
        limit.learn(0.1, 100, dropped=False)
    assert limit.value == 100


def test_gradient_forgets_a_long_overload_quickly() -> None:
    """After bad times the long run comes down faster than its average would: else slow would look normal."""
    limit = Gradient(50.0)
    for _ in range(2000):
        limit.learn(10.0, 50, dropped=False)
    for _ in range(80):
        limit.learn(0.1, 50, dropped=False)
    assert limit._long < 0.3


def test_a_drop_does_not_spoil_the_long_run() -> None:
    """A call that was refused at once says nothing about how long calls take."""
    limit = Gradient(50.0)
    for _ in range(100):
        limit.learn(0.1, 50, dropped=False)
    long, value = limit._long, limit.value
    limit.learn(0.0001, 50, dropped=True)
    assert limit._long == long
    assert limit.value == pytest.approx(value * 0.9)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 500), st.booleans()), max_size=100))
def test_stay_within_their_bounds(calls) -> None:
    """For any calls the value lies between minimum and maximum."""
    limits = [Aimd(5.0, 2.0, 9.0), Gradient(5.0, 2.0, 9.0), Fixed(5)]
    for seconds, in_flight, dropped in calls:
        for limit in limits:
            limit.learn(seconds, in_flight, dropped=dropped)
            assert 2 <= limit.value <= 9
    assert limits[2].value == 5


@pytest.mark.parametrize("make", [lambda: Aimd(5, 6), lambda: Gradient(5, 1, 4), lambda: Aimd(shrink=1), lambda: Fixed(0),
                                  lambda: Aimd(5, 0)])  # fmt: skip
def test_numbers_without_sense_are_refused(make) -> None:
    """Bounds out of order, or a limit that lets nobody in, are refused."""
    with pytest.raises(ConfigurationError):
        make()
