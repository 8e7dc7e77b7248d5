"""Each outcome and code of the judge, from trials as drills write them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from workbench.claims import CLAIMS, Claim
from workbench.journal import JournalWriter, plan_hash, read
from workbench.judge import contrast, exit_code, judge, judge_claim, strongest
from workbench.judge.summary import more_needed
from workbench.records import Finding, Metric, Run, Trial, Validity, Verdict

OFF = [360, 352, 371, 340, 365, 358, 349, 362]
ON = [7, 8, 6, 9, 7, 6, 8, 7]


def verdict(make: Any, id_: str, trials: list[Trial], **plan: Any) -> Verdict:
    return judge_claim(make.claims[id_], make.plan(id_, **plan), trials)


def invalid(trials: list[Trial], **validity: Any) -> list[Trial]:
    return [dataclasses.replace(trial, validity=Validity(**validity)) for trial in trials]


# ------------------------------------------------------------------------------------------ DB-1


def test_a_reduction_whose_interval_lies_above_is_supported_and_says_so_in_numbers(make) -> None:
    """Both methods above 95 %: supported, with a sentence that carries estimate, interval, pairs and failures."""
    found = verdict(make, "DB-1", make.loss(OFF, ON))
    assert (found.outcome, found.code) == ("supported", "interval-above")
    assert found.low is not None
    assert found.high is not None
    assert found.estimate is not None
    assert 0.95 <= found.low < found.estimate < found.high < 1
    assert (found.threshold, found.trials, found.level, found.needed) == (0.95, 8, 0.95, None)
    assert found.reason == (
        "98.0 % fewer failed requests (97.4 – 98.2 %), claimed at least 95 %; 8 pairs, 2,857 failures in the control arm."
    )
    assert strongest(make.claims["DB-1"], found) == "at least 97 % fewer failed requests"


def test_a_reduction_whose_interval_lies_below_is_refuted_and_still_says_what_holds(make) -> None:
    """All of the interval below 95 %: refuted, and the strongest statement is printed."""
    found = verdict(make, "DB-1", make.loss(OFF, [180, 170, 190, 175, 181, 172, 188, 169]))
    assert (found.outcome, found.code, found.needed) == ("refuted", "interval-below", None)
    assert strongest(make.claims["DB-1"], found) == "at least 47 % fewer failed requests"


def test_a_treatment_that_makes_it_worse_is_refuted_in_words(make) -> None:
    """A negative reduction is written as "more"."""
    found = verdict(make, "DB-1", make.loss([100] * 4 + [110] * 4, [205, 200, 201, 199, 215, 222, 220, 219]))
    assert found.outcome == "refuted"
    assert "100.1 % more failed requests (" in found.reason
    assert strongest(make.claims["DB-1"], found) == "at least 97 % more failed requests"


def test_an_interval_across_the_threshold_is_inconclusive_and_tells_how_many_pairs_would_decide(make) -> None:
    """The threshold within the interval: inconclusive, with more pairs than there were."""
    found = verdict(make, "DB-1", make.loss(OFF, [2, 30, 12, 4, 25, 9, 16, 3]))
    assert (found.outcome, found.code) == ("inconclusive", "interval-straddles")
    assert found.needed is not None
    assert 8 < found.needed < 200
    assert more_needed(found) == f"{found.needed - 8} more trials would decide"


def test_the_pairs_that_are_said_to_be_needed_do_decide(make) -> None:
    """The same pairs repeated up to the number needed are decided, half of it not."""
    on = [9, 11, 18, 10, 24, 8, 17, 13]
    first = verdict(make, "DB-1", make.loss(OFF, on))
    assert first.outcome == "inconclusive"
    assert first.needed is not None
    times = -(-first.needed // 8) + 1
    assert verdict(make, "DB-1", make.loss(OFF * times, on * times)).outcome == "supported"
    half = max(times // 2 - 1, 1)
    assert verdict(make, "DB-1", make.loss(OFF * half, on * half)).outcome == "inconclusive"


def test_too_few_pairs_are_inconclusive_however_clear(make) -> None:
    """Three pairs, as with --quick: inconclusive by rule, with the interval and the eight pairs needed."""
    found = verdict(make, "DB-1", make.loss(OFF[:3], ON[:3]))
    assert (found.outcome, found.code, found.trials, found.needed) == ("inconclusive", "too-few-trials", 3, 8)
    assert found.low is not None
    assert found.reason.endswith("The rule asks for at least 8 pairs, 3 counted.")


def test_too_few_control_failures_cannot_support_it(make) -> None:
    """72 failures in the control arm and none in the treatment: below the 74 that 95 % needs."""
    found = verdict(make, "DB-1", make.loss([9] * 8, [0] * 8, of=100_000))
    assert (found.outcome, found.code, found.needed) == ("inconclusive", "too-few-events", 10)
    assert "Fewer than 74 failures in the control arm cannot support it." in found.reason
    assert verdict(make, "DB-1", make.loss([11] * 8, [0] * 8, of=100_000)).outcome == "supported"


def test_no_treatment_failure_at_all_is_no_proof_of_a_hundred_percent(make) -> None:
    """Without any treatment failure the lower bound is that of the score interval, below 100 %."""
    found = verdict(make, "DB-1", make.loss(OFF, [0] * 8))
    assert (found.outcome, found.estimate, found.high) == ("supported", 1.0, 1.0)
    assert found.low is not None
    assert 0.997 < found.low < 0.9995


def test_both_methods_must_support_it(make) -> None:
    """Pairs without any spread satisfy the paired test alone; too few requests stand behind them."""
    found = verdict(make, "DB-1", make.loss([30] * 8, [1] * 8, of=100_000))
    assert (found.outcome, found.code) == ("inconclusive", "methods-disagree")
    assert "The pairs alone would support it" in found.reason


def test_a_control_arm_without_effect_is_void(make) -> None:
    """No failures in the control arm, or too erratic ones: there was nothing to reduce."""
    for control in ([0] * 8, [0, 0, 0, 0, 0, 0, 0, 40]):
        found = verdict(make, "DB-1", make.loss(control, [0] * 8))
        assert (found.outcome, found.code, found.estimate) == ("void", "control-unharmed", None)


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("manipulated", "fault-did-not-bite"),
        ("healed", "not-healed"),
        ("load_met", "load-not-met"),
        ("isolated", "not-isolated"),
    ],
)
def test_without_a_valid_trial_a_claim_is_void_by_the_registered_code(make, flag: str, code: str) -> None:
    """A validity code on every trial makes the claim void, by flag or by exclusion alike."""
    found = verdict(make, "DB-1", invalid(make.loss(OFF, ON), **{flag: False}))
    assert (found.outcome, found.code) == ("void", code)
    excluded = [dataclasses.replace(trial, exclusions=(code,)) for trial in make.loss(OFF, ON)]
    assert verdict(make, "DB-1", excluded).code == code


def test_invalid_trials_are_left_out_and_the_rest_is_judged(make) -> None:
    """A pair with an excluded arm does not count; with too few left it is inconclusive, not void."""
    trials = make.loss([*OFF, 0], [*ON, 200])
    trials[-1] = dataclasses.replace(trials[-1], exclusions=("load-not-met",))
    assert verdict(make, "DB-1", trials).outcome == "supported"
    found = verdict(make, "DB-1", trials[:8] + trials[9:13] + invalid(trials[13:17], load_met=False))
    assert (found.outcome, found.code, found.trials) == ("inconclusive", "too-few-trials", 4)
    assert "left out: 4 × load-not-met" in found.reason


def test_fault_kinds_that_are_missing_keep_it_from_being_supported_and_are_named(make) -> None:
    """With kinds not injected yet a claim cannot be supported, no number of trials is promised, refuted stays."""
    missing = ("blackhole", "slots exhausted")
    found = verdict(make, "DB-1", make.loss(OFF, ON), missing=missing)
    assert (found.outcome, found.code, found.needed) == ("inconclusive", "fault-kinds-missing", None)
    assert "Not injected yet: blackhole, slots exhausted" in found.reason
    refuted = verdict(make, "DB-1", make.loss(OFF, [180] * 8), missing=missing)
    assert refuted.outcome == "refuted"
    assert "blackhole" in refuted.reason
    few = verdict(make, "DB-1", make.loss(OFF[:3], ON[:3]), missing=missing)
    assert (few.code, few.needed) == ("too-few-trials", None)


def test_a_rule_that_changed_after_the_plan_cannot_support_a_claim(make) -> None:
    """A plan written with another rule keeps the claim from being supported."""
    found = verdict(make, "DB-1", make.loss(OFF, ON), rules={"DB-1": "reduction ≥ .99"})
    assert (found.outcome, found.code) == ("inconclusive", "rule-changed")
    assert "reduction ≥ .99" in found.reason


def test_requests_of_unknown_outcome_must_not_decide(make) -> None:
    """Supported only when unknown requests count as successes: inconclusive, by name; both ways alike: decided."""
    on = [28, 31, 25, 34, 27, 26, 31, 27]
    as_failures = verdict(make, "DB-1", make.loss(OFF, on))
    assert as_failures.outcome == "refuted"
    found = verdict(make, "DB-1", make.loss(OFF, on, unknown=25))
    assert (found.outcome, found.code, found.needed) == ("inconclusive", "indeterminate-decides", None)
    assert "counted as failures it is refuted, as successes supported" in found.reason
    harmless = verdict(make, "DB-1", make.loss(OFF, ON, unknown=2))
    assert harmless.outcome == "supported"
    # The interval shown covers both countings, the estimate counts the unknown as failures.
    plain = verdict(make, "DB-1", make.loss(OFF, ON))
    assert (harmless.estimate, harmless.low) == (plain.estimate, plain.low)
    assert harmless.high is not None
    assert plain.high is not None
    assert harmless.high > plain.high


def test_one_violated_invariant_in_the_treatment_arm_refutes(make) -> None:
    """A doubled order refutes, with its example, also in an excluded trial and with no interval of the claim's own."""
    trials = make.loss(OFF, ON)
    trials[9] = dataclasses.replace(
        trials[9], violations={"doubled": "order 41 twice"}, exclusions=("load-not-met",)
    )
    found = verdict(make, "DB-1", trials)
    assert (found.outcome, found.code) == ("refuted", "invariant-violated")
    assert found.reason.startswith(
        "1 of 8 trials of the treatment arm broke the invariant doubled: order 41 twice."
    )
    void = [dataclasses.replace(t, violations={"doubled": "x"}) for t in make.loss([0], [0])]
    found = verdict(make, "DB-1", void)
    assert (found.outcome, found.code, found.threshold) == ("refuted", "invariant-violated", 1.0)
    assert strongest(make.claims["DB-1"], found) == ""


