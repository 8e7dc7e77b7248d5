"""A plan for people: as a table with a row for each node, and as an indented tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.profile.records import Plan

_CONDITIONS = ("Index Cond", "Filter", "Hash Cond", "Merge Cond", "Join Filter", "Recheck Cond")


@dataclass(frozen=True)
class PlanRow:
    """One node of a plan; what was not measured is None.

    Attributes:
        depth: 0 for the topmost.
        node: what it does, as "Seq Scan"; of SQLite the whole line.
        table: that it reads, or "".
        index: that it uses, or "".
        condition: what it compares, without values.
        expected: rows of one loop.
        actual: rows of one loop, as they were counted.
        loops: how often it ran.
        removed: rows of one loop that it read in vain.
        spilled: KiB that it wrote to disk for want of memory.
        milliseconds: of all loops, what is below included.
    """

    depth: int
    node: str
    table: str = ""
    index: str = ""
    condition: str = ""
    expected: float | None = None
    actual: float | None = None
    loops: float | None = None
    removed: float | None = None
    spilled: float | None = None
    milliseconds: float | None = None


def rows(plan: Plan) -> tuple[PlanRow, ...]:
    """The nodes of a plan, parents first; none where there is no plan."""
    if isinstance(plan.tree, list) and all(isinstance(line, str) for line in plan.tree):
        return tuple(PlanRow(0, str(line)) for line in plan.tree)
    top: Any = plan.tree[0] if isinstance(plan.tree, list) and plan.tree else plan.tree
    if not isinstance(top, Mapping) or not isinstance(top.get("Plan"), Mapping):
        return ()
    return tuple(_walked(top["Plan"], 0))


def tree(plan: Plan) -> str:
    """The same as indented text; the reason where there is no plan."""
    lines = [_line(row) for row in rows(plan)]
    return "\n".join([*lines, f"({plan.note})"] if plan.note else lines)


def spilled(facts: Mapping[str, Any]) -> float | None:
    """KiB that a node wrote to disk for want of memory; None for none."""
    if facts.get("Sort Space Type") == "Disk":
        return float(facts.get("Sort Space Used", 0))
    if float(facts.get("Hash Batches", 1)) > max(1.0, float(facts.get("Original Hash Batches", 1))):
        return float(facts.get("Peak Memory Usage", 0)) * (float(facts["Hash Batches"]) - 1)
    return float(facts["Disk Usage"]) if facts.get("Disk Usage") else None


def _walked(facts: Mapping[str, Any], depth: int) -> Iterator[PlanRow]:
    loops = _number(facts, "Actual Loops")
    took = _number(facts, "Actual Total Time")
    yield PlanRow(
        depth,
        str(facts.get("Node Type", "")),
        str(facts.get("Relation Name", "")),
        str(facts.get("Index Name", "")),
        next((str(facts[key]) for key in _CONDITIONS if key in facts), ""),
        _number(facts, "Plan Rows"),
        _number(facts, "Actual Rows"),
        loops,
        _number(facts, "Rows Removed by Filter"),
        spilled(facts),
        None if took is None or loops is None else took * loops,
    )
    for child in facts.get("Plans", ()):
        yield from _walked(child, depth + 1)


def _number(facts: Mapping[str, Any], key: str) -> float | None:
    return float(facts[key]) if key in facts else None


def _line(row: PlanRow) -> str:
    text = "  " * row.depth + row.node
    text += f" on {row.table}" if row.table else ""
    text += f" using {row.index}" if row.index else ""
    text += f" ({row.condition})" if row.condition else ""
    if row.expected is not None:
        text += f": {row.expected:,.0f} rows expected"
    if row.actual is not None:
        text += f", {row.actual:,.0f} found" + (
            f" in each of {row.loops:,.0f} loops" if (row.loops or 1) > 1 else ""
        )
    text += f", {row.removed:,.0f} read in vain" if row.removed else ""
    text += f", {row.spilled:,.0f} KiB on disk" if row.spilled else ""
    return text + (f", {row.milliseconds:,.2f} ms" if row.milliseconds is not None else "")
