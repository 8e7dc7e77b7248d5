"""Slow start, by the figures of RFC 6928: ten segments at first, twice as many after each round trip."""

from __future__ import annotations

import pytest

from workbench.profile.sizes.network import FIRST_WINDOW, HEADERS, NETWORKS, round_trips, seconds


@pytest.mark.parametrize("trips", range(1, 8))
def test_the_steps_are_where_the_windows_end(trips: int) -> None:
    """What fits into the windows of so many round trips takes as many, a byte more takes one more."""
    room = FIRST_WINDOW * (2**trips - 1) - HEADERS
    assert round_trips(room) == trips
    assert round_trips(room + 1) == trips + 1


def test_an_empty_body_takes_a_round_trip() -> None:
    """Its headers have to arrive."""
    assert round_trips(0) == 1


@pytest.mark.parametrize("network", NETWORKS, ids=lambda one: one.name)
def test_more_bytes_never_arrive_sooner(network: object) -> None:
    """Time grows with the body, is never below half a round trip, and never below what the line can carry."""
    times = [seconds(size, network) for size in range(0, 2_000_000, 3_001)]  # type: ignore[arg-type]
    assert times == sorted(times)
    assert times[0] >= network.round_trip / 2  # type: ignore[attr-defined]
    assert times[-1] >= 1_900_000 / network.bandwidth  # type: ignore[attr-defined]