def test_a_violation_in_another_arm_does_not_refute(make) -> None:
    """Control and peer may break the invariant; that is theirs."""
    trials = make.loss(OFF, ON)
    trials[0] = dataclasses.replace(trials[0], violations={"doubled": "order 41 twice"})
    assert verdict(make, "DB-1", trials).outcome == "supported"


def test_the_peer_is_judged_the_same_way_and_never_decides(make) -> None:
    """The peer's contrast has its own outcome; the verdict is the same with and without it."""
    peer = [make.failures(block, "peer", 100 + block) for block in range(8)]
    trials = make.loss(OFF, ON)
    claim, plan = make.claims["DB-1"], make.plan("DB-1")
    beside = contrast(claim, plan, [*trials, *peer])
    assert beside is not None
    assert beside.outcome == "refuted"
    assert beside.estimate == pytest.approx(0.71, abs=0.01)
    assert judge_claim(claim, plan, [*trials, *peer]) == judge_claim(claim, plan, trials)
    assert contrast(claim, plan, trials) is None


# ------------------------------------------------------------------------------------------ DB-2


def test_a_share_of_recoveries_is_judged_with_its_exact_interval(make) -> None:
    """Above, below, across .80; the control's share is told beside."""
    good = [make.recovered(block, "treatment", 24, 25) for block in range(4)]
    off = [make.recovered(block, "control", 1, 25) for block in range(4)]
    found = verdict(make, "DB-2", good + off)
    assert (found.outcome, found.code, found.trials) == ("supported", "interval-above", 4)
    assert found.reason == (
        "96.0 % of transient errors recovered (90.1 – 98.9 %), claimed at least 80 %; 96 of 100 injected errors in "
        "4 trials; without it 4.0 %."
    )
    assert strongest(make.claims["DB-2"], found) == "at least 90 % of transient errors recovered"
    bad = [make.recovered(block, "treatment", 10, 25) for block in range(4)]
    assert verdict(make, "DB-2", bad).code == "interval-below"
    open_ = verdict(make, "DB-2", [make.recovered(block, "treatment", 21, 25) for block in range(4)])
    assert (open_.outcome, open_.code) == ("inconclusive", "interval-straddles")
    assert open_.needed is not None
    assert open_.needed > 4
    again = [make.recovered(block, "treatment", 21, 25) for block in range(open_.needed)]
    assert verdict(make, "DB-2", again).outcome == "supported"


