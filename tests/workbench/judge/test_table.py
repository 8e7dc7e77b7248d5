"""The scorecard in the terminal, and numbers in words."""

from __future__ import annotations

import pytest

from workbench.claims import CLAIMS, Limit, Never, Payloads, Proportion, Reduction
from workbench.judge import judge_claim, lines
from workbench.judge.wording import amount, bound, change, claimed, figure, percent, span, whole

OFF = [360, 352, 371, 340, 365, 358, 349, 362]
ON = [7, 8, 6, 9, 7, 6, 8, 7]


def verdicts(make):
    own = {
        "DB-1": make.loss(OFF[:4], ON[:4]),
        "DB-2": [make.recovered(block, "treatment", 24, 25) for block in range(4)],
        "MEM-4": make.memory(100_000, [3e8] * 3, [2e8, 2.1e8, 2e8]),
        "NET-1": make.bandwidth([4000.0 * n for n in range(1, 9)], [500.0 * n for n in range(1, 9)]),
    }
    return [
        judge_claim(claim, make.plan(claim.id) if claim.id in own else None, own.get(claim.id, []))
        for claim in CLAIMS
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_the_scorecard_fits_the_terminal_and_holds_every_claim(make, width: int) -> None:
    """No line passes the width, each claim has its row with word and icon, and the last line counts them."""
    found = lines(verdicts(make), width=width)
    assert max(len(line) for line in found) <= width
    text = "\n".join(found)
    for claim in CLAIMS:
        assert claim.id in text
    for word in ("✓ Supported", "✕ Refuted", "? Inconclusive", "– Not run"):
        assert word in text
    assert " ".join(found).endswith("27 claims: 2 supported, 1 refuted, 1 inconclusive, 23 not run")
    assert not any(line != line.rstrip() for line in found)


def test_a_wide_row_shows_figure_interval_and_statement(make) -> None:
    """Claim, published text, estimate with interval, statement, and what would decide stand in columns."""
    text = "\n".join(lines(verdicts(make), width=200))
    assert "96.0 % (90.1 – 98.9 %)" in text
    assert "at least 90 % of transient errors recovered" in text
    assert "4 more trials would decide" in text


def test_no_verdicts_are_said_to_be_none() -> None:
    """An empty list is one line."""
    assert lines([]) == ["no verdicts"]


LOSS = Reduction("failures", 0.95, "fewer failed requests", "more failed requests")


@pytest.mark.parametrize(
    ("low", "high", "statement"),
    [
        (0.9561, 0.99, "at least 95 % fewer failed requests"),
        (0.29, 0.5, "at least 29 % fewer failed requests"),
        (0.9996, 1.0, "at least 99.9 % fewer failed requests"),
        (0.001, 0.5, ""),
        (-0.5, 0.5, ""),
        (-0.5, -0.129, "at least 12 % more failed requests"),
    ],
)
def test_the_strongest_statement_is_rounded_to_the_careful_side(
    low: float, high: float, statement: str
) -> None:
    """Never more than the interval supports."""
    assert bound(LOSS, low, high) == statement


def test_statements_of_the_other_rules() -> None:
    """Shares, ceilings, limits and what never happened have their own words."""
    assert bound(Proportion("r", 0.8, "recovered", "errors"), 0.934, 0.99) == "at least 93 % recovered"
    assert (
        bound(Proportion("f", 0.05, "flagged", "windows", at_most=True), 0, 0.0412) == "at most 5 % flagged"
    )
    assert bound(Limit("d", 5, "to the event", "s"), 1, 4.2512) == "at most 4.26 s to the event"
    assert bound(Limit("f", 0.95, "F1", "", at_least=True), 0.96789, 1) == "at least 0.967 F1"
    assert (
        bound(Never("u", "unclean shutdowns", "shutdowns"), 0.98337, 1)
        == "more than 98.3 % of shutdowns without"
    )


def test_a_bound_near_the_threshold_is_written_so_that_it_can_be_told_from_it() -> None:
    """94.96 % of a claimed 95 % is not written as 95.0 %; none is never written as minus none."""
    assert percent(0.9496, 0.95) == "94.96"
    assert percent(0.95, 0.95) == "95.0"
    assert percent(0.976) == "97.6"
    assert percent(-0.0001) == "0.0"
    assert percent(-0.031) == "−3.1"
    assert whole(0.95) == "95"
    assert whole(0.995) == "99.5"


def test_intervals_in_words() -> None:
    """Intervals below zero use "to", so that a dash is not taken for a minus."""
    assert span(LOSS, 0.961, 0.99) == "96.1 – 99.0 %"
    assert span(LOSS, -0.03, 0.3) == "−3.0 to 30.0 %"
    assert change(-0.12, LOSS) == "12.0 % more failed requests"
    assert figure(LOSS, 0.978, 0.961, 0.99) == "97.8 % (96.1 – 99.0 %)"
    assert figure(LOSS, 0.978, None, None) == "97.8 %"
    assert figure(LOSS, None, None, None) == ""
    assert figure(Limit("d", 5, "x", "s"), 4.2, 4, 4.4) == "4.2 s (4 s – 4.4 s)"
    assert amount(12_345.6, "bytes") == "12,346 bytes"
    assert claimed(Payloads("bytes:", 0.6, "fewer bytes", "more bytes", upper=0.8)) == "60–80 %"
    assert claimed(Reduction("p50", -0.05, "less", "more")) == "at most 5 % more"
