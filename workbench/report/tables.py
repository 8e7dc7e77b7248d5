"""A table of the page as plain data; the template gives it its caption, its scopes and its box to scroll in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.records import Outcome


@dataclass(frozen=True)
class Chip:
    """A cell that is an outcome, with words of its own where the outcome's would mislead."""

    outcome: Outcome
    word: str = ""


Cell = str | Chip


@dataclass(frozen=True)
class Table:
    """Attributes:
    caption: one sentence above it.
    columns: headings; the first column heads its row.
    rows: cells as text or chips.
    right: numbers of the columns that hold figures.
    left_out: how many rows are in the journal only.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: frozenset[int] = field(default_factory=frozenset)
    left_out: int = 0


def limited(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    right: Sequence[int] = (),
    most: int = 500,
) -> Table:
    """A table of the first `most` rows that says how many it leaves out."""
    return Table(
        caption=caption,
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in rows[:most]),
        right=frozenset(right),
        left_out=max(0, len(rows) - most),
    )