def test_a_share_needs_three_trials_and_something_seen(make) -> None:
    """Two trials are too few; trials in which no error was seen are void."""
    assert (
        verdict(make, "DB-2", [make.recovered(b, "treatment", 25, 25) for b in range(2)]).code
        == "too-few-trials"
    )
    found = verdict(make, "DB-2", [make.recovered(b, "treatment", 0, 0) for b in range(4)])
    assert (found.outcome, found.code) == ("void", "nothing-seen")


# ------------------------------------------------------------------------------------------ MEM-4


def test_a_claim_with_parts_is_supported_when_each_part_is(make) -> None:
    """Both sizes above .70: supported, with a record for each part, and the weakest part's numbers."""
    trials = make.memory(100_000, [3.0e8, 3.1e8, 3.05e8], [2e7, 2.1e7, 2e7]) + make.memory(
        1_000_000, [3.0e9, 3.1e9, 3.05e9], [2e7, 2.1e7, 2e7]
    )
    found = verdict(make, "MEM-4", trials)
    assert (found.outcome, found.code, found.trials) == ("supported", "interval-above", 3)
    assert [(part.name, part.outcome) for part in found.parts] == [
        ("rows-100000", "supported"),
        ("rows-1000000", "supported"),
    ]
    assert found.low == found.parts[0].low
    assert "100,000 rows: 93.3 % less peak memory" in found.reason
    assert "1,000,000 rows: 99.3 % less peak memory" in found.reason
    assert strongest(make.claims["MEM-4"], found) == "at least 93 % less peak memory"


