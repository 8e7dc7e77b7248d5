"""Words beside figures: nothing is said twice, and nothing is lost."""

from __future__ import annotations

import pytest

from workbench.records import Part, Verdict
from workbench.report.words import beside_figures, listed, small, when, without_figures


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        (
            "96.0 % fewer failed requests (95.2 – 96.4 %), claimed at least 95 %; 8 pairs, 20 failures.",
            "8 pairs, 20 failures.",
        ),
        ("84.4 % fewer bytes (82.6 – 88.1 %), claimed 60–80 %; 8 payloads.", "8 payloads."),
        ("This version has no drill for it yet.", "This version has no drill for it yet."),
        (
            "2 of 8 trials broke it: x. 59.8 % fewer (57 – 62 %), claimed at least 95 %; 8 pairs.",
            "2 of 8 trials broke it: x. 59.8 % fewer (57 – 62 %), claimed at least 95 %; 8 pairs.",
        ),
    ],
)
def test_only_opening_figures_are_left_out(reason: str, left: str) -> None:
    """A reason loses the clause of figures that opens it, and nothing else."""
    assert without_figures(reason) == left


def test_parts_keep_their_names() -> None:
    """The reason of a claim in parts is whole unless all parts hold, which their table shows."""
    reason = "10 rows: 9.0 % less (8.0 – 9.9 %), claimed at least 70 %; 3 pairs. 20 rows: not run: quick."
    part = Part("a", "supported", "interval-above", 0.9, 0.8, 0.99, 0.7, 3, "Above.")
    open_ = Verdict("MEM-4", "inconclusive", "part-not-run", reason, parts=(part, part))
    held = Verdict(
        "MEM-4", "supported", "interval-above", reason, 0.9, 0.8, 0.99, trials=3, parts=(part, part)
    )
    assert beside_figures(open_) == reason
    assert beside_figures(held) == "All two parts hold; the figures are those of the weakest."


def test_small_words() -> None:
    """Numbers, lists and dates read as English."""
    assert [small(n) for n in (0, 4, 12, 1300)] == ["none", "four", "twelve", "1,300"]
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a"]) == "a"
    assert listed([]) == ""
    assert when(0) == "1970-01-01 00:00 UTC"
    assert when(1e300) == "at an unknown time"
