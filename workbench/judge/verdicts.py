"""From a journal to one verdict for each claim: the rules of the claims' table, applied to what the trials carry.

Codes, short and stable, by outcome:

supported
    interval-above, interval-below   the whole interval lies on the claimed side of the threshold
    exceeded                         it lies above the published range
    none-seen                        what must never happen did not, in enough units
refuted
    interval-below, interval-above   the whole interval lies on the other side
    invariant-violated               a write was lost or doubled, rows differ, or what must never happen did
    rail-broken                      a guard rail is worse by more than its margin
inconclusive
    interval-straddles               the threshold lies within the interval
    too-few-trials, too-few-events, too-few-payloads
                                     less than the rule asks for
    fault-kinds-missing              not every kind of fault that the claim names is injected yet
    rule-changed                     the rule is not the one that the plan was written with
    plan-changed                     the plan does not fit its hash
    plan-incomplete                  fewer trials were run than planned: stopping early is a choice made with the data in sight
    rerun                            the drill was run again in the same journal: the second look was not planned
    indeterminate-decides            requests of unknown outcome would decide
    methods-disagree                 only one of the two methods supports it
    rail-open                        a guard rail is undecided
    censored                         delays were cut off by the time limit
    metric-missing, no-interval      the trials carry no usable numbers
    part-not-run                     a part of the claim was not run
void
    fault-did-not-bite, not-healed, load-not-met, not-isolated
                                     no valid trial is left, by the pre-registered code
    control-unharmed                 the control arm cannot be told from no effect
    nothing-seen                     nothing happened that could have been counted
not-run
    no-drill, no-plan, no-trials, skipped
                                     this version has no drill; the run did not plan it, was cut short, or left it out
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.claims import CLAIMS, Claim, Limit, Never, PartRule, Proportion
from workbench.journal import Journal, plan_hash
from workbench.judge.judged import Judged
from workbench.judge.rules import judge_rule
from workbench.judge.samples import sample
from workbench.records import ArmName, Finding, Outcome, Part, Plan, Trial, Verdict

#: Of several parts, the worst decides: refuted, then void, then what is open, then supported.
_PRIORITY: dict[Outcome, int] = {"refuted": 0, "void": 1, "inconclusive": 2, "not-run": 2, "supported": 3}


def judge(journal: Journal) -> list[Verdict]:
    """The verdict on every claim, in the order of the page, from the journal alone."""
    verdicts = []
    for claim in CLAIMS:
        plan = plan_of(claim, journal.plans)
        trials = journal.trials(plan.drill) if plan else []
        times = journal.times_run(plan.drill) if plan else 0
        verdicts.append(
            judge_claim(claim, plan, trials, journal.findings, times, guards=_guards(claim, journal))
        )
    return verdicts


def _guards(claim: Claim, journal: Journal) -> list[Trial]:
    """Trials of drills that decide nothing, but whose broken invariant refutes this claim: their plan names it."""
    found = []
    for plan in journal.plans:
        named = plan.workload.get("guards")
        if isinstance(named, list | tuple) and claim.id in named:
            found += journal.trials(plan.drill)
    return found


def plan_of(claim: Claim, plans: Sequence[Plan]) -> Plan | None:
    """The newest plan whose drill decides a claim; None when there is none."""
    return next(
        (plan for plan in reversed(plans) if plan.drill == claim.drill and claim.id in plan.claims), None
    )


def judge_claim(
    claim: Claim,
    plan: Plan | None,
    trials: Sequence[Trial],
    findings: Sequence[Finding] = (),
    times_run: int = 1,
    guards: Sequence[Trial] = (),
) -> Verdict:
    """The verdict on one claim.

    Args:
        claim: from the registry.
        plan: of the drill that decides it; None when the run had none.
        trials: of that drill.
        findings: those of code "not-run" give the reason why a claim was not run.
        times_run: how often the journal holds the drill; only one look is planned.
        guards: trials of other drills, of which only broken invariants count.
    """
    return _judge(claim, plan, trials, findings, "treatment", times_run, guards)


def contrast(
    claim: Claim, plan: Plan | None, trials: Sequence[Trial], arm: ArmName = "peer"
) -> Verdict | None:
    """Another arm judged the same way, to be shown beside the verdict; it never decides. None without such trials."""
    if not any(trial.arm == arm for trial in trials):
        return None
    return _judge(claim, plan, trials, (), arm)


def _judge(
    claim: Claim,
    plan: Plan | None,
    trials: Sequence[Trial],
    findings: Sequence[Finding],
    arm: ArmName,
    times_run: int = 1,
    guards: Sequence[Trial] = (),
) -> Verdict:
    absent = _not_run(claim, plan, trials, findings)
    if absent is not None or plan is None:
        code, reason = absent or ("no-plan", "")
        return Verdict(claim.id, "not-run", code, reason)
    parts = [_part(one, plan, trials, arm) for one in expand(claim.design.parts, plan)]
    judged = _combine(parts)
    if judged.outcome == "not-run":
        return Verdict(claim.id, "not-run", judged.code, judged.reason, parts=_records(parts))
    for rail in claim.design.rails:
        judged = _rail(judged, rail, _part(rail, plan, trials, arm).judged)
    if plan.missing:
        if judged.estimate is None or judged.threshold is None or judged.estimate >= judged.threshold:
            judged = replace(
                judged, needed=None
            )  # no number of trials makes up for a kind that is not injected
        judged = judged.hold_back(
            "fault-kinds-missing",
            f"Not injected yet: {', '.join(plan.missing)}; without them the claim cannot be supported.",
        )
    written = plan.rules.get(claim.id)
    if written is not None and written != claim.rule:
        judged = judged.hold_back(
            "rule-changed",
            f"The plan was written with another rule ({written}), so this cannot support the claim.",
        )
    judged = _as_planned(judged, plan, trials, times_run)
    judged = _violations(_violations(judged, guards, arm), trials, arm)
    return Verdict(
        claim=claim.id,
        outcome=judged.outcome,
        code=judged.code,
        reason=_sentence(judged.reason),
        estimate=judged.estimate,
        low=judged.low,
        high=judged.high,
        threshold=judged.threshold,
        trials=judged.trials,
        needed=judged.needed,
        parts=_records(parts),
    )


def _as_planned(judged: Judged, plan: Plan, trials: Sequence[Trial], times_run: int) -> Judged:
    """Only what was planned before the data can support a claim."""
    if plan.hash and plan.hash != plan_hash(plan):
        judged = judged.hold_back(
            "plan-changed",
            "The plan in the journal does not fit its hash: it was changed after it was written.",
        )
    planned, held = plan.blocks * len(plan.arms) * len(plan.parts), len(trials)
    if held < planned:
        judged = judged.hold_back(
            "plan-incomplete",
            f"Only {held} of the {planned} planned trials were run, so this cannot support the claim.",
        )
    if times_run > 1:
        judged = judged.hold_back(
            "rerun",
            f"The drill was run {times_run} times in this journal, and only one look was planned; "
            "a new run folder gives a fresh sample.",
        )
    return judged


def _not_run(
    claim: Claim, plan: Plan | None, trials: Sequence[Trial], findings: Sequence[Finding]
) -> tuple[str, str] | None:
    if claim.drill is None:
        code, reason = "no-drill", "This version has no drill for it."
    elif plan is None or claim.id not in plan.claims:
        code, reason = "no-plan", f"This run did not plan the drill {claim.drill}."
    elif not trials and not plan.skipped:
        code, reason = "no-trials", "It was planned, but the run ended before its first trial."
    else:
        return None
    subjects = {claim.id, claim.drill}
    told = [
        one.text for one in findings if one.code == "not-run" and one.subject in subjects and one.text.strip()
    ]
    return code, told[-1] if told else reason


# ---------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class _Judgement:
    """A part and what was found."""

    part: PartRule
    judged: Judged


def expand(parts: Sequence[PartRule], plan: Plan) -> list[PartRule]:
    """The parts of a claim as this plan has them: a rule that holds for each part of the plan becomes several."""
    found: list[PartRule] = []
    for part in parts:
        if not part.each:
            found.append(part)
            continue
        found += [
            replace(part, name=f"{name}/{part.name}" if name else part.name, trials=name,
                    label=f"{part.label}, {name}" if name else part.label, each=False)
            for name in dict.fromkeys([*plan.parts, *plan.skipped])
        ]  # fmt: skip
    return found


def _part(part: PartRule, plan: Plan, trials: Sequence[Trial], arm: ArmName) -> _Judgement:
    threshold = _threshold(part)
    own = [trial for trial in trials if trial.part == part.trials]
    if not own:
        skipped = plan.skipped.get(part.trials)
        code = "skipped" if skipped else "no-trials"
        reason = _sentence(skipped or "The run recorded no trial of it.")
        return _Judgement(part, Judged("not-run", code, reason, threshold=threshold))
    return _Judgement(part, judge_rule(part.rule, sample(own, part.trials), arm))


def _threshold(part: PartRule) -> float:
    match part.rule:
        case Limit(limit=limit):
            return limit
        case Never():
            return 1.0
        case rule:
            return rule.threshold


def _combine(parts: Sequence[_Judgement]) -> Judged:
    """The claim's own judgement: that of the part that decides, its reason naming the part."""
    if len(parts) == 1:
        return parts[0].judged
    if all(one.judged.outcome == "not-run" for one in parts):
        return replace(parts[0].judged, reason=" ".join(_named(one) for one in parts))
    worst = min(_PRIORITY[one.judged.outcome] for one in parts)
    deciding = [one for one in parts if _PRIORITY[one.judged.outcome] == worst]
    # A part that was measured says more than one that was not.
    first = min(deciding, key=lambda one: (one.judged.outcome == "not-run", _margin(one)))
    reason = " ".join(_named(one) for one in sorted(parts, key=lambda one: one is not first))
    if first.judged.outcome != "not-run":
        return replace(first.judged, reason=reason)
    # What was measured is shown, though the missing part keeps it open.
    shown = min((one for one in parts if one.judged.outcome != "not-run"), key=_margin).judged
    return replace(shown, outcome="inconclusive", code="part-not-run", reason=reason, needed=None)