def test_a_part_that_was_not_run_keeps_a_claim_open_and_is_named(make) -> None:
    """10⁶ rows skipped at this depth: inconclusive, the reason names the part, the other part's numbers are shown."""
    trials = make.memory(100_000, [3.0e8, 3.1e8, 3.05e8], [2e7, 2.1e7, 2e7])
    found = verdict(make, "MEM-4", trials, skipped={"rows-1000000": "left out by --quick"})
    assert (found.outcome, found.code) == ("inconclusive", "part-not-run")
    assert "1,000,000 rows: not run: Left out by --quick." in found.reason
    assert found.low is not None
    assert found.low > 0.9
    assert [part.outcome for part in found.parts] == ["supported", "not-run"]
    assert strongest(make.claims["MEM-4"], found) == "at least 93 % less peak memory, for 100,000 rows"


def test_a_refuted_part_refutes_whatever_the_others_say(make) -> None:
    """Refuted goes before void, void before inconclusive."""
    good = make.memory(100_000, [3.0e8, 3.1e8, 3.05e8], [2e7, 2.1e7, 2e7])
    bad = make.memory(1_000_000, [3e9, 3.1e9, 3.05e9], [2e9, 2.1e9, 2e9])
    found = verdict(make, "MEM-4", good + bad)
    assert (found.outcome, found.code) == ("refuted", "interval-below")
    assert found.reason.startswith("1,000,000 rows:")
    void = make.memory(100_000, [0, 0, 0], [0, 0, 0])
    assert verdict(make, "MEM-4", void + bad).outcome == "refuted"
    assert verdict(make, "MEM-4", void).outcome == "void"
    assert verdict(make, "MEM-4", good + make.memory(1_000_000, [3e9], [2e7])).code == "too-few-trials"


