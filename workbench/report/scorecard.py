"""The scorecard: every claim in one row, none left out, grouped by area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from workbench.charts.scale import deciding
from workbench.charts.strip import strip
from workbench.claims import Claim
from workbench.judge import strongest
from workbench.records import Outcome, Verdict
from workbench.report.words import OUTCOMES, beside_figures, listed, small


@dataclass(frozen=True)
class Row:
    """One claim.

    Attributes:
        id, published: of the claim.
        supports: the strongest statement that the data support, and what is missing; or why there is none.
        strip: its interval as an inline picture.
        estimate, interval: in words; "" without.
        outcome: of the verdict.
        href: the id of its section; "" where it has none.
    """

    id: str
    published: str
    supports: str
    strip: Markup
    estimate: str
    interval: str
    outcome: Outcome
    href: str


@dataclass(frozen=True)
class Scorecard:
    """Attributes:
    sentence: the result in words.
    tally: outcomes with their numbers, in fixed order.
    groups: areas with their rows.
    """

    sentence: str
    tally: tuple[tuple[Outcome, int], ...]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]


def scorecard(
    claims: Sequence[Claim], verdicts: Mapping[str, Verdict], sections: frozenset[str] = frozenset()
) -> Scorecard:
    """Build the scorecard.

    Args:
        claims: in the order of the page.
        verdicts: by claim.
        sections: ids of the claims that have a section to link to.
    """
    rows = [(claim.area, _row(claim, verdicts[claim.id], claim.id in sections)) for claim in claims]
    counts = Counter(verdicts[claim.id].outcome for claim in claims)
    return Scorecard(
        sentence=_sentence(len(claims), counts),
        tally=tuple((outcome, counts[outcome]) for outcome in OUTCOMES),
        groups=tuple(
            (area, tuple(row for _, row in group)) for area, group in groupby(rows, key=lambda one: one[0])
        ),
    )


def _row(claim: Claim, verdict: Verdict, has_section: bool) -> Row:
    scale = deciding(claim, verdict)
    known = verdict.estimate is not None and verdict.low is not None and verdict.high is not None
    return Row(
        id=claim.id,
        published=claim.published,
        supports=_supports(claim, verdict),
        strip=Markup(strip(claim, verdict)),  # noqa: S704 built by us, its texts escaped
        estimate=scale.write(verdict.estimate) if known else "",
        interval=f"{scale.write(verdict.low)} – {scale.write(verdict.high)}" if known else "",
        outcome=verdict.outcome,
        href=claim.id if has_section else "",
    )


def _supports(claim: Claim, verdict: Verdict) -> str:
    if verdict.outcome in ("not-run", "void"):
        return verdict.reason
    words = strongest(claim, verdict)
    if verdict.code == "exceeded" and words:
        words = f"exceeded: {words}"
    if verdict.outcome == "inconclusive":
        return f"{words}. {beside_figures(verdict)}" if words else verdict.reason
    return words or verdict.reason


def _sentence(total: int, counts: Mapping[Outcome, int]) -> str:
    put = total - counts["not-run"]
    if not put:
        return f"None of the {total} published claims was put to the test in this run; each says why below."
    forms: dict[Outcome, tuple[str, str]] = {
        "supported": ("holds", "hold"),
        "refuted": ("does not hold", "do not hold"),
        "inconclusive": ("is not decided by these data", "are not decided by these data"),
        "void": ("could not be tested", "could not be tested"),
    }
    told = [
        f"{small(counts[outcome])} {one if counts[outcome] == 1 else many}"
        for outcome, (one, many) in forms.items()
        if counts[outcome]
    ]
    left = counts["not-run"]
    rest = (
        f" The other {small(left)} {'was' if left == 1 else 'were'} not run, and each says why."
        if left
        else ""
    )
    verb = "was" if put == 1 else "were"
    return (
        f"{small(put).capitalize()} of {total} published claims {verb} put to the test: {listed(told)}.{rest}"
    )
