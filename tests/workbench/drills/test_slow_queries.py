"""The arithmetic around the drill of slow queries; on a real server it is in test_drills_for_real."""

from __future__ import annotations

import pytest

from workbench.claims import claim
from workbench.drills.slow_queries import HANDS, LEAST, MOST, SHARE, SLOW_QUERIES, threshold_of


def test_a_default_run_holds_enough_cases() -> None:
    """Each planted case once, more than the 72 that the claim asks for, and the same for the clean ones."""
    assert SLOW_QUERIES.blocks == {"quick": 0, "default": HANDS, "full": 2 * HANDS}
    assert claim("DB-5").drill == SLOW_QUERIES.id
    parts, skipped = SLOW_QUERIES.parts("default")
    assert {part.trials for part in claim("DB-5").design.parts} == {*parts, *skipped}


@pytest.mark.parametrize(
    ("seconds", "expected"), [([0.03] * 20, 0.015), ([0.001] * 20, LEAST), ([1.0] * 20, MOST), ([0.03, 0.001, *[0.03] * 18], 0.015)]
)  # fmt: skip
def test_the_threshold_follows_the_machine(seconds: list[float], expected: float) -> None:
    """Half of what the quickest tenth takes, within its bounds."""
    assert threshold_of(seconds) == expected


def test_a_full_run_tries_what_is_suggested_for_every_planted_case() -> None:
    """The trials of a full run share out the cases, each in one of them."""
    numbers = range(SLOW_QUERIES.blocks["full"])
    assert sorted(
        case for number in numbers for case in range(100)[number % (SHARE * HANDS) :: SHARE * HANDS]
    ) == list(range(100))