def test_arms_that_saw_different_rows_refute(make) -> None:
    """A treatment that lost a row is refuted, however little memory it took."""
    trials = make.memory(100_000, [3e8, 3.1e8, 3e8], [2e7, 2e7, 2e7]) + make.memory(
        1_000_000, [3e9, 3.1e9, 3e9], [2e7] * 3
    )
    trials[4] = dataclasses.replace(trials[4], metrics={**trials[4].metrics, "rows": Metric(99_999, "rows")})
    found = verdict(make, "MEM-4", trials)
    assert (found.outcome, found.code) == ("refuted", "invariant-violated")
    assert "In block 1 the arms differ in rows: 100,000 and 99,999." in found.reason


def test_the_check_is_told_and_does_not_decide(make) -> None:
    """Growth of resident memory stands beside the verdict."""
    trials = [
        *make.memory(100_000, [3e8, 3.1e8, 3e8], [], rss_growth=Metric(4e8, "bytes")),
        *make.memory(100_000, [], [2e7, 2e7, 2.1e7], rss_growth=Metric(1e8, "bytes")),
    ]
    found = verdict(make, "MEM-4", trials)
    assert "Check, not judged: rss_growth 75.0 % less." in found.parts[0].reason
    assert found.parts[0].outcome == "supported"


# ------------------------------------------------------------------------------------------ NET-1


def test_bytes_are_judged_over_payloads_and_exceeding_the_range_is_said(make) -> None:
    """Within 60–80 % supported, above it "exceeded", across .60 inconclusive, below refuted; one block is enough."""
    sizes = [4000.0, 9000, 21_000, 800, 64_000, 15_000, 3000]

    def shrunk(*factors: float) -> Verdict:
        return verdict(
            make, "NET-1", make.bandwidth(sizes, [s * f for s, f in zip(sizes, factors, strict=True)])
        )

    within = shrunk(0.3, 0.28, 0.31, 0.33, 0.27, 0.3, 0.32)
    assert (within.outcome, within.code, within.trials) == ("supported", "interval-above", 1)
    assert "claimed 60–80 %" in within.reason
    assert "the least helped GET /3 with 67.0 % fewer bytes" in within.reason
    exceeded = shrunk(0.1, 0.12, 0.11, 0.13, 0.12, 0.1, 0.12)
    assert (exceeded.outcome, exceeded.code) == ("supported", "exceeded")
    assert strongest(make.claims["NET-1"], exceeded) == "exceeded: at least 87 % fewer bytes"
    assert shrunk(0.1, 0.9, 0.1, 0.9, 0.6, 0.1, 0.8).outcome == "inconclusive"
    assert shrunk(0.9, 0.8, 0.85, 0.9, 0.82, 0.88, 0.8).code == "interval-below"
    few = verdict(make, "NET-1", make.bandwidth(sizes[:5], [s * 0.3 for s in sizes[:5]]))
    assert (few.outcome, few.code) == ("inconclusive", "too-few-payloads")


# ------------------------------------------------------------------------------------------ rules without a drill yet


def drilled(make: Any, id_: str) -> Claim:
    """A claim of a later version, as if its drill existed."""
    return dataclasses.replace(make.claims[id_], drill="no-such-drill")


def trials_of(make: Any, arm: str, **metrics: list[Metric]) -> list[Trial]:
    size = len(next(iter(metrics.values())))
    return [
        make.trial("no-such-drill", block, arm, {name: values[block] for name, values in metrics.items()})
        for block in range(size)
    ]