def _named(one: _Judgement) -> str:
    said = "not run: " if one.judged.outcome == "not-run" else ""
    return f"{one.part.label}: {said}{one.judged.reason}"


def _margin(one: _Judgement) -> float:
    """How far the bound that decides lies on the good side, relative to the threshold; the least margin decides."""
    judged, rule = one.judged, one.part.rule
    if judged.low is None or judged.high is None or judged.threshold is None:
        return float("-inf")
    at_most = (isinstance(rule, Limit) and not rule.at_least) or (
        isinstance(rule, Proportion) and rule.at_most
    )
    good = judged.threshold - judged.high if at_most else judged.low - judged.threshold
    return good / (abs(judged.threshold) or 1.0)


def _records(parts: Sequence[_Judgement]) -> tuple[Part, ...]:
    if len(parts) == 1 and not parts[0].part.name:
        return ()
    return tuple(
        Part(
            name=one.part.name,
            outcome=one.judged.outcome,
            code=one.judged.code,
            estimate=one.judged.estimate,
            low=one.judged.low,
            high=one.judged.high,
            threshold=one.judged.threshold,
            trials=one.judged.trials,
            reason=_sentence(one.judged.reason),
        )
        for one in parts
    )


# ---------------------------------------------------------------------------------------------- rails and invariants


def _rail(judged: Judged, rail: PartRule, found: Judged) -> Judged:
    said = f"Guard rail, {rail.label}: {found.reason}"
    if found.outcome == "supported":
        return replace(judged, reason=f"{judged.reason} {said}")
    if found.outcome == "refuted" and judged.outcome == "supported":
        return replace(judged, outcome="refuted", code="rail-broken", reason=f"{said} {judged.reason}")
    return judged.hold_back("rail-open", said)


def _violations(judged: Judged, trials: Sequence[Trial], arm: ArmName) -> Judged:
    """One broken invariant in the arm refutes, also in a trial that does not count otherwise."""
    own = [trial for trial in trials if trial.arm == arm]
    broken = [trial for trial in own if trial.violations]
    if not broken:
        return judged
    name, example = next(iter(broken[0].violations.items()))
    sentence = f"{len(broken)} of {len(own)} trials of the {arm} arm broke the invariant {name}: {example}."
    return judged.refuted_by(sentence.replace("..", "."), len(broken), len(own))


def _sentence(text: str) -> str:
    """Begins with a capital and ends with a stop."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
