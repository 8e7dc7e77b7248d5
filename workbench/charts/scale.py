"""Where a claim's numbers stand: the unit, the published number, the side on which it holds, and the ends of the axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

from workbench.charts.numbers import SPACE, number
from workbench.claims import Claim, Limit, PartRule, Payloads, Proportion, Reduction, Rule
from workbench.judge.wording import claimed
from workbench.records import Part, Verdict


@dataclass(frozen=True)
class Scale:
    """An axis for one rule.

    Attributes:
        unit: of its numbers, as `numbers.number` takes it.
        threshold: the published number.
        at_most: the claim holds at and below the threshold; else at and above it.
        low, high: the ends of the axis.
        published: the published number in words: "at least 95 %".
    """

    unit: str
    threshold: float
    at_most: bool
    low: float
    high: float
    published: str

    def place(self, value: float) -> float:
        """The value's place on the axis, from 0 to 1; what lies beyond an end is put at the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def beyond(self, value: float) -> bool:
        """Whether the value lies beyond an end of the axis."""
        return not self.low <= value <= self.high

    @property
    def zone(self) -> tuple[float, float]:
        """The stretch in which the claim holds, as places."""
        edge = self.place(self.threshold)
        return (0.0, edge) if self.at_most else (edge, 1.0)

    def write(self, value: float | None) -> str:
        """A value of this scale for a reader."""
        return number(value, self.unit)


def of_rule(rule: Rule) -> Scale:
    """The scale of one rule."""
    words = claimed(rule).replace(" %", f"{SPACE}%")
    if isinstance(rule, Reduction):
        low = 0.0 if rule.threshold >= 0 else 4 * rule.threshold
        return Scale("share", rule.threshold, False, low, 1.0 if rule.threshold >= 0 else -low, words)
    if isinstance(rule, Payloads):
        return Scale("share", rule.threshold, False, 0.0, 1.0, words)
    if isinstance(rule, Proportion):
        high = 1.0 if rule.threshold >= 0.2 else 4 * rule.threshold
        return Scale("share", rule.threshold, rule.at_most, 0.0, high, words)
    if isinstance(rule, Limit):
        if rule.at_least:
            high = max(1.0, 1.5 * rule.limit) if rule.limit > 1 else 1.0
            return Scale(rule.unit, rule.limit, False, 0.0, high, words)
        reach = 2 * abs(rule.limit) or 1.0
        return Scale(rule.unit, rule.limit, True, 0.0 if rule.limit > 0 else -reach, reach, words)
    # The numbers of "never" are the share of units without the event.
    return Scale("share", 1.0, False, 0.9, 1.0, words)


def of_part(claim: Claim, name: str) -> Scale:
    """The scale of a claim's part; the first part's where the name is not known."""
    parts: tuple[PartRule, ...] = (*claim.design.parts, *claim.design.rails)
    # A rule that holds for each part of a plan gives parts named after both, so the beginning decides.
    found = next((p for p in parts if p.name and name.startswith(p.name)), parts[0])
    return of_rule(found.rule)


def deciding(claim: Claim, verdict: Verdict) -> Scale:
    """The scale of the verdict's own numbers: that of the part whose numbers they are."""
    part = next((p for p in verdict.parts if _same(p, verdict)), None)
    return with_threshold(of_part(claim, part.name if part else ""), verdict.threshold)


def with_threshold(scale: Scale, threshold: float | None) -> Scale:
    """The scale with the threshold that a verdict names, where it names one."""
    return scale if threshold is None else replace(scale, threshold=threshold)


def _same(part: Part, verdict: Verdict) -> bool:
    return (part.estimate, part.low, part.high) == (verdict.estimate, verdict.low, verdict.high)
