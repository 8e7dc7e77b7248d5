"""The drill of slow queries, once on a real server at its smallest, and the arithmetic around it."""

from __future__ import annotations

import pytest

from workbench import judge, report
from workbench.claims import claim
from workbench.drills.environment import Environment
from workbench.drills.slow_queries import HANDS, LEAST, MOST, SLOW_QUERIES, threshold_of
from workbench.journal import Journal
from workbench.records import Trial
from workbench.run import RunFolder
from workbench.trial import run_drill


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    """One pair of trials, a quarter of the planted cases among all clean ones."""
    run = RunFolder.new(tmp_path_factory.mktemp("slow") / "run", depth="quick")
    with Environment(run.project, run.seed) as environment:
        run_drill(SLOW_QUERIES, run, environment, blocks=1)
    return run.journal()


def arms(journal: Journal) -> dict[str, Trial]:
    return {trial.arm: trial for trial in journal.trials("slow-queries")}


def test_the_planted_queries_are_slow_and_found_only_with_us(journal: Journal) -> None:
    """Server and client agree that they were slow with Stalwart off; on, all are found at their place; off, none."""
    both = arms(journal)
    assert set(both) == {"control", "treatment"}
    for trial in both.values():
        assert trial.exclusions == ()
        (bitten,) = trial.evidence
        assert bitten.seen >= 0.75 * bitten.injected
        assert LEAST <= bitten.detail["threshold"] <= MOST
    found = both["treatment"].metrics["planted_found"]
    assert found.exposure is not None
    assert found.exposure >= 17
    assert found.events == found.exposure, both["treatment"].validity.notes
    assert both["control"].metrics["planted_found"].events == 0


def test_clean_queries_are_left_alone(journal: Journal) -> None:
    """At most a few of more than a hundred, and those because this machine held them up."""
    flagged = arms(journal)["treatment"].metrics["clean_flagged"]
    assert flagged.exposure is not None
    assert flagged.events is not None
    assert flagged.exposure >= 72
    assert flagged.events <= 0.05 * flagged.exposure, arms(journal)["treatment"].validity.notes
    assert arms(journal)["control"].metrics["clean_flagged"].events == 0


def test_kinds_add_up(journal: Journal) -> None:
    """The shares by kind are those of the whole."""
    metrics = arms(journal)["treatment"].metrics
    for name in ("planted_found", "clean_flagged"):
        kinds = [metric for key, metric in metrics.items() if key.startswith(f"{name}:")]
        assert sum(one.exposure or 0 for one in kinds) == metrics[name].exposure
        assert sum(one.events or 0 for one in kinds) == metrics[name].events
    assert len([key for key in metrics if key.startswith("planted_found:")]) >= 6


def test_the_verdict_names_the_part_that_is_not_run(journal: Journal) -> None:
    """The detection parts are judged, the measured part says why it is not, and the page shows all three."""
    (verdict,) = [one for one in judge.judge(journal) if one.claim == "DB-5"]
    assert verdict.outcome == "inconclusive"  # one pair is too few, and a part is missing
    parts = {part.name: part for part in verdict.parts}
    assert parts["recall"].estimate == 1.0
    assert parts["false"].trials == 1
    assert (parts["measured"].outcome, parts["measured"].code) == ("not-run", "skipped")
    assert "profiling" in parts["measured"].reason
    page = report.render(journal)
    assert "planted slow queries found" in page
    assert "of clean queries flagged" in page


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
