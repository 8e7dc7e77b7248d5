"""Each kind of rule against its trials: estimate, interval, outcome, and a sentence that says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from workbench.claims import Limit, Never, Payloads, Proportion, Reduction, Rule
from workbench.judge import estimates
from workbench.judge.judged import Judged, nothing, side, too_few
from workbench.judge.reductions import judge_reduction
from workbench.judge.samples import Sample, counts, number, payloads
from workbench.judge.samplesize import trials_for_share, trials_for_t
from workbench.judge.wording import amount, change, claimed, percent, plural, span
from workbench.records import ArmName, Trial


def judge_rule(rule: Rule, sample: Sample, arm: ArmName = "treatment") -> Judged:
    """Judge a rule for one arm of a sample."""
    match rule:
        case Reduction():
            return judge_reduction(rule, sample, arm)
        case Proportion():
            return _proportion(rule, sample, arm)
        case Payloads():
            return _payloads(rule, sample, arm)
        case Limit():
            return _limit(rule, sample, arm)
        case Never():
            return _never(rule, sample, arm)


def _proportion(rule: Proportion, sample: Sample, arm: ArmName) -> Judged:
    trials = list(sample.of(arm).values())
    usable = [found for trial in trials if (found := counts(trial, rule.metric)) is not None]
    exclusions = sample.exclusions(arm)
    if not usable:
        return nothing(exclusions, len(trials), rule.metric, "trial")
    seen = [found for found in usable if found[1] > 0]
    base = Judged("void", "nothing-seen", "", threshold=rule.threshold, trials=len(seen))
    if not seen:
        return replace(
            base, trials=len(usable), reason=f"{plural(len(usable), 'trial')} and no {rule.unit} seen."
        )
    events, exposure = np.array(seen, dtype=float).T
    interval = estimates.proportion(events, exposure).floats()
    if interval is None:
        return replace(
            base, outcome="inconclusive", code="no-interval", reason="No interval can be computed."
        )
    share, low, high = interval
    outcome, code = side(low, high, rule.threshold, at_most=rule.at_most)
    reason = (
        f"{percent(share, rule.threshold)} % {rule.phrase} ({span(rule, low, high, rule.threshold)}), "
        f"claimed {claimed(rule)}; {events.sum():,.0f} of {exposure.sum():,.0f} {rule.unit} in "
        f"{plural(len(seen), 'trial')}{_baseline(rule, sample, arm)}."
    )
    judged = replace(
        base, outcome=outcome, code=code, reason=reason, estimate=share, low=low, high=high,
        needed=_needed_for_share(rule, events, exposure) if outcome == "inconclusive" else None,
    )  # fmt: skip
    if len(seen) < rule.least_trials:
        return too_few(judged, len(seen), rule.least_trials, "trial", exclusions)
    return judged


def _baseline(rule: Proportion, sample: Sample, arm: ArmName) -> str:
    """What the control arm shows, for the reader's own comparison."""
    found = [
        pair for trial in sample.of("control").values() if (pair := counts(trial, rule.metric)) is not None
    ]
    exposure = sum(pair[1] for pair in found)
    if arm == "control" or not exposure:
        return ""
    return f"; without it {percent(sum(pair[0] for pair in found) / exposure)} %"


def _needed_for_share(rule: Proportion, events: estimates.Floats, exposure: estimates.Floats) -> int | None:
    size = float(estimates.effective_size(events, exposure))
    found = trials_for_share(float(events.sum() / exposure.sum()), size, len(events), rule.threshold)
    return None if found is None else max(found, rule.least_trials)


