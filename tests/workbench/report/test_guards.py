"""Drills without a claim in the report: the arms' tables and the sentence that sums them up."""

from __future__ import annotations

import pytest

from workbench import report
from workbench.journal import Journal
from workbench.records import Arm, Line, Metric, Plan, Record, Run, Trial

ARMS = (Arm("control", "Stalwart off"), Arm("treatment", "Stalwart <on>"))
PLAN = Plan("bank", (), "The bank under fire", ARMS, 1, 1, command="workbench drill bank")


def trial(arm: str, doubled: int) -> Trial:
    metrics = {
        "orders": Metric(1200, "orders"),
        "doubled": Metric(doubled, "orders", doubled, 1200),
        "faults:deadlock": Metric(3, "faults", 3, 4),
    }
    violations = {"doubled": f"{doubled} times; first: <b>7</b>"} if doubled else {}
    return Trial(f"bank.1.{arm}", "bank", 0, arm, 0, 1, metrics, violations=violations)


def journal(*records: Record) -> Journal:
    run = Run("demo", "settings", "default", 1, {}, "workbench report")
    return Journal(tuple(Line("r", 0.0, record) for record in (run, *records)), "0" * 64)


@pytest.mark.parametrize(("doubled", "word"), [(0, "Nothing was broken"), (2, "Something was broken")])
def test_the_bank_stands_in_the_report(doubled, word) -> None:
    """Its arms, its groups of figures, its verdict and its command; what comes from the run is escaped."""
    found = journal(PLAN, trial("control", 5), trial("treatment", doubled))
    for html in (report.render(found), report.guard_html(found, "bank")):
        assert "The bank under fire" in html
        assert word in html
        assert "Stalwart &lt;on&gt;" in html
        assert "3 of 4" in html
        assert "workbench drill bank" in html
        assert "<b>7</b>" not in html
    assert 'id="drill-bank"' in report.render(found)


def test_without_such_a_drill_there_is_no_section() -> None:
    """A journal of claims alone has none."""
    assert "drill-bank" not in report.render(journal())
    with pytest.raises(LookupError):
        report.guard_html(journal(), "bank")
