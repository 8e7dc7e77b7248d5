"""The small drills' check: each planted wrong is found as what it is."""

from __future__ import annotations

from collections import Counter

import pytest

from workbench.drills.tally import examine

ANSWERS = [
    {"name": "a", "outcome": "ok"},
    {"name": "b", "outcome": "failed"},
    {"name": "c", "outcome": "indeterminate"},
]
ROWS = {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize("entries", [{"a": 1}, {"a": 1, "c": 1}])
def test_what_is_right_passes(entries: dict[str, int]) -> None:
    """An unknown transaction may be there or not."""
    found = examine(ANSWERS, Counter(entries), 2 * len(entries), ROWS)
    assert (found.lost, found.doubled, found.ghosts, found.unbalanced) == (0, 0, 0, 0)
    assert found.violations == {}


@pytest.mark.parametrize(
    ("entries", "number", "kinds"),
    [
        ({}, 0, {"lost"}),
        ({"a": 2}, 4, {"doubled"}),
        ({"a": 1, "c": 2}, 6, {"doubled"}),
        ({"a": 1, "b": 1}, 4, {"ghost"}),
        ({"a": 1}, 1, {"sums"}),
        ({"a": 1}, 3, {"sums"}),
        ({"b": 2}, 3, {"lost", "doubled", "ghost", "sums"}),
    ],
    ids=["lost", "doubled", "unknown doubled", "ghost", "half done", "counted too often", "all at once"],
)
def test_each_way_of_being_wrong_is_named(entries: dict[str, int], number: int, kinds: set[str]) -> None:
    """Lost, doubled, there although it failed, and counts that disagree with the entries."""
    found = examine(ANSWERS, Counter(entries), number, ROWS)
    assert set(found.violations) == kinds
    counted = {
        "lost": found.lost,
        "doubled": found.doubled,
        "ghost": found.ghosts,
        "sums": found.unbalanced,
    }
    assert {kind for kind, count in counted.items() if count} == kinds
