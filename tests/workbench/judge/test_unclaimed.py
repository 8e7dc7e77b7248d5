"""Drills without a claim: their tables, whether what they guard held, and what that does to the claims."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench import cli, judge
from workbench.journal import Journal, plan_hash
from workbench.judge import Comparison
from workbench.records import Arm, Line, Metric, Plan, Record, Trial, Validity
from workbench.run import RunFolder

ARMS = (Arm("control", "Stalwart off"), Arm("treatment", "Stalwart on"), Arm("peer", "tenacity"))
PLAN = Plan("bank", (), "The bank", ARMS, 1, 1, workload={"guards": ["DB-1", "DB-2"]})


def trial(arm: Any, doubled: int = 0, **changes: Any) -> Trial:
    metrics = {
        "orders": Metric(100, "orders"),
        "doubled": Metric(doubled, "orders", doubled, 100),
        "p95": Metric(0.25, "s"),
        "faults:deadlock": Metric(3, "faults", 3, 4),
    }
    violations = {"doubled": f"{doubled} times; first: order 7 is there 2 times"} if doubled else {}
    return Trial(f"bank.1.{arm}", "bank", 0, arm, 0, 1, metrics, **{"violations": violations, **changes})


def right() -> list[Trial]:
    return [trial("control"), trial("treatment"), trial("peer", doubled=4)]


def test_a_peers_violation_is_shown_and_breaks_nothing() -> None:
    """The table has each arm's figures, the peer's double is told with its example, and the exit code is 0."""
    found = Comparison(PLAN, right())
    assert (found.outcome, found.exit_code) == ("held", 0)
    text = found.lines()
    peer = next(line for line in text if line.startswith("tenacity "))
    assert peer.split() == ["tenacity", "100", "4", "0.25", "s"]
    assert next(line for line in text if line.startswith("deadlock")).split()[1:] == ["3", "of", "4"] * 3
    assert "tenacity: doubled: 4 times; first: order 7 is there 2 times" in text
    assert text[-1] == "With Stalwart on, nothing was broken."


@pytest.mark.parametrize("exclusions", [(), ("fault-did-not-bite",), ("interrupted",)])
def test_one_violation_with_us_breaks_it(exclusions: tuple[str, ...]) -> None:
    """Also in a trial that does not count."""
    found = Comparison(PLAN, [trial("control"), trial("treatment", 1, exclusions=exclusions), trial("peer")])
    assert (found.outcome, found.exit_code) == ("broken", 1)
    assert "refutes" in found.lines()[-1]


@pytest.mark.parametrize(
    "trials",
    [
        [trial("control"), trial("treatment", exclusions=("fault-did-not-bite",)), trial("peer")],
        [trial("control", exclusions=("load-not-met",)), trial("treatment"), trial("peer")],
        [trial("control"), trial("treatment")],
        [],
    ],
    ids=["no bite", "too few orders", "an arm is missing", "nothing"],
)
def test_what_does_not_count_makes_it_void(trials: list[Trial]) -> None:
    """Void is no success: exit code 3."""
    found = Comparison(PLAN, trials)
    assert (found.outcome, found.exit_code) == ("void", 3)
    assert found.lines()


def test_a_journal_that_ends_early_says_so() -> None:
    """What is there is judged, and the reader is told how much of the plan that is, and of which block a finding is."""
    plan = replace(PLAN, blocks=3)
    found = Comparison(plan, right()).findings()
    assert "Only 3 of the 9 planned trials are in the journal." in found
    assert any(line.startswith("tenacity, block 1: doubled: ") for line in found)
    assert not any("planned" in line for line in Comparison(PLAN, right()).findings())


def test_trials_are_added_up_and_times_are_medians() -> None:
    """Three blocks of one arm make one row."""
    three = [
        replace(trial("treatment"), metrics={"n": Metric(n, "orders", n, 10), "t": Metric(n, "s")})
        for n in (1, 2, 6)
    ]
    row = Comparison(PLAN, three).lines()[4]
    assert row.split() == ["Stalwart", "on", "9", "2", "s"]


def test_a_cut_off_time_says_so() -> None:
    """A recovery that never came is "more than", not a number."""
    made = replace(trial("treatment"), metrics={"back after": Metric(3, "s", censored=True)})
    assert "> 3 s" in Comparison(PLAN, [made]).lines()[4]


def test_parts_have_rows_of_their_own() -> None:
    """Persistent and pooled connections are not thrown together."""
    plan = replace(PLAN, parts=("persistent", "pooled"))
    found = Comparison(plan, [trial("control", part="pooled"), trial("control", part="persistent")])
    assert [line.partition("  ")[0] for line in found.lines()[4:6]] == [
        "persistent, Stalwart off",
        "pooled, Stalwart off",
    ]


def test_notes_of_a_trial_are_told() -> None:
    """What a reader should know stands under the table."""
    made = trial("control", validity=Validity(notes=("2 clerks had no answer",)))
    assert "Stalwart off: 2 clerks had no answer" in Comparison(PLAN, [made]).lines()


def journal(*records: Record) -> Journal:
    return Journal(tuple(Line("r", 0.0, record) for record in records), "0" * 64)


def test_the_noise_floor_is_no_comparison() -> None:
    """The A/A pass has two arms of one name, and a place of its own."""
    noise = replace(PLAN, drill="noise-floor", arms=(ARMS[0], ARMS[0]))
    assert judge.comparisons(journal(noise, PLAN)) == [Comparison(PLAN, [])]


def test_the_bank_refutes_what_it_guards(make: Any) -> None:
    """A double in the treatment arm of the bank refutes DB-1, which its own trials support; one in the peer's does not."""
    loss = make.loss([300, 290, 310, 305, 295, 300, 310, 290], [2, 1, 3, 2, 2, 1, 2, 3])
    plan = make.plan("DB-1", blocks=8)
    plan = replace(plan, hash=plan_hash(plan))

    def outcome(*bank: Trial) -> tuple[str, str]:
        verdicts = judge.judge(journal(plan, *loss, PLAN, *bank))
        found = next(one for one in verdicts if one.claim == "DB-1")
        return found.outcome, found.code

    assert outcome(*right())[0] == "supported"
    assert outcome(trial("treatment", doubled=1)) == ("refuted", "invariant-violated")


def test_a_journal_of_the_bank_is_judged_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`workbench judge` shows the table and exits as the drill did."""
    for name, trials, code in (
        ("held", right(), 0),
        ("broken", [*right()[::2], trial("treatment", 2)], 1),
        ("void", right()[:1], 3),
    ):
        run = RunFolder.new(tmp_path / name)
        for record in (PLAN, *trials):
            run.append(record)
        assert cli.main(["judge", str(run.journal_path)]) == code
        assert "The bank" in capsys.readouterr().out
