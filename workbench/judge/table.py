"""The scorecard as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from workbench.claims import CLAIMS, Claim
from workbench.judge.summary import ICONS, WORDS, more_needed, strongest
from workbench.judge.wording import figure
from workbench.records import Verdict

_GAP = "  "
_LEAST_TEXT = 24


def lines(verdicts: Sequence[Verdict], claims: Sequence[Claim] = CLAIMS, *, width: int = 120) -> list[str]:
    """One row for each verdict: outcome, id, what was published, what was measured, the strongest statement.

    Args:
        verdicts: of any number of claims.
        claims: where their texts are found.
        width: columns of the terminal; below about 100 the statement stands under the published text.
    """
    known = {claim.id: claim for claim in claims}
    rows = [_row(verdict, known[verdict.claim]) for verdict in verdicts if verdict.claim in known]
    if not rows:
        return ["no verdicts"]
    heads = ("", "Claim", "Published", "Measured (95 % interval)", "Strongest statement")
    fixed = [max(len(row[column]) for row in [heads, *rows]) for column in (0, 1)]
    measured = max(len(row[3]) for row in [heads, *rows])
    room = width - sum(fixed) - measured - 4 * len(_GAP)
    if room >= 2 * _LEAST_TEXT:
        widths = [*fixed, room // 2, measured, room - room // 2]
        table = [heads, *rows]
    else:
        # Too narrow for five columns: measured figure and statement go under the published text.
        text = max(width - sum(fixed) - 2 * len(_GAP), _LEAST_TEXT)
        widths = [*fixed, text]
        table = [heads[:3], *((*row[:2], "\n".join(part for part in row[2:] if part)) for row in rows)]
    found = [line for row in table for line in _wrapped(row, widths)]
    rule = "─" * min(width, max(len(line) for line in found))
    first = len(_wrapped(table[0], widths))
    return [*found[:first], rule, *found[first:], rule, *textwrap.wrap(_tally(verdicts), width)]


def _row(verdict: Verdict, claim: Claim) -> tuple[str, ...]:
    rules = {part.name: part.rule for part in claim.design.parts}
    first = next((part for part in verdict.parts if part.estimate == verdict.estimate), None)
    name = first.name if first else ""
    rule = rules.get(name) or rules.get(name.rpartition("/")[2]) or claim.design.parts[0].rule
    measured = figure(rule, verdict.estimate, verdict.low, verdict.high)
    statement = "; ".join(text for text in (strongest(claim, verdict), more_needed(verdict)) if text)
    if verdict.outcome in ("void", "not-run") or not statement:
        statement = verdict.reason
    return (
        f"{ICONS[verdict.outcome]} {WORDS[verdict.outcome]}",
        claim.id,
        claim.published,
        measured,
        statement,
    )


def _wrapped(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [
        [
            part
            for text in cell.split("\n")
            for part in textwrap.wrap(text, width, break_long_words=True) or [""]
        ]
        for cell, width in zip(row, widths, strict=True)
    ]
    height = max(len(cell) for cell in cells)
    padded = [cell + [""] * (height - len(cell)) for cell in cells]
    return [
        _GAP.join(cell[line].ljust(width) for cell, width in zip(padded, widths, strict=True)).rstrip()
        for line in range(height)
    ]


def _tally(verdicts: Sequence[Verdict]) -> str:
    count: Counter[str] = Counter(verdict.outcome for verdict in verdicts)
    told = ", ".join(f"{count[outcome]} {WORDS[outcome].lower()}" for outcome in WORDS if count[outcome])
    return f"{len(verdicts)} claims: {told}"