def test_a_limit_is_judged_by_the_mean_of_trials(make) -> None:
    """NET-4: error and delay below their limits are supported; above, refuted; a cut-off delay keeps it open."""
    claim = drilled(make, "NET-4")
    errors = [Metric(0.002 + block / 10_000, "share") for block in range(8)]
    delays = [Metric(0.5 + block / 100, "s") for block in range(8)]
    found = judge_claim(
        claim, make.plan("NET-4"), trials_of(make, "treatment", report_error=errors, report_delay=delays)
    )
    assert (found.outcome, found.code) == ("supported", "interval-below")
    assert (
        strongest(claim, found)
        == "at most 0.256 % off the counted bytes; at most 0.556 s until bytes were reported"
    )
    slow = [Metric(3 + block / 100, "s") for block in range(8)]
    found = judge_claim(
        claim, make.plan("NET-4"), trials_of(make, "treatment", report_error=errors, report_delay=slow)
    )
    assert (found.outcome, found.code, found.threshold) == ("refuted", "interval-above", 1)
    cut = [*delays[:7], dataclasses.replace(delays[7], censored=True)]
    found = judge_claim(
        claim, make.plan("NET-4"), trials_of(make, "treatment", report_error=errors, report_delay=cut)
    )
    assert (found.outcome, found.code) == ("inconclusive", "censored")
    few = trials_of(make, "treatment", report_error=errors[:3], report_delay=delays[:3])
    assert judge_claim(claim, make.plan("NET-4"), few).code == "too-few-trials"


def test_what_must_never_happen_is_refuted_by_one_and_supported_by_enough(make) -> None:
    """SYS-1: 220 clean shutdowns bound the true rate, 100 are too few, one violation refutes."""
    claim = drilled(make, "SYS-1")

    def shutdowns(events: int, exposure: int) -> Verdict:
        metric = Metric(events / exposure if exposure else 0, "share", events, exposure)
        return judge_claim(claim, make.plan("SYS-1"), trials_of(make, "treatment", unclean=[metric]))

    clean = shutdowns(0, 220)
    assert (clean.outcome, clean.code, clean.estimate, clean.threshold) == (
        "supported",
        "none-seen",
        1.0,
        1.0,
    )
    assert strongest(claim, clean) == "more than 98.3 % of shutdowns without"
    assert "the true rate is below 1.66 %" in clean.reason
    assert shutdowns(0, 100).code == "too-few-events"
    assert shutdowns(1, 220).outcome == "refuted"
    assert shutdowns(0, 0).code == "nothing-seen"


def test_a_ceiling_on_a_share_is_supported_from_below(make) -> None:
    """DB-5: recall, false alarms and measured suggestions are three parts with rules of their own."""
    claim = drilled(make, "DB-5")

    def queries(flagged: int) -> Verdict:
        detection = trials_of(
            make,
            "treatment",
            planted_found=[Metric(1, "share", 30, 30)] * 4,
            clean_flagged=[Metric(flagged / 30, "share", flagged, 30)] * 4,
        )
        measured = trials_of(make, "treatment", suggestions_unmeasured=[Metric(0, "share", 0, 12)] * 4)
        trials = [
            dataclasses.replace(one, id=f"{part}.{one.id}", part=part)
            for part, group in (("detection", detection), ("measured", measured))
            for one in group
        ]
        return judge_claim(claim, make.plan("DB-5", parts=("detection", "measured")), trials)

    assert [part.outcome for part in queries(0).parts] == ["supported"] * 3
    assert queries(0).outcome == "supported"
    assert queries(9).outcome == "refuted"
    assert (queries(9).code, queries(9).threshold) == ("interval-above", 0.05)
    assert queries(1).outcome == "inconclusive"


def test_a_guard_rail_must_hold_too(make) -> None:
    """MEM-1: with resident memory 30 % worse the claim is refuted by its rail; undecided, it is open."""
    claim = drilled(make, "MEM-1")

    def rail(*peaks: float) -> Verdict:
        pauses = {"control": 100.0, "treatment": 40.0}
        trials = []
        for arm, values in (("control", [100.0] * 8), ("treatment", list(peaks))):
            gc = [Metric(pauses[arm] + block, "ms") for block in range(8)]
            trials += trials_of(make, arm, gc_pause=gc, peak_rss=[Metric(value, "MB") for value in values])
        return judge_claim(claim, make.plan("MEM-1"), trials)

    assert rail(*[101.0, 99.0] * 4).outcome == "supported"
    assert (rail(*[130.0, 131.0] * 4).outcome, rail(*[130.0, 131.0] * 4).code) == ("refuted", "rail-broken")
    assert (rail(*[80.0, 140.0] * 4).outcome, rail(*[80.0, 140.0] * 4).code) == ("inconclusive", "rail-open")


