"""What the sides of a change show: an answer that differs first, then whether anything is gained."""

from __future__ import annotations

import re
from typing import Any

import pytest

from workbench.profile import combining
from workbench.profile.pages import Baseline
from workbench.profile.proving import UNSTABLE, proof

BASELINE = Baseline(True, digest="as it is")


def side(
    milliseconds: float, queries: int = 20, mebibytes: float | None = 1.0, **more: Any
) -> dict[str, Any]:
    return {
        "error": None,
        "digests": ["as it is"],
        "unused": [],
        "milliseconds": milliseconds,
        "queries": queries,
        "mebibytes": mebibytes,
        **more,
    }


BEFORE = [side(10.0), side(10.4), side(9.8), side(10.1)]


def sides(*milliseconds: float, **more: Any) -> list[dict[str, Any]]:
    return [side(one, **more) for one in milliseconds]


def test_a_gain_has_its_interval() -> None:
    """Means of both sides, each with its bounds, and the share that is saved."""
    found = proof(BEFORE, sides(5.0, 5.2, 4.9, 5.1, queries=2, mebibytes=0.5), BASELINE)
    assert (found.rejected, found.same) == (None, True)
    assert found.before is not None
    assert found.after is not None
    assert found.reduction is not None
    assert (found.before.queries, found.after.queries, found.after.mebibytes) == (20, 2, 0.5)
    assert found.before.low < 10.0 < found.before.milliseconds < found.before.high
    assert 0.45 < found.reduction[1] < 0.5 < found.reduction[2] < 0.55


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        # Fewer statements and many more rows: counts alone would praise it.
        (sides(110.0, 112.0, 109.0, 111.0, queries=2), r"slower by \d+% \(\d+% to \d+%\)"),
        (sides(9.0, 11.0, 8.0, 12.0, queries=2, mebibytes=60.0), r"takes 59\.0 MiB more and is not surely quicker"),
        (sides(10.0, 10.3, 9.9, 10.2, queries=21), "costs 1 statement more"),
        (sides(10.0, 10.3, 9.9, 10.2, queries=23), "costs 3 statements more"),
        (sides(10.2, 10.2, 9.9, 10.0), "nothing is gained"),
        (sides(5.0, 5.0, 5.0, 5.0, queries=2, digests=["other"]), "the response changes"),
        (sides(5.0, 5.0, 5.0, 5.0, digests=["as it is", "other"]), "the response changes"),
        (sides(5.0, 5.0, error="FieldError: no"), "the page then fails: FieldError: no"),
        (sides(5.0, 5.0, unused=["views.py"]), "never imported"),
    ],
)  # fmt: skip
def test_what_changes_the_answer_or_gains_nothing_is_rejected(
    after: list[dict[str, Any]], reason: str
) -> None:
    """Each with the reason that a reader needs."""
    found = proof(BEFORE, after, BASELINE)
    assert found.rejected is not None
    assert re.search(reason, found.rejected)


@pytest.mark.parametrize(
    "after",
    [
        sides(10.1, 10.3, 9.7, 10.2, mebibytes=0.4),
        sides(9.0, 11.0, 8.0, 12.0, queries=2),
        sides(5.0, 5.2, 4.9, 5.1),
        sides(1.0, 1.0, 1.0, 1.0, queries=2, mebibytes=60.0),
    ],
)
def test_less_memory_fewer_statements_or_less_time_is_a_gain(after: list[dict[str, Any]]) -> None:
    """Any of them, as long as the others cannot be told to be worse; much memory may be bought by time."""
    assert proof(BEFORE, after, BASELINE).rejected is None


def test_a_page_that_differs_between_processes_says_nothing() -> None:
    """Nor one that fails in a process of its own."""
    other = [side(10.0), side(10.0, digests=["another"])]
    assert proof(other, sides(5.0, 5.0, queries=2), BASELINE).rejected == UNSTABLE
    failing = [side(10.0), side(10.0, error="KeyError: 'x'")]
    assert "fails in a process of its own" in str(proof(failing, sides(5.0, 5.0), BASELINE).rejected)


def test_what_is_not_needed_is_dropped_again() -> None:
    """The first choice may become needless by the second; what must not be made together has no cost."""
    costs = {("a",): 6.0, ("b",): 7.0, ("c",): 9.0, ("a", "b"): 2.0, ("a", "c"): 5.0}

    def cost(changes: tuple[str, ...]) -> float | None:
        return costs.get(tuple(sorted(changes)))

    assert combining.greedy("abc", cost, 10.0) == ("a", "b")
    assert combining.greedy("abc", lambda _: None, 10.0) == ()
    assert combining.greedy("abc", lambda _: 10.0, 10.0) == ()
    assert combining.minimal(("a", "b"), lambda some: 1.0 if "b" in some else 6.0) == ("b",)