def _payloads(rule: Payloads, sample: Sample, arm: ArmName) -> Judged:
    pairs = sample.pairs("control", arm)
    exclusions = sample.exclusions("control", arm)
    control = payloads([pair[0] for pair in pairs], rule.prefix)
    treatment = payloads([pair[1] for pair in pairs], rule.prefix)
    names = [name for name in control if name in treatment and control[name] > 0]
    if not names:
        return nothing(exclusions, len(pairs), f"{rule.prefix}…", "pair")
    c, t = (np.array([side_[name] for name in names]) for side_ in (control, treatment))
    base = Judged("inconclusive", "too-few-payloads", "", threshold=rule.threshold, trials=len(pairs))
    interval = estimates.payload_reduction(c, t).floats() if len(names) > 1 else None
    if interval is None:
        return replace(
            base,
            code="too-few-payloads" if len(names) == 1 else "no-interval",
            reason=f"No interval can be computed from {plural(len(names), 'payload')}.",
        )
    estimate, low, high = interval
    outcome, code = side(low, high, rule.threshold)
    exceeded = outcome == "supported" and rule.upper is not None and low > rule.upper
    worst = int(np.argmin(1 - t / c))
    reason = (
        f"{change(estimate, rule, rule.threshold)} ({span(rule, low, high, rule.threshold)}), claimed {claimed(rule)}; "
        f"{plural(len(names), 'payload')}, the least helped {names[worst]} with {change(1 - t[worst] / c[worst], rule)}."
    )
    judged = replace(
        base, outcome=outcome, code="exceeded" if exceeded else code, reason=reason,
        estimate=estimate, low=low, high=high,
    )  # fmt: skip
    changed = _changed(rule, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    if changed:
        return replace(
            judged,
            outcome="refuted",
            code="invariant-violated",
            reason=f"The {arm} arm answered {changed[0]} with another body than the control arm "
            f"({plural(len(changed), 'payload')} in all): fewer bytes with another meaning save nothing. {judged.reason}",
        )
    if len(names) < rule.least_payloads:
        return replace(
            judged,
            outcome="inconclusive",
            code="too-few-payloads",
            reason=f"{judged.reason} The rule asks for at least {rule.least_payloads} payloads.",
        )
    return judged


def _changed(rule: Payloads, control: Sequence[Trial], treatment: Sequence[Trial]) -> list[str]:
    """Payloads whose body differs between the arms, where bodies were compared."""
    if not rule.same:
        return []
    before, after = payloads(control, rule.same), payloads(treatment, rule.same)
    return [name for name, value in before.items() if after.get(name, value) != value]


def _limit(rule: Limit, sample: Sample, arm: ArmName) -> Judged:
    trials = list(sample.of(arm).values())
    usable = [trial for trial in trials if number(trial, rule.metric, negative=True) is not None]
    exclusions = sample.exclusions(arm)
    if not usable:
        return nothing(exclusions, len(trials), rule.metric, "trial")
    values = np.array([number(trial, rule.metric, negative=True) for trial in usable], dtype=float)
    base = Judged("inconclusive", "too-few-trials", "", threshold=rule.limit, trials=len(usable))
    interval = estimates.mean(values).floats() if len(usable) > 1 else None
    if interval is None:
        said = f"{amount(float(values[0]), rule.unit)} {rule.phrase}, claimed {claimed(rule)}; no interval"
        judged = replace(base, reason=f"{said} from {plural(len(usable), 'trial')}.")
        return replace(judged, code="no-interval") if len(usable) > 1 else judged
    centre, low, high = interval
    outcome, code = side(low, high, rule.limit, at_most=not rule.at_least)
    statistic = (centre - rule.limit) / ((high - centre) or math.inf)
    needed = trials_for_t(statistic * estimates.student_quantile(len(usable)), len(usable))
    reason = (
        f"{amount(centre, rule.unit)} {rule.phrase} ({span(rule, low, high)}), claimed {claimed(rule)}; "
        f"{plural(len(usable), 'trial')}."
    )
    judged = replace(
        base, outcome=outcome, code=code, reason=reason, estimate=centre, low=low, high=high,
        needed=needed if outcome == "inconclusive" else None,
    )  # fmt: skip
    censored = sum(trial.metrics[rule.metric].censored for trial in usable)
    if censored:
        judged = judged.hold_back(
            "censored", f"{plural(censored, 'value')} cut off by the time limit: the true mean is larger."
        )
    if len(usable) < rule.least_trials:
        return too_few(judged, len(usable), rule.least_trials, "trial", exclusions)
    return judged


def _never(rule: Never, sample: Sample, arm: ArmName) -> Judged:
    trials = list(sample.of(arm).values())
    usable = [found for trial in trials if (found := counts(trial, rule.metric)) is not None]
    if not usable:
        return nothing(sample.exclusions(arm), len(trials), rule.metric, "trial")
    events, exposure = (sum(one) for one in zip(*usable, strict=True))
    base = Judged("void", "nothing-seen", "", threshold=1.0, trials=len(usable))
    if not exposure:
        return replace(base, reason=f"{plural(len(usable), 'trial')} and no {rule.unit} seen.")
    interval = estimates.exact_share(float(exposure - events), float(exposure)).floats()
    if interval is None:
        return replace(
            base, outcome="inconclusive", code="no-interval", reason="No interval can be computed."
        )
    share, low, high = interval
    judged = replace(
        base, outcome="refuted" if events else "supported", code="invariant-violated" if events else "none-seen",
        reason=f"{events:,} {rule.event} in {exposure:,} {rule.unit}, claimed none; the true rate is "
        f"below {amount(1 - low, 'share')}.",
        estimate=share, low=low, high=high,
    )  # fmt: skip
    if exposure < rule.least_exposure:
        return judged.hold_back(
            "too-few-events",
            f"The rule asks for at least {rule.least_exposure} {rule.unit}.",
            needed=math.ceil(len(usable) * rule.least_exposure / exposure),
        )
    return judged
