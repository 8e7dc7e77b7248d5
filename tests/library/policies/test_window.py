"""The windows of a circuit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stalwart.policies.window import FAILED, FAILED_SLOWLY, FINE, SLOW, CountWindow, TimeWindow


def test_counts_the_latest_calls_only() -> None:
    """What is older than the window's size has no say."""
    window = CountWindow(3)
    for outcome in (FAILED, FAILED, FINE, SLOW, FAILED_SLOWLY):
        window.record(outcome)
    assert window.totals() == (3, 1, 2)


def test_counts_the_latest_seconds_only(clock) -> None:
    """What is older than the window's length has no say, also after a long silence."""
    window = TimeWindow(10, clock)
    window.record(FAILED)
    clock.advance(5)
    window.record(FINE)
    window.record(SLOW)
    assert window.totals() == (3, 1, 1)
    clock.advance(5)
    assert window.totals() == (2, 0, 1)
    clock.advance(1000)
    assert window.totals() == (0, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 4), st.integers(0, 3)), max_size=60))
def test_time_window_against_the_plain_reading(steps) -> None:
    """For any calls at any times the sums lie between those of the last 9 and the last 10 tenths."""
    now = [500.0]
    window, calls = TimeWindow(10, lambda: now[0]), []
    for pause, outcome in steps:
        now[0] += pause
        window.record(outcome)
        calls.append((now[0], outcome))

    def plain(seconds: float) -> tuple[int, int, int]:
        late = [outcome for at, outcome in calls if now[0] - at < seconds]
        return (
            len(late),
            *(sum(o in kinds for o in late) for kinds in ((FAILED, FAILED_SLOWLY), (SLOW, FAILED_SLOWLY))),
        )

    for low, value, high in zip(plain(9 - 1e-6), window.totals(), plain(10 + 1e-6), strict=True):
        assert low <= value <= high