def test_a_rule_for_each_server_mode_becomes_parts_of_the_plan(make) -> None:
    """SYS-5: every mode of the plan has its own two parts, a skipped mode is named."""
    claim = drilled(make, "SYS-5")
    plan = make.plan("SYS-5", parts=("gthread", "asgi"), skipped={"asgi": "not at this depth"})
    none = Metric(0, "share", 0, 500)
    trials = [
        make.trial("no-such-drill", 0, "treatment", {"failed": none, "lost_orders": none}, part="gthread")
    ]
    found = judge_claim(claim, plan, trials)
    assert [(part.name, part.outcome) for part in found.parts] == [
        ("gthread/failed", "supported"),
        ("asgi/failed", "not-run"),
        ("gthread/lost", "supported"),
        ("asgi/lost", "not-run"),
    ]
    assert (found.outcome, found.code) == ("inconclusive", "part-not-run")
    assert "Failed requests, asgi: not run: Not at this depth." in found.reason


# ------------------------------------------------------------------------------------------ not run, journal, exit


def test_claims_that_were_not_run_say_why(make) -> None:
    """No drill, no plan, no trial, skipped: each has its code; a finding of the run gives its own reason."""
    assert judge_claim(make.claims["DB-3"], None, []).code == "no-drill"
    db1 = make.claims["DB-1"]
    assert judge_claim(db1, None, []).code == "no-plan"
    assert judge_claim(db1, make.plan("DB-1", claims=("DB-2",)), []).code == "no-plan"
    assert judge_claim(db1, make.plan("DB-1"), []).code == "no-trials"
    skipped = {"rows-100000": "not asked for", "rows-1000000": "not asked for"}
    found = judge_claim(make.claims["MEM-4"], make.plan("MEM-4", skipped=skipped), [])
    assert (found.outcome, found.code) == ("not-run", "skipped")
    finding = Finding("DB-3", "not-run", "needs --full (about 12 min)")
    assert judge_claim(make.claims["DB-3"], None, [], [finding]).reason == "needs --full (about 12 min)"
    assert judge_claim(db1, None, [], [Finding("connection-loss", "not-run", "no PostgreSQL here")]).reason


def test_a_journal_written_and_read_back_gives_the_same_verdicts(make, tmp_path: Path) -> None:
    """All 27 verdicts from the file equal those from the records in memory, and so do those of a second reading."""
    writer = JournalWriter(tmp_path / "journal.jsonl", "synthetic")
    writer.append(Run("demo", "workbench.demo.settings", "quick", 7, {}, "workbench report"))
    trials = {
        "DB-1": make.loss(OFF, ON, unknown=1),
        "DB-2": [make.recovered(block, "treatment", 24, 25) for block in range(4)],
        "MEM-4": make.memory(100_000, [3e8, 3.1e8, 3.05e8], [2e7, 2.1e7, 2e7]),
        "NET-1": make.bandwidth([4000.0 * n for n in range(1, 9)], [1100.0 * n for n in range(1, 9)]),
    }
    for id_, some in trials.items():
        writer.append(make.plan(id_))
        for trial in some:
            writer.append(trial)
    writer.append(Finding("SYS-8", "not-run", "needs --full"))
    journal = read(writer.path)
    found = judge(journal)
    assert [one.claim for one in found] == [claim.id for claim in CLAIMS]
    assert judge(read(writer.path)) == found
    by_id = {one.claim: one for one in found}
    for id_, some in trials.items():
        assert by_id[id_] == judge_claim(make.claims[id_], make.plan(id_), some)
    assert [by_id[id_].outcome for id_ in trials] == ["supported", "supported", "inconclusive", "supported"]
    assert by_id["SYS-8"].reason == "needs --full"
    assert sum(one.outcome == "not-run" for one in found) == 23
    assert exit_code(found) == 2


