"""The section of one claim that was run: verdict, pictures, evidence, guard rails, peer, threats, every trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.charts.scale import Scale, deciding, of_part, with_threshold
from workbench.charts.trials import arm_label
from workbench.claims import Claim, Limit, Never, Payloads, Proportion, Reduction
from workbench.journal import Journal
from workbench.judge import contrast, strongest
from workbench.records import Finding, Outcome, Part, Plan, Trial, Verdict
from workbench.report import evidence, pictures, rails, raw, threats
from workbench.report.tables import Cell, Chip, Table
from workbench.report.words import beside_figures, plural, without_figures


@dataclass(frozen=True)
class Section:
    """All that the template of a claim shows; a table that is None is left out with its heading."""

    id: str
    published: str
    outcome: Outcome
    headline: str
    strongest: str
    reason: str
    word: str
    asked: tuple[tuple[str, str], ...]
    charts: tuple[pictures.Picture, ...] = ()
    chart_tables: tuple[Table, ...] = ()
    parts: Table | None = None
    evidence: Table | None = None
    rails: Table | None = None
    examples: Table | None = None
    peer: Table | None = None
    findings: Table | None = None
    threats: Table | None = None
    raw: tuple[Table, ...] = ()
    command: str = ""
    plan_hash: str = ""


def plan_of(claim: Claim, journal: Journal) -> Plan | None:
    """The newest plan that decides the claim; None when none was made."""
    return next((p for p in journal.plans if claim.id in p.claims or p.drill == claim.drill), None)


def section(claim: Claim, verdict: Verdict, journal: Journal) -> Section:
    """Build the section of a claim; without a plan, the verdict and its reason alone."""
    plan = plan_of(claim, journal)
    bare = Section(
        id=claim.id,
        published=claim.published,
        outcome=verdict.outcome,
        headline=_headline(claim, verdict),
        strongest=strongest(claim, verdict),
        reason=beside_figures(verdict),
        word="Supported, exceeded" if verdict.code == "exceeded" else "",
        asked=(
            ("What counts", _sentence(claim.metric)),
            ("Over what", _sentence(claim.population)),
            ("Compared", _compared(claim, plan)),
            ("Rule", _sentence(claim.rule)),
        ),
    )
    if plan is None:
        return bare
    trials = journal.trials(plan.drill)
    drawn = pictures.charts(claim, plan, trials)
    return replace(
        bare,
        charts=tuple(
            pictures.picture(*both)
            for both in zip(drawn, pictures.charts(claim, plan, trials, narrow=True), strict=True)
        ),
        chart_tables=tuple(pictures.data_table(chart) for chart in drawn),
        parts=_parts(claim, verdict),
        evidence=evidence.table(trials),
        rails=rails.table(plan, trials) if trials else None,
        examples=rails.examples(trials),
        peer=_peer(claim, plan, trials, verdict),
        findings=_findings(claim, plan, journal.findings),
        threats=threats.table(plan, trials),
        raw=(raw.trials_table(trials), raw.metrics_table(trials)) if trials else (),
        command=plan.command,
        plan_hash=plan.hash,
    )


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def _headline(claim: Claim, verdict: Verdict) -> str:
    scale = deciding(claim, verdict)
    if verdict.estimate is None or verdict.low is None or verdict.high is None:
        return f"No interval; published: {scale.published}"
    rule = claim.design.parts[0].rule
    told = scale.write(verdict.estimate)
    match rule:
        case Reduction(fewer=fewer, more=more) | Payloads(fewer=fewer, more=more) if scale.unit == "share":
            told = f"{scale.write(abs(verdict.estimate))} {fewer if verdict.estimate >= 0 else more}"
        case Proportion(phrase=phrase) | Limit(phrase=phrase):
            told = f"{told} {phrase}"
        case Never(unit=unit, event=event):
            told = f"{told} of {unit} without {event}"
        case _:
            pass
    level = f"{100 * verdict.level:g}\u00a0%"
    return (
        f"{told} ({level} interval {scale.write(verdict.low)} to {scale.write(verdict.high)}),"
        f" published {scale.published}"
    )


def _compared(claim: Claim, plan: Plan | None) -> str:
    if plan is None or not plan.arms:
        return _sentence(f"off: {claim.control}; peer: {claim.peer}")
    words = {"control": "off", "treatment": "on"}
    told = "; ".join(f"{words.get(arm.name, arm.name)}: {arm_label(plan, arm.name)}" for arm in plan.arms)
    return _sentence(told) + _opted_in(claim, plan)


def _opted_in(claim: Claim, plan: Plan) -> str:
    """What the treatment arm really had on beyond the defaults, and what the claim allows and this version lacks."""
    treatment = next((arm for arm in plan.arms if arm.name == "treatment"), None)
    on = [name for name in treatment.settings if not name.endswith("ENABLED")] if treatment else []
    told = f" Switched on beyond the defaults: {', '.join(on)}." if on else ""
    if claim.opt_ins and not on:
        told += f" The claim allows opt-ins that this version does not have: {', '.join(claim.opt_ins)}."
    return told


def _parts(claim: Claim, verdict: Verdict) -> Table | None:
    if len(verdict.parts) < 2:
        return None
    labels = {part.name: part.label for part in claim.design.parts}
    rows: list[tuple[Cell, ...]] = [
        (
            labels.get(part.name) or part.name,
            *_numbers(with_threshold(of_part(claim, part.name), part.threshold), part),
            f"{part.trials:,}",
            Chip(part.outcome),
            without_figures(part.reason),
        )
        for part in verdict.parts
    ]
    return Table(
        caption="Each part of the claim is judged on its own; all must hold.",
        columns=("Part", "Measured", "Interval", "Published", "Counted", "Verdict", "Why"),
        rows=tuple(rows),
        right=frozenset({1, 2, 4}),
    )


def _numbers(scale: Scale, numbers: Part | Verdict) -> tuple[str, str, str]:
    if numbers.estimate is None or numbers.low is None or numbers.high is None:
        return "–", "–", scale.published
    return (
        scale.write(numbers.estimate),
        f"{scale.write(numbers.low)} – {scale.write(numbers.high)}",
        scale.published,
    )


def _peer(claim: Claim, plan: Plan, trials: Sequence[Trial], verdict: Verdict) -> Table | None:
    """The peer judged by the same rule beside the verdict; None where no peer was run."""
    judged = contrast(claim, plan, trials, "peer")
    if judged is None:
        return None
    rows: list[tuple[Cell, ...]] = []
    for words, arm, one in (("Stalwart on", "treatment", verdict), (arm_label(plan, "peer"), "peer", judged)):
        broken = sum(len(trial.violations) for trial in trials if trial.arm == arm)
        rows.append(
            (
                words,
                *_numbers(deciding(claim, one), one)[:2],
                plural(broken, "broken invariant") if broken else "none broken",
                Chip(one.outcome),
                "as above" if one is verdict else beside_figures(one),
            )
        )
    return Table(
        caption="The peer, measured in the same blocks and judged by the same rule, beside Stalwart.",
        columns=("Arm", "Measured", "Interval", "Invariants", "Verdict by this rule", "Why"),
        rows=tuple(rows),
        right=frozenset({1, 2}),
    )


def _findings(claim: Claim, plan: Plan, findings: Sequence[Finding]) -> Table | None:
    found = [one for one in findings if one.subject in (claim.id, plan.drill) and one.code != "not-run"]
    if not found:
        return None
    rows = tuple(
        (
            one.code.replace("-", " "),
            one.text,
            "; ".join(f"{key}: {value}" for key, value in one.data.items()),
        )
        for one in found[:100]
    )
    return Table(
        caption="Found beside the trials of this claim.",
        columns=("What", "In words", "Figures"),
        rows=rows,
        left_out=max(0, len(found) - 100),
    )
