"""Drills that decide no claim, as sections of the report: their arms side by side, and whether what they guard held."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.journal import Journal
from workbench.judge import Comparison, comparisons
from workbench.report.tables import Table, limited

WORDS = {"held": "Nothing was broken", "broken": "Something was broken", "void": "Void"}


@dataclass(frozen=True)
class Guard:
    """Attributes:
    id: of the drill.
    title: what it does.
    outcome: held, broken or void.
    word: that for people.
    tables: the arms and their figures.
    findings: sentences, the last one sums up.
    command: that repeats it.
    """

    id: str
    title: str
    outcome: str
    word: str
    tables: tuple[Table, ...]
    findings: tuple[str, ...]
    command: str


def guards(journal: Journal) -> list[Guard]:
    """One for each drill without a claim that the journal holds."""
    return [_guard(one) for one in comparisons(journal)]


def _guard(found: Comparison) -> Guard:
    captions = ("The arms side by side", *(f"By {heads[0]}" for heads, _ in found.tables()[1:]))
    tables = tuple(
        limited(caption, ["arm" if not heads[0] else heads[0], *heads[1:]], rows, right=range(1, len(heads)))
        for caption, (heads, rows) in zip(captions, found.tables(), strict=False)
    )
    return Guard(
        found.plan.drill,
        found.plan.title,
        found.outcome,
        WORDS[found.outcome],
        tables,
        tuple(found.findings()),
        found.plan.command,
    )
