"""What is computed from prices, and the line that is drawn through them."""

from __future__ import annotations

import statistics

import pytest

from workbench.demo.stocks.figures import TRADING_DAYS, changes, moving_averages, volatility
from workbench.demo.stocks.sparkline import points

CLOSES = [100.0, 110.0, 99.0, 99.0, 123.75]


def test_changes_start_with_none() -> None:
    """Each change is relative to the close before, and the first close has none."""
    assert changes(CLOSES) == [None, *map(pytest.approx, [0.1, -0.1, 0.0, 0.25])]
    assert changes([5.0]) == [None]
    assert changes([]) == []


def test_moving_averages_begin_when_the_window_is_full() -> None:
    """A mean needs as many closes as its window is long."""
    assert moving_averages(CLOSES, 2) == [None, 105.0, 104.5, 99.0, 111.375]
    assert moving_averages(CLOSES, 9) == [None] * 5


def test_volatility_is_the_yearly_sample_deviation() -> None:
    """It agrees with the standard library, and two closes are not enough for it."""
    steps = [step for step in changes(CLOSES) if step is not None]
    assert volatility(CLOSES) == pytest.approx(statistics.stdev(steps) * TRADING_DAYS**0.5)
    assert volatility(CLOSES[:2]) is None


def test_a_line_stays_in_its_box() -> None:
    """The lowest value is drawn at the bottom and the highest at the top, from left to right."""
    assert points([1, 3, 2], 102, 32) == "2.0,30.0 51.0,2.0 100.0,16.0"


def test_a_line_through_equal_values_is_level() -> None:
    """Equal values, one value and none do not divide by zero."""
    assert points([4, 4], 102, 32) == "2.0,16.0 100.0,16.0"
    assert points([4], 102, 32) == "2.0,16.0"
    assert points([], 102, 32) == ""