def test_a_drill_that_was_run_again_is_judged_by_its_newest_plan(make, tmp_path: Path) -> None:
    """Trials before the newest plan do not count, and a second look cannot support: it was not planned."""
    writer = JournalWriter(tmp_path / "journal.jsonl", "synthetic")
    for on in ([180] * 8, ON):
        writer.append(make.plan("DB-1"))
        for trial in make.loss(OFF, on):
            writer.append(trial)
    found = next(one for one in judge(read(writer.path)) if one.claim == "DB-1")
    assert (found.outcome, found.code) == ("inconclusive", "rerun")
    assert found.low is not None
    assert found.low > 0.95
    assert "run 2 times" in found.reason


def test_a_run_that_was_cut_short_cannot_support(make) -> None:
    """Eight good pairs of twelve planned ones are a choice made with the data in sight."""
    found = judge_claim(make.claims["DB-1"], make.plan("DB-1", blocks=12), make.loss(OFF, ON))
    assert (found.outcome, found.code) == ("inconclusive", "plan-incomplete")
    assert "16 of the 24 planned trials" in found.reason


def test_a_plan_that_was_changed_cannot_support(make) -> None:
    """The hash in the plan covers the plan: other arms, other faults or another sample show."""
    plan = make.plan("DB-1")
    plan = dataclasses.replace(plan, hash=plan_hash(plan))
    assert judge_claim(make.claims["DB-1"], plan, make.loss(OFF, ON)).outcome == "supported"
    changed = dataclasses.replace(plan, faults=())
    changed = dataclasses.replace(changed, workload={"rate": 1})
    found = judge_claim(make.claims["DB-1"], changed, make.loss(OFF, ON))
    assert (found.outcome, found.code) == ("inconclusive", "plan-changed")


def test_a_body_that_changed_refutes_what_it_saved(make) -> None:
    """Fewer bytes with another meaning save nothing: one endpoint that answers differently refutes."""
    names = [f"GET /{n}/" for n in range(8)]

    def trial(arm: str, factor: float, odd: int) -> Trial:
        metrics = {f"bytes:{name}": Metric(1000 * factor + n, "bytes") for n, name in enumerate(names)}
        metrics |= {f"body:{name}": Metric(7 + (odd if n == 3 else 0), "crc") for n, name in enumerate(names)}
        return make.trial("bandwidth", 0, arm, metrics)

    plan = make.plan("NET-1")
    same = [trial("control", 1, 0), trial("treatment", 0.2, 0)]
    assert judge_claim(make.claims["NET-1"], plan, same).outcome == "supported"
    other = [trial("control", 1, 0), trial("treatment", 0.2, 1)]
    found = judge_claim(make.claims["NET-1"], plan, other)
    assert (found.outcome, found.code) == ("refuted", "invariant-violated")
    assert "GET /3/" in found.reason


def test_a_decided_verdict_cannot_be_built_without_its_interval() -> None:
    """Supported or refuted without estimate, bounds or trials is no verdict."""
    for outcome in ("supported", "refuted"):
        with pytest.raises(ValueError, match="without"):
            Verdict("DB-1", outcome, "interval-above", "because", estimate=0.97, trials=8)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="trials"):
            Verdict("DB-1", outcome, "interval-above", "because", 0.97, 0.96, 0.98)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reason"):
        Verdict("DB-1", "void", "x", "")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        (["supported", "not-run"], 0),
        (["supported", "inconclusive"], 2),
        (["inconclusive", "refuted"], 1),
        (["refuted", "void", "supported"], 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst_verdict(outcomes: list[Any], code: int) -> None:
    """3 void, then 1 refuted, then 2 inconclusive, then 0; not-run does not count."""
    verdicts = [Verdict("DB-1", outcome, "x", "because", 0.9, 0.8, 1.0, trials=8) for outcome in outcomes]
    assert exit_code(verdicts) == code
