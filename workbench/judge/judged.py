"""What a rule says of its trials, before it becomes a verdict; and what is said when there is too little to judge."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from workbench.judge import estimates
from workbench.judge.samples import VOIDING
from workbench.judge.wording import plural
from workbench.records import Outcome

#: Bounds that differ from the threshold by rounding alone lie on it.
_TINY = 1e-12

_EXCLUDED = {
    "fault-did-not-bite": "the fault could not be shown to have bitten",
    "not-healed": "what the fault harmed was not healthy again at the end",
    "load-not-met": "the planned load was not offered",
    "not-isolated": "server, proxy and load generator were not processes of their own",
}


@dataclass(frozen=True)
class Judged:
    """What one rule says of its trials; the fields are those of `workbench.records.Verdict`."""

    outcome: Outcome
    code: str
    reason: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    trials: int = 0
    needed: int | None = None

    def hold_back(self, code: str, sentence: str, *, needed: int | None = None) -> Judged:
        """Inconclusive where it was supported; the sentence stands in either case."""
        if self.outcome != "supported":
            return replace(self, reason=f"{self.reason} {sentence}")
        return replace(
            self, outcome="inconclusive", code=code, reason=f"{self.reason} {sentence}", needed=needed
        )

    def refuted_by(self, sentence: str, broken: int, total: int) -> Judged:
        """Refuted by a broken invariant, whatever the interval says.

        Where there is no interval of the claim's own, it is that of the share of units in which the invariant held.
        """
        judged = replace(
            self, outcome="refuted", code="invariant-violated", reason=f"{sentence} {self.reason}"
        )
        if None not in (self.estimate, self.low, self.high) and self.trials:
            return replace(judged, needed=None)
        share = estimates.exact_share(float(total - broken), float(total)).floats()
        assert share is not None
        estimate, low, high = share
        return replace(
            judged, estimate=estimate, low=low, high=high, threshold=1.0, trials=total, needed=None
        )


def side(low: float, high: float, threshold: float, *, at_most: bool = False) -> tuple[Outcome, str]:
    """Where an interval lies, and what that makes of the claim."""
    slack = _TINY * max(1.0, abs(threshold))
    above, below = low >= threshold - slack, high <= threshold + slack
    if at_most:
        if below:
            return "supported", "interval-below"
        return (
            ("refuted", "interval-above")
            if low > threshold + slack
            else ("inconclusive", "interval-straddles")
        )
    if above:
        return "supported", "interval-above"
    return (
        ("refuted", "interval-below") if high < threshold - slack else ("inconclusive", "interval-straddles")
    )


def too_few(judged: Judged, size: int, least: int, noun: str, exclusions: Counter[str]) -> Judged:
    """Inconclusive whatever the interval says: too few valid units are no test."""
    needed = max(least, judged.needed or 0)
    sentence = f"The rule asks for at least {plural(least, noun)}, {size} counted{_left_out(exclusions)}."
    return replace(
        judged,
        outcome="inconclusive",
        code="too-few-trials",
        needed=needed,
        reason=f"{judged.reason} {sentence}",
    )


def _left_out(exclusions: Counter[str]) -> str:
    if not exclusions:
        return ""
    return "; left out: " + ", ".join(f"{count} × {code}" for code, count in exclusions.most_common())


def nothing(exclusions: Counter[str], unusable: int, metric: str, noun: str) -> Judged:
    """No unit counts: void when the trials were no test, else inconclusive."""
    voiding = [(code, count) for code, count in exclusions.most_common() if code in VOIDING]
    if voiding:
        code, count = voiding[0]
        return Judged(
            "void", code, f"No valid {noun} is left: in {plural(count, 'trial')} {_EXCLUDED[code]}."
        )
    if unusable:
        reason = f"None of {plural(unusable, noun)} carries usable values of {metric!r}."
        return Judged("inconclusive", "metric-missing", reason)
    what = "both arms of a block" if noun == "pair" else "the arm"
    return Judged(
        "inconclusive",
        "too-few-trials",
        f"There is no valid {noun}: nothing counts from {what}{_left_out(exclusions)}.",
    )
