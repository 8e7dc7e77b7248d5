"""Paired reductions against their trials: means over pairs, and counted failures with their two witnesses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.claims import Reduction
from workbench.judge import estimates
from workbench.judge.judged import Judged, nothing, side, too_few
from workbench.judge.samples import Sample, counts, number
from workbench.judge.samplesize import trials_for_t
from workbench.judge.wording import change, claimed, plural, span
from workbench.records import ArmName, Trial


def judge_reduction(rule: Reduction, sample: Sample, arm: ArmName) -> Judged:
    """Judge a paired reduction of one arm against the rule's baseline."""
    pairs = sample.pairs(rule.baseline, arm)
    usable = [pair for pair in pairs if _readable(rule, pair)]
    exclusions = sample.exclusions(rule.baseline, arm)
    if not usable:
        return nothing(exclusions, len(pairs), " and ".join((rule.metric, *rule.same)), "pair")
    differing = _differing(rule, usable)
    judged = _reduced(rule, usable)
    if differing:
        broken = sum(bool(_differing(rule, [pair])) for pair in usable)
        return judged.refuted_by(differing, broken, len(usable))
    if len(usable) < rule.least_pairs:
        return too_few(judged, len(usable), rule.least_pairs, "pair", exclusions)
    return judged


def _readable(rule: Reduction, pair: tuple[Trial, Trial]) -> bool:
    if any(number(trial, metric) is None for trial in pair for metric in (rule.metric, *rule.same)):
        return False
    if not rule.counted:
        return True
    metrics = (rule.metric, rule.unknown) if rule.unknown else (rule.metric,)
    found = [counts(trial, metric) for trial in pair for metric in metrics]
    return all(count is not None and count[1] > 0 for count in found)


def _differing(rule: Reduction, pairs: Sequence[tuple[Trial, Trial]]) -> str:
    for control, treatment in pairs:
        for metric in rule.same:
            one, other = number(control, metric), number(treatment, metric)
            if one is not None and other is not None and one != other:
                return f"In block {control.block} the arms differ in {metric}: {one:,.0f} and {other:,.0f}."
    return ""


def _reduced(rule: Reduction, pairs: Sequence[tuple[Trial, Trial]]) -> Judged:
    size = len(pairs)
    base = Judged("inconclusive", "too-few-trials", "", threshold=rule.threshold, trials=size)
    countings = [rule.metric, rule.unknown] if rule.counted and rule.unknown else [rule.metric]
    if size < 2:
        value = float(_columns(rule, pairs, rule.metric).single())
        estimate = value if math.isfinite(value) else None
        said = "no effect can be told" if estimate is None else change(estimate, rule, rule.threshold)
        return replace(base, estimate=estimate, reason=f"{said} in a single pair, claimed {claimed(rule)}.")
    columns = [_columns(rule, pairs, metric) for metric in countings]
    found = [column.estimate() for column in columns]
    main = found[0].floats()
    control = _control(rule, columns[0], size)
    if not float(found[0].g) < 1:
        return replace(
            base,
            outcome="void",
            code="control-unharmed",
            reason=f"The control arm shows no effect that can be told from none, so there is nothing to reduce; {control}.",
        )
    intervals = [interval for one in found if (interval := one.floats()) is not None]
    if main is None:
        return replace(
            base, code="no-interval", reason=f"No interval can be computed from these values; {control}."
        )
    # Counted either way, a request of unknown outcome must not decide: the interval covers both countings.
    low, high = min(one[1] for one in intervals), max(one[2] for one in intervals)
    outcome, code = side(low, high, rule.threshold)
    if len(intervals) < len(found) and outcome != "inconclusive":
        outcome, code = "inconclusive", "indeterminate-decides"
    reason = (
        f"{change(main[0], rule, rule.threshold)} ({span(rule, low, high, rule.threshold)}), "
        f"claimed {claimed(rule)}; {control}."
    )
    judged = replace(
        base, outcome=outcome, code=code, reason=reason, estimate=main[0], low=low, high=high,
        needed=_needed_pairs(rule, columns, size) if outcome == "inconclusive" else None,
    )  # fmt: skip
    judged = _name_doubt(rule, judged, found)
    if rule.counted:
        judged = _enough_events(rule, judged, int(columns[0].control_events.sum()))
    return replace(judged, reason=judged.reason + _check(rule, pairs))


