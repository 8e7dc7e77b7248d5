"""What a plan that was analysed tells beyond the planner's expectation: rows that there really were, spills, and loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stalwart.database.conditions import equated
from stalwart.database.plans import Node, nodes
from workbench.profile.plan_table import spilled
from workbench.profile.records import Kind, Plan, TableFacts

#: How many times more rows than expected, and how many in all, make a plan that was chosen for another table.
OFF, ROWS = 100.0, 10_000
#: How often a table must be read as a whole, and how many rows of it in all, to be told.
LOOPS, READ = 20, 100_000
#: KiB on disk from which on a spill is told.
SPILLED = 512


def as_it_was(tree: Any) -> Any:
    """A plan with the counted rows in the place of the expected ones, so that what is suggested rests on them.

    What is below a LIMIT may have been stopped early, and keeps what was expected.
    """
    top = next(iter(nodes(tree)), None)
    return tree if top is None else [{"Plan": _counted(top, limited=False, parallel=False)}]


def _counted(node: Node, *, limited: bool, parallel: bool) -> dict[str, Any]:
    actual, loops = node.facts.get("Actual Rows"), float(node.facts.get("Actual Loops", 1))
    rows = node.rows
    if actual is not None and loops and not limited:
        # Of parallel workers each counts as a loop.
        rows = float(actual) * (loops if parallel else 1)
    below = [
        _counted(
            child,
            limited=limited or node.kind == "Limit",
            parallel=parallel or "Workers Planned" in node.facts,
        )
        for child in node.children
    ]
    kept = {name: value for name, value in node.facts.items() if name not in ("Plans", "Workers Planned")}
    return {**kept, "Plan Rows": rows, **({"Plans": below} if below else {})}


def told(plan: Plan, *, sorts: bool = True) -> Iterator[tuple[Kind, str | None, str]]:
    """Kind, relation and sentence of each thing that is worth telling.

    Args:
        plan: that was analysed.
        sorts: spilled sorts too; not where the planner's figures have told of them.
    """
    for node in nodes(plan.tree):
        if sentence := _surprise(node):
            yield "slow-plan", node.relation or None, sentence
        size = spilled(node.facts)
        if size is not None and size >= SPILLED and (sorts or node.kind != "Sort"):
            yield "slow-plan", _table_below(node), _spill(node, size, plan.work_mem)
        if found := _looped(node, plan.tables.get(node.relation)):
            yield found


def _surprise(node: Node) -> str:
    """Far more rows than expected."""
    actual, loops = node.facts.get("Actual Rows"), node.facts.get("Actual Loops", 1)
    if actual is None or float(actual) * float(loops) < ROWS or float(actual) < OFF * max(node.rows, 1.0):
        return ""
    where = f" of {node.relation}" if node.relation else ""
    return f"{node.kind}{where}: {float(actual):,.0f} rows where {node.rows:,.0f} were expected"


def _spill(node: Node, size: float, work_mem: int | None) -> str:
    allowed = f"; work_mem allows {work_mem / 2**20:,.0f} MiB" if work_mem else ""
    return f"{node.kind}: {size / 1024:,.1f} MiB are written to disk{allowed}: fewer rows or columns, or an index in that order"


def _table_below(node: Node) -> str | None:
    waiting = [node]
    while waiting:
        one = waiting.pop(0)
        if one.relation:
            return one.relation
        waiting += one.children
    return None


def _looped(node: Node, table: TableFacts | None) -> tuple[Kind, str | None, str] | None:
    """A table that is read as a whole for each row of something else."""
    if node.kind != "Seq Scan" or table is None:
        return None
    loops = float(node.facts.get("Actual Loops", 1))
    if any("Workers Planned" in one for one in node.above):
        return None  # its loops are workers
    each = float(node.facts.get("Actual Rows", 0)) + float(node.facts.get("Rows Removed by Filter", 0))
    if loops < LOOPS or each * loops < READ:
        return None
    alias = str(node.facts.get("Alias", node.relation))
    over = str(node.above[0].get("Join Filter", "")) if node.above else ""
    columns = [*equated(str(node.facts.get("Filter", "")), alias), *equated(over, alias)]
    leading = {first.strip('"') for method, first in table.indexes if method == "btree"}
    text = f"{node.relation} is read as a whole {loops:,.0f} times, {each * loops:,.0f} rows in all"
    if columns and not leading & set(columns):
        return "missing-index", f"{node.relation}.{columns[0]}", f"{text}: an index on ({columns[0]})."
    return "slow-plan", node.relation, text
