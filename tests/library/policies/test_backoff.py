"""The lengths of waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stalwart.exceptions import ConfigurationError
from stalwart.policies.backoff import Backoff


def test_grows_to_the_cap_and_stays_there() -> None:
    """Upper ends double from the base until the cap."""
    backoff = Backoff(base=0.05, multiplier=2, cap=0.5)
    assert [backoff.ceiling(n) for n in range(1, 7)] == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]


def test_jitter_is_full_and_after_the_cap() -> None:
    """A wait is the random share of the capped length, so that waits at the cap differ too."""
    backoff = Backoff(base=1, multiplier=10, cap=5)
    assert [backoff.wait(9, lambda share=share: share) for share in (0, 0.5, 0.9)] == [0, 2.5, 4.5]


@given(
    st.floats(0, 1e6), st.floats(1, 1e6), st.floats(0, 1e6), st.integers(1, 10**30), st.floats(0, 1, exclude_max=True)
)  # fmt: skip
def test_never_overflows_or_leaves_its_bounds(base, multiplier, cap, repeat, share) -> None:
    """For any settings and any number of repeats, however large, a wait lies between 0 and the cap."""
    backoff = Backoff(base, multiplier, cap)
    assert 0 <= backoff.wait(repeat, lambda: share) <= cap
    assert backoff.ceiling(repeat) <= backoff.ceiling(repeat + 1) * (1 + 1e-9)


@pytest.mark.parametrize(
    "arguments", [(-1, 2, 1), (1, 0.5, 1), (1, 2, -1), (float("nan"), 2, 1), (1, float("inf"), 1), (1, 2, float("inf"))]
)  # fmt: skip
def test_settings_without_sense_are_refused(arguments) -> None:
    """Negative and infinite lengths, and shrinking waits, are refused with the value."""
    with pytest.raises(ConfigurationError):
        Backoff(*arguments)


def test_repeats_are_counted_from_one() -> None:
    """There is no wait before the first call."""
    with pytest.raises(ConfigurationError):
        Backoff(1, 2, 3).ceiling(0)
