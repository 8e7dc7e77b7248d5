"""Which findings come first, which of them are one problem on several pages, and which are proven; pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.profile.records import FOLLOWING, Advice, Finding

_VERDICTS = {"scales": 0, "untested": 1, "flat": 2}


@dataclass(frozen=True)
class Problem:
    """One problem, on one page or several.

    Attributes:
        findings: of the same kind, relation and place, the worst first.
    """

    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Finding:
        return self.findings[0]

    @property
    def tried(self) -> tuple[tuple[str, Advice], ...]:
        """Each change that was tried, with a page that it was tried on; those that are recommended first, by what they save."""
        unlike: dict[tuple[str, bool], tuple[str, Advice]] = {}
        for finding in self.findings:
            for one in finding.advice:
                key = (one.change, one.rejected is None)
                if key not in unlike or gain(one) > gain(unlike[key][1]):
                    unlike[key] = (finding.url, one)
        return tuple(sorted(unlike.values(), key=lambda pair: (pair[1].rejected is not None, -gain(pair[1]))))

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.url for one in self.findings))


def is_proven(finding: Finding) -> bool:
    """Its statements were seen to follow the rows; of a kind that cannot, it is enough that it was seen."""
    return finding.verdict == "scales" if finding.kind in FOLLOWING else True


def standing(finding: Finding) -> str:
    """How far it is proven, in words."""
    if finding.kind not in FOLLOWING:
        return "seen"
    if finding.verdict == "scales":
        return f"proven: {finding.slope:.2g} a row" if finding.slope is not None else "proven"
    return "does not follow the rows" if finding.verdict == "flat" else "not tested"


def gain(advice: Advice) -> float:
    """Milliseconds that a change saves; 0 when it is not recommended."""
    if advice.rejected is not None or advice.before is None or advice.after is None:
        return 0.0
    return advice.before.milliseconds - advice.after.milliseconds


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those whose change saves most, then those that are proven, then those that cost most."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (
                -max(map(gain, one.advice), default=0.0),
                _VERDICTS[one.verdict] if one.kind in FOLLOWING else 1,
                -one.milliseconds,
                -one.queries,
                one.url,
                one.location,
            ),
        )
    )


def problems(findings: Sequence[Finding]) -> tuple[Problem, ...]:
    """Findings as problems, in the order of their worst."""
    groups: dict[tuple[str, str | None, str], list[Finding]] = {}
    for one in ranked(findings):
        groups.setdefault((one.kind, one.relation, one.location), []).append(one)
    return tuple(Problem(tuple(group)) for group in groups.values())
