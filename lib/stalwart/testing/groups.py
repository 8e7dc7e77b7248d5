"""Statements grouped by what they are and where they come from, and as a reader of a failed test sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stalwart.testing.asked import Asked
from stalwart.testing.place import Place

#: Groups that a message lists, and characters of a statement in it.
LISTED, WIDTH = 15, 150


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one statement from one place.

    Attributes:
        statements: in their order.
    """

    statements: tuple[Asked, ...]

    @property
    def runs(self) -> int:
        return len(self.statements)

    @property
    def values(self) -> int:
        """With how many different values it ran."""
        return len({one.values for one in self.statements})

    @property
    def first(self) -> Asked:
        return self.statements[0]

    @property
    def place(self) -> Place:
        return self.first.place

    def lines(self, count: str = "") -> Iterator[str]:
        """Two lines: how often, where, what for; and the statement.

        Args:
            count: instead of the number of runs.
        """
        count = count or (f"{self.runs} x" if self.runs > 1 else "1")
        told = [self.place.where or "no frame of the application", *self._remarks()]
        yield f"  {count:>5}  {', '.join(told)}"
        sql = self.first.sql
        yield f"         {sql if len(sql) <= WIDTH else sql[: WIDTH - 1] + '…'}"

    def _remarks(self) -> Iterator[str]:
        if self.place.relation:
            yield f"for {self.place.relation}"
        if 1 < self.runs != self.values:
            same = self.runs - self.values
            yield f"{same} of them with the same values as one before"
        if self.first.alias != "default":
            yield f"on {self.first.alias!r}"
        threads = {one.thread for one in self.statements} - {"MainThread"}
        if threads:
            yield f"in thread {', '.join(sorted(threads))}"


def grouped(statements: Iterable[Asked]) -> tuple[Group, ...]:
    """Those with the most runs first."""
    found: dict[tuple[str, str, str], list[Asked]] = {}
    for one in statements:
        found.setdefault((one.alias, one.fingerprint, one.place.where), []).append(one)
    return tuple(sorted((Group(tuple(group)) for group in found.values()), key=lambda one: -one.runs))


def listing(groups: Sequence[Group]) -> str:
    """By call site, for a message; the most frequent ones."""
    lines = [line for group in groups[:LISTED] for line in group.lines()]
    if len(groups) > LISTED:
        rest = sum(group.runs for group in groups[LISTED:])
        lines.append(f"  and {rest} more from {len(groups) - LISTED} places")
    return "\n".join(lines)


def cures(groups: Iterable[Group]) -> str:
    """What would end the repetitions, each said once."""
    found = dict.fromkeys(group.place.cure for group in groups if group.place.cure)
    return "".join(f"\n  next: {cure}" for cure in found)
