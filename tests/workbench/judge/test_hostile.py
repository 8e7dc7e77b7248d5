"""Journals that no sound drill writes: the judge never raises, and always gives a verdict with a reason."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.claims import CLAIMS, Claim
from workbench.journal import Journal
from workbench.judge import contrast, judge, judge_claim, lines, strongest
from workbench.judge.summary import more_needed
from workbench.records import Metric, Trial, Validity, Verdict

OFF = [360, 352, 371, 340, 365, 358, 349, 362]
ON = [7, 8, 6, 9, 7, 6, 8, 7]


def sound(verdict: Verdict) -> Verdict:
    """What holds of every verdict: a reason that is a sentence, finite numbers in order, plain JSON types."""
    assert verdict.reason.strip()
    assert verdict.code
    assert "nan" not in verdict.reason.lower()
    assert "inf " not in verdict.reason.lower()
    for one in (verdict, *verdict.parts):
        numbers = [one.estimate, one.low, one.high]
        assert all(number is None or (type(number) is float and math.isfinite(number)) for number in numbers)
        if None not in numbers:
            assert one.low <= one.estimate <= one.high  # type: ignore[operator]
        if one.outcome in ("supported", "refuted"):
            assert None not in numbers
    return verdict


def judged(make: Any, id_: str, trials: list[Trial], **plan: Any) -> Verdict:
    return sound(judge_claim(make.claims[id_], make.plan(id_, **plan), trials))


def with_metrics(trials: list[Trial], **metrics: Any) -> list[Trial]:
    return [dataclasses.replace(trial, metrics={**trial.metrics, **metrics}) for trial in trials]


@pytest.mark.parametrize(
    "metric",
    [
        Metric(math.nan, "share", 1, 800),
        Metric(math.inf, "share", 1, 800),
        Metric(None, "share", 1, 800),  # type: ignore[arg-type]
        Metric(0.5, "share"),
        Metric(0.5, "share", None, 800),
        Metric(0.5, "share", -3, 800),
        Metric(0.5, "share", 900, 800),
        Metric(0.5, "share", 0, 0),
        Metric(-0.5, "share", 1, 800),
        None,
    ],
)
def test_unusable_values_leave_nothing_to_judge(make, metric: Any) -> None:
    """NaN, infinity, None, negative values and impossible counts make a trial unusable, never a number."""
    found = judged(make, "DB-1", with_metrics(make.loss(OFF, ON), failures=metric))
    assert (found.outcome, found.code, found.trials) == ("inconclusive", "metric-missing", 0)
    one_bad = make.loss(OFF, ON)
    one_bad[0] = with_metrics(one_bad[:1], failures=metric)[0]
    found = judged(make, "DB-1", one_bad)
    assert (found.outcome, found.trials) == ("inconclusive", 7)


def test_a_metric_that_is_not_there_at_all(make) -> None:
    """Trials without any metric are inconclusive, for each of the four claims."""
    for id_, part in (("DB-1", ""), ("DB-2", ""), ("MEM-4", "rows-100000"), ("NET-1", "")):
        drill = make.claims[id_].drill
        bare = [
            make.trial(drill, block, arm, {}, part=part)
            for block in range(9)
            for arm in ("control", "treatment")
        ]
        assert judged(make, id_, bare).outcome == "inconclusive"


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_one_arm_missing(make, arm: str) -> None:
    """With one arm only there is no pair; a claim of a share needs the treatment alone."""
    trials = [trial for trial in make.loss(OFF, ON) if trial.arm == arm]
    found = judged(make, "DB-1", trials)
    assert (found.outcome, found.code) == ("inconclusive", "too-few-trials")
    assert "both arms of a block" in found.reason
    bytes_ = [trial for trial in make.bandwidth([100.0] * 8, [20.0] * 8) if trial.arm == arm]
    assert judged(make, "NET-1", bytes_).outcome == "inconclusive"
    peaks = [trial for trial in make.memory(100_000, [3e8] * 3, [2e7] * 3) if trial.arm == arm]
    assert judged(make, "MEM-4", peaks).outcome == "inconclusive"
    control_only = [make.recovered(block, "control", 1, 25) for block in range(4)]
    assert judged(make, "DB-2", control_only).outcome == "inconclusive"


def test_unequal_blocks_count_where_both_arms_are(make) -> None:
    """Blocks with one arm do not count, and blocks are matched by number, not by order."""
    trials = make.loss([*OFF, 400, 400, 400], ON)
    assert judged(make, "DB-1", trials).trials == 8
    assert judged(make, "DB-1", trials[::-1]) == judged(make, "DB-1", trials)
    shifted = [
        dataclasses.replace(t, block=t.block + 5) if t.arm == "treatment" else t for t in make.loss(OFF, ON)
    ]
    assert judged(make, "DB-1", shifted).trials == 3


def test_duplicated_trials_do_not_add_pairs(make) -> None:
    """The same three blocks written three times are three pairs; of two trials of a block the first counts."""
    trials = make.loss(OFF[:3], ON[:3])
    found = judged(make, "DB-1", trials * 3)
    assert (found.code, found.trials) == ("too-few-trials", 3)
    better = [dataclasses.replace(t, id=t.id + "b") for t in make.loss(OFF, [0] * 8) if t.arm == "treatment"]
    assert judged(make, "DB-1", make.loss(OFF, ON) + better) == judged(make, "DB-1", make.loss(OFF, ON))
    shares = [make.recovered(0, "treatment", 25, 25)] * 5
    assert judged(make, "DB-2", shares).trials == 1


def test_zero_events_everywhere(make) -> None:
    """Nothing failed, nothing was seen, nothing was sent: void or inconclusive, never supported."""
    assert judged(make, "DB-1", make.loss([0] * 8, [0] * 8)).outcome == "void"
    assert (
        judged(make, "DB-2", [make.recovered(block, "treatment", 0, 0) for block in range(8)]).outcome
        == "void"
    )
    assert judged(make, "MEM-4", make.memory(100_000, [0] * 3, [0] * 3)).parts[0].outcome == "void"
    assert judged(make, "NET-1", make.bandwidth([0.0] * 8, [0.0] * 8)).outcome == "inconclusive"
    assert judged(make, "DB-1", make.loss([0] * 2, [0] * 2)).outcome == "inconclusive"
    assert judged(make, "DB-1", make.loss([0], [0])).outcome == "inconclusive"


def test_an_all_zero_treatment_is_supported_with_honest_bounds(make) -> None:
    """No failure, no recovery, no byte in the treatment arm: bounds stay within what can be said."""
    assert judged(make, "DB-1", make.loss(OFF, [0] * 8)).outcome == "supported"
    assert (
        judged(make, "DB-2", [make.recovered(block, "treatment", 0, 25) for block in range(8)]).outcome
        == "refuted"
    )
    assert judged(make, "NET-1", make.bandwidth([100.0] * 8, [0.0] * 8)).code == "exceeded"


def test_negative_values_are_no_measurement(make) -> None:
    """Negative bytes leave their trial or payload out."""
    found = judged(make, "MEM-4", make.memory(100_000, [3e8, -3e8, 3e8], [2e7, 2e7, -2e7]))
    assert found.parts[0].trials == 1
    assert judged(make, "NET-1", make.bandwidth([-100.0] * 8, [20.0] * 8)).outcome == "inconclusive"


@pytest.mark.parametrize("scale", [1e-308, 1e-150, 1e150, 1e307])
def test_values_at_the_ends_of_the_number_range(make, scale: float) -> None:
    """Huge and tiny values neither overflow nor change the outcome."""
    trials = make.memory(100_000, [3 * scale, 3.1 * scale, 3.05 * scale], [0.2 * scale] * 3)
    found = judged(make, "MEM-4", trials)
    assert found.parts[0].outcome == "supported"
    huge = make.bandwidth([scale * n for n in range(1, 9)], [scale * n / 4 for n in range(1, 9)])
    assert judged(make, "NET-1", huge).outcome in ("supported", "inconclusive")


def test_unknown_parts_and_arms_are_not_read(make) -> None:
    """Trials of a part that the claim does not have, and arms that it does not compare, do not count."""
    stray = [
        dataclasses.replace(trial, part="rows-7") for trial in make.memory(100_000, [3e8] * 3, [2e7] * 3)
    ]
    assert judged(make, "MEM-4", stray).outcome == "not-run"
    peers = [dataclasses.replace(trial, arm="peer") for trial in make.loss(OFF, ON)]
    assert judged(make, "DB-1", peers).outcome == "inconclusive"


def test_an_empty_journal_has_all_verdicts() -> None:
    """Without a single line every claim is not-run, with its reason."""
    found = judge(Journal(lines=(), sha256=""))
    assert [sound(one).outcome for one in found] == ["not-run"] * len(CLAIMS)


# ------------------------------------------------------------------------------------------ anything at all

numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 1),
    st.integers(-3, 2000).map(float),
    st.just(0.0),
)
metric = st.builds(
    Metric,
    value=numbers,
    unit=st.just("share"),
    events=st.one_of(st.none(), st.integers(-2, 50)),
    exposure=st.one_of(st.none(), st.integers(-2, 60)),
    censored=st.booleans(),
)
arms = st.sampled_from(["control", "treatment", "peer", "absent"])
codes = st.sampled_from([(), (), (), ("load-not-met",), ("driver-error",)])
validity = st.builds(Validity, manipulated=st.sampled_from([True, True, True, False]))


def metric_names(claim: Claim) -> list[str]:
    names: list[str] = []
    for part in (*claim.design.parts, *claim.design.rails):
        names += [getattr(part.rule, name, None) or "other" for name in ("metric", "unknown", "check")]
        names += [getattr(part.rule, "prefix", "other") + "x", *getattr(part.rule, "same", ())]
    return sorted(set(names))


@st.composite
def journals(draw: st.DrawFn) -> tuple[Claim, list[Trial]]:
    claim = dataclasses.replace(draw(st.sampled_from(CLAIMS)), drill="no-such-drill")
    parts = sorted({part.trials for part in claim.design.parts})
    names = metric_names(claim)
    trials = draw(
        st.lists(
            st.builds(
                Trial,
                id=st.text(max_size=3),
                drill=st.just("no-such-drill"),
                block=st.integers(0, 9),
                arm=arms,
                order=st.just(0),
                seed=st.just(0),
                part=st.sampled_from([*parts, "stray"]),
                metrics=st.dictionaries(st.sampled_from(names), metric, max_size=len(names)),
                exclusions=codes,
                validity=validity,
                violations=st.sampled_from([{}, {}, {}, {"bank": "order 1 twice"}]),
            ),
            max_size=30,
        )
    )
    return claim, trials


@given(journals(), st.booleans(), st.integers(10, 200))
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_journal_makes_the_judge_raise(
    make, data: tuple[Claim, list[Trial]], missing: bool, width: int
) -> None:
    """Any trials of any claim give a verdict, the peer's contrast, a statement and a printed row."""
    claim, trials = data
    plan = make.plan(
        claim.id, drill="no-such-drill", missing=("blackhole",) if missing else (), parts=("", "stray")
    )
    verdict = sound(judge_claim(claim, plan, trials))
    if missing:
        assert verdict.outcome != "supported"
    if (
        any(trial.violations and trial.arm == "treatment" for trial in trials)
        and verdict.outcome != "not-run"
    ):
        assert verdict.outcome == "refuted"
    beside = contrast(claim, plan, trials)
    if beside is not None:
        sound(beside)
    assert isinstance(strongest(claim, verdict), str)
    assert isinstance(more_needed(verdict), str)
    assert lines([verdict], [claim], width=width)


@st.composite
def counted(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Well-formed failures of DB-1, of any number of pairs."""
    of = draw(st.integers(1, 900))
    size = draw(st.integers(1, 12))
    some = st.lists(st.integers(0, of), min_size=size, max_size=size)
    return draw(some), draw(some), of


@given(counted(), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_any_counts_of_failures_are_judged_by_the_rule(
    make, data: tuple[list[int], list[int], int], unknown: int
) -> None:
    """Supported and refuted only with eight pairs and an interval on one side; supported only with 74 failures."""
    control, treatment, of = data
    found = judged(make, "DB-1", make.loss(control, treatment, of=of, unknown=unknown))
    if found.outcome == "supported":
        assert found.low is not None
        assert found.low >= 0.95 - 1e-9
        assert sum(control) >= 74
    if found.outcome == "refuted":
        assert found.high is not None
        assert found.high < 0.95
    if len(control) < 8:
        assert (found.outcome, found.code) == ("inconclusive", "too-few-trials")
    if found.needed is not None and found.outcome == "inconclusive":
        assert found.needed >= max(8, len(control))