def _enough_events(rule: Reduction, judged: Judged, events: int) -> Judged:
    """Without enough failures in the control arm even a perfect treatment proves nothing."""
    if events >= rule.least_control_events:
        return judged
    sentence = f"Fewer than {rule.least_control_events} {rule.events} in the control arm cannot support it."
    if judged.code == "methods-disagree":
        return replace(judged, code="too-few-events", reason=f"{judged.reason} {sentence}")
    needed = math.ceil(judged.trials * rule.least_control_events / events) if events else None
    return judged.hold_back("too-few-events", sentence, needed=needed)


@dataclass(frozen=True)
class _Columns:
    """The numbers of the pairs under one way of counting."""

    control: estimates.Floats
    treatment: estimates.Floats
    control_events: estimates.Floats
    control_exposure: estimates.Floats
    treatment_events: estimates.Floats
    treatment_exposure: estimates.Floats
    counted: bool

    def estimate(self) -> estimates.Reduction:
        if self.counted:
            return estimates.counted_reduction(
                self.control_events, self.control_exposure, self.treatment_events, self.treatment_exposure
            )
        return estimates.paired_reduction(self.control, self.treatment)

    def single(self) -> float:
        """The reduction of the means, without interval."""
        with np.errstate(all="ignore"):
            return float(1 - self.treatment.mean() / self.control.mean())


def _columns(rule: Reduction, pairs: Sequence[tuple[Trial, Trial]], metric: str) -> _Columns:
    sides = list(zip(*pairs, strict=True))
    if not rule.counted:
        c, t = (np.array([number(trial, metric) for trial in one], dtype=float) for one in sides)
        none = np.zeros(len(pairs))
        return _Columns(c, t, none, none, none, none, counted=False)
    (xc, nc), (xt, nt) = (
        np.array([counts(trial, metric) for trial in one], dtype=float).reshape(-1, 2).T for one in sides
    )
    return _Columns(xc / nc, xt / nt, xc, nc, xt, nt, counted=True)


def _control(rule: Reduction, columns: _Columns, size: int) -> str:
    if not rule.counted:
        return plural(size, "pair")
    events = int(columns.control_events.sum())
    return f"{plural(size, 'pair')}, {events:,} {rule.events} in the control arm"


def _name_doubt(rule: Reduction, judged: Judged, found: Sequence[estimates.Reduction]) -> Judged:
    """Say which of two countings, or of two methods, keeps an inconclusive reduction from being decided."""
    if judged.outcome != "inconclusive":
        return judged
    sides = [side(one[1], one[2], rule.threshold)[0] if (one := each.floats()) else "void" for each in found]
    if len(set(sides)) > 1:
        return replace(
            judged,
            code="indeterminate-decides",
            reason=f"{judged.reason} Requests of unknown outcome decide: counted as failures it is {sides[0]}, "
            f"as successes {sides[1]}.",
        )
    main = found[0]
    if isinstance(main, estimates.CountedReduction) and float(main.paired_low) >= rule.threshold:
        return replace(
            judged,
            code="methods-disagree",
            reason=f"{judged.reason} The pairs alone would support it, the number of requests does not.",
        )
    return judged


def _needed_pairs(rule: Reduction, columns: Sequence[_Columns], size: int) -> int | None:
    needs: list[int | None] = [rule.least_pairs]
    signs: set[float] = set()
    for column in columns:
        statistic, _ = estimates.threshold_t(column.control, column.treatment, rule.threshold)
        signs.add(float(np.sign(statistic)))
        needs.append(trials_for_t(float(statistic), size))
        found = column.estimate()
        gap = float(found.estimate) - rule.threshold
        if isinstance(found, estimates.CountedReduction) and gap > 0:
            needs.append(math.ceil(size * ((float(found.estimate) - float(found.score_low)) / gap) ** 2))
            events = float(column.control_events.sum())
            needs.append(math.ceil(size * rule.least_control_events / events) if events else None)
    known = [need for need in needs if need is not None]
    return max(known) if len(known) == len(needs) and len(signs) == 1 else None


def _check(rule: Reduction, pairs: Sequence[tuple[Trial, Trial]]) -> str:
    if rule.check is None:
        return ""
    found = [(number(c, rule.check), number(t, rule.check)) for c, t in pairs]
    both = [(c, t) for c, t in found if c is not None and t is not None]
    control = sum(c for c, _ in both)
    if not both or not control > 0:
        return ""
    reduction = 1 - sum(t for _, t in both) / control
    return f" Check, not judged: {rule.check} {change(reduction, replace(rule, fewer='less', more='more'))}."
