"""What the plan of a slow statement suggests, as records: plain functions, no database.

A suggestion rests on figures of the plan and of the server's statistics and carries them; where they are missing there is
none. It is the planner's expectation, not a measurement: whether it helps shows only when it was tried, on a copy. Plans
of SQLite carry no figures, so nothing is suggested from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stalwart.database.conditions import conditions, equated, sort_columns
from stalwart.database.plans import Node, nodes

#: Rows from which on a table, or what is sorted, is large.
LARGE = 10_000
#: Share of a table's rows up to which an index is quicker than reading all of it.
SELECTIVE = 0.05
#: The same for a pattern that begins with %, of which the planner has no statistics and expects much.
SELECTIVE_PATTERN = 0.25
#: Rows that are skipped by OFFSET from which on a page is deep.
DEEP = 1_000
#: Items of a list from which on it is long.
LONG_LIST = 500
#: Rows of a join without a condition.
CROSS = 1_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """What the server knows of a table.

    Attributes:
        rows: by its statistics.
        indexes: of each valid index without a condition its method ("btree") and its first column or expression.
    """

    rows: float
    indexes: tuple[tuple[str, str], ...] = ()

    def leads(self, column: str) -> bool:
        """Whether some B-tree begins with the column."""
        return any(method == "btree" and _bare(first) == _bare(column) for method, first in self.indexes)

    def searches(self, column: str) -> bool:
        """Whether some GIN or GiST index begins with the column, or with what is computed from it."""
        return any(method in ("gin", "gist") and column in first for method, first in self.indexes)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One thing to try.

    Attributes:
        kind: "index", "functional-index", "trigram", "sort-index", "sort-memory", "join-index", "keyset", "many-rows",
            "long-list" or "cross-join".
        table: that it is about, "" where it is about the statement.
        columns: of that table.
        text: what to do, in a sentence.
        evidence: figures of the plan.
        definition: of an index what follows `CREATE INDEX ON table`, as "(name, born)"; "" where it is about something else.
            As far as the plan shows no values it shows none either, and has a ? in their place.
    """

    kind: str
    table: str
    columns: tuple[str, ...]
    text: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    definition: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `json`."""
        return asdict(self)


def suggest(
    plan: Any, sql: str = "", tables: Mapping[str, Table] | None = None, work_mem: int | None = None
) -> tuple[Suggestion, ...]:
    """What a plan suggests.

    Args:
        plan: of `EXPLAIN (FORMAT JSON)`, its values taken out by `plans.without_values`.
        sql: the statement, with or without its values.
        tables: what is known of the tables in it, by name; nothing is suggested about one that is not there.
        work_mem: bytes that a sort may take before it goes to disk; None where that is not known.

    Returns:
        Each suggestion once, in the order of the plan.
    """
    known = tables or {}
    found: dict[tuple[str, str, tuple[str, ...]], Suggestion] = {}
    for node in nodes(plan):
        for rule in _RULES:
            for one in rule(node, sql, known, work_mem):
                found.setdefault((one.kind, one.table, one.columns), one)
    return tuple(found.values())


_Found = Iterator[Suggestion]
_Tables = Mapping[str, Table]


def _scan(node: Node, sql: str, tables: _Tables, work_mem: int | None) -> _Found:
    """All of a large table is read for a few of its rows."""
    table = tables.get(node.relation)
    if node.kind != "Seq Scan" or table is None or table.rows < LARGE:
        return
    share = node.rows / table.rows
    evidence = {"rows": table.rows, "expected": node.rows, "cost": float(node.facts.get("Total Cost", 0))}
    known = conditions(str(node.facts.get("Filter", "")))
    equal = [one.columns[0] for one in known if one.equal and not one.computed]
    ranged = [one.columns[0] for one in known if not (one.equal or one.computed or one.pattern_open)]
    columns = tuple(dict.fromkeys([*equal, *ranged[:1]]))
    # Where an index begins with one of them the planner had its reasons.
    if columns and share <= SELECTIVE and not any(table.leads(column) for column in columns):
        yield Suggestion(
            "index", node.relation, columns,
            f"All of {node.relation} is read for {node.rows:,.0f} of {table.rows:,.0f} rows: an index on "
            f"({', '.join(columns)}).", evidence, _on(columns),
        )  # fmt: skip
    if equal:
        return
    for one in known:
        if one.pattern_open and share <= SELECTIVE_PATTERN and not table.searches(one.columns[0]):
            yield Suggestion(
                "trigram", node.relation, one.columns,
                f"A pattern that begins with % cannot use a B-tree: a GIN index on {one.left} with gin_trgm_ops "
                "(pg_trgm), or full-text search.", evidence, f"USING gin (({_alone(one.left, node)}) gin_trgm_ops)",
            )  # fmt: skip
        elif one.computed and not one.pattern_open and share <= SELECTIVE and not table.leads(one.left):
            yield Suggestion(
                "functional-index", node.relation, one.columns,
                f"The condition is on what is computed from {_listed(one.columns)}: an index on ({one.left}), or a "
                "condition on the bare column.", evidence, f"(({_alone(one.left, node)}))",
            )  # fmt: skip


def _sort(node: Node, sql: str, tables: _Tables, work_mem: int | None) -> _Found:
    """Many rows are sorted, for the first few or beyond the memory for it."""
    if node.kind != "Sort" or not node.children:
        return
    below = node.children[0]
    rows = below.rows
    size = rows * float(node.facts.get("Plan Width", 0))
    if rows < LARGE:
        return
    evidence = {"rows": rows, "bytes": size, "cost": float(node.facts.get("Total Cost", 0))}
    limit = next((one for one in node.above if one.get("Node Type") == "Limit"), None)
    columns = sort_columns(node.facts.get("Sort Key", ()))
    scan = next((one for one in _below(node) if one.relation in tables), None)
    if limit is not None and scan is not None and columns:
        wanted = float(limit.get("Plan Rows", rows))
        if wanted <= SELECTIVE * rows and not tables[scan.relation].leads(columns[0]):
            yield Suggestion(
                "sort-index", scan.relation, columns,
                f"{rows:,.0f} rows are sorted for {wanted:,.0f}: an index on ({', '.join(columns)}) gives them in order.",
                {**evidence, "wanted": wanted}, _on(columns),
            )  # fmt: skip
    elif limit is None and work_mem is not None and size > work_mem:
        yield Suggestion(
            "sort-memory", scan.relation if scan else "", columns,
            f"About {size / 1e6:,.0f} MB are sorted, and work_mem allows {work_mem / 1e6:,.0f} MB, so it goes to disk: an "
            "index in that order, fewer columns, or a larger work_mem for this statement.",
            {**evidence, "work_mem": float(work_mem)},
        )  # fmt: skip


def _join(node: Node, sql: str, tables: _Tables, work_mem: int | None) -> _Found:
    """A large table is read as a whole to be joined to a few rows."""
    if node.kind not in ("Hash Join", "Merge Join", "Nested Loop") or len(node.children) < 2:
        return
    text = next(
        (str(node.facts[key]) for key in ("Hash Cond", "Merge Cond", "Join Filter") if key in node.facts), ""
    )
    sides = [_scanned(child) for child in node.children[:2]]
    for side, other in ((sides[0], node.children[1]), (sides[1], node.children[0])):
        table = tables.get(side.relation)
        if side.kind != "Seq Scan" or table is None or "Filter" in side.facts or table.rows < LARGE:
            continue
        alias = str(side.facts.get("Alias", side.relation))
        columns = equated(text, alias)
        if columns and other.rows <= SELECTIVE * table.rows and not any(table.leads(one) for one in columns):
            yield Suggestion(
                "join-index", side.relation, columns,
                f"All {table.rows:,.0f} rows of {side.relation} are read to be joined to {other.rows:,.0f}: an index on "
                f"({', '.join(columns)}).",
                {"rows": table.rows, "joined to": other.rows, "cost": float(node.facts.get("Total Cost", 0))}, _on(columns),
            )  # fmt: skip


def _cross(node: Node, sql: str, tables: _Tables, work_mem: int | None) -> _Found:
    """Everything is joined with everything."""
    if node.kind != "Nested Loop" or "Join Filter" in node.facts or len(node.children) < 2:
        return
    inner = _scanned(node.children[1])
    if inner.relation and "Index Cond" not in inner.facts and node.rows >= CROSS:
        yield Suggestion(
            "cross-join", inner.relation, (),
            f"Each row is joined with all rows of {inner.relation}, {node.rows:,.0f} in all: is a condition missing?",
            {"rows": node.rows, "cost": float(node.facts.get("Total Cost", 0))},
        )  # fmt: skip


def _offset(node: Node, sql: str, tables: _Tables, work_mem: int | None) -> _Found:
    """Many rows are made only to be skipped."""
    if node.kind != "Limit" or not node.children or not re.search(r"\bOFFSET\b", sql, re.IGNORECASE):
        return
    child = node.children[0]
    start, end = float(child.facts.get("Startup Cost", 0)), float(child.facts.get("Total Cost", 0))
    if end <= start:
        return
    # The planner charges a LIMIT's start with the share of the rows that are skipped; this takes it back.
    share = (float(node.facts.get("Startup Cost", 0)) - start) / (end - start)
    skipped = share * float(child.facts.get("Plan Rows", 0))
    if skipped >= DEEP:
        yield Suggestion(
            "keyset", "", (),
            f"About {skipped:,.0f} rows are made and thrown away for OFFSET: go on from the last row seen "
            "(`filter(pk__gt=last)`), or pass over all with `chunk_queryset`.",
            {"skipped": skipped, "rows": float(node.facts.get("Plan Rows", 0))},
        )  # fmt: skip


def _many_rows(node: Node, sql: str, tables: _Tables, work_mem: int | None) -> _Found:
    """The application gets very many rows at once."""
    if node.above or node.rows < LARGE or node.kind == "ModifyTable":
        return
    size = node.rows * float(node.facts.get("Plan Width", 0))
    yield Suggestion(
        "many-rows", "", (),
        f"{node.rows:,.0f} rows, about {size / 1e6:,.1f} MB, come at once: a page of them, fewer columns, or "
        "`chunk_queryset`.", {"rows": node.rows, "bytes": size},
    )  # fmt: skip


def _long_list(node: Node, sql: str, tables: _Tables, work_mem: int | None) -> _Found:
    """A list of very many values is compared with each row."""
    for key in ("Filter", "Index Cond", "Recheck Cond", "Join Filter"):
        for count in re.findall(r"\{\?\*(\d+)\}", str(node.facts.get(key, ""))):
            if int(count) >= LONG_LIST:
                yield Suggestion(
                    "long-list", node.relation, (),
                    f"A list of {int(count):,} values: a join with where they come from (a subquery), or several shorter "
                    "statements.", {"values": float(count)},
                )  # fmt: skip


_RULES: tuple[Callable[[Node, str, _Tables, int | None], _Found], ...] = (
    _scan, _sort, _join, _cross, _offset, _many_rows, _long_list,
)  # fmt: skip


def _below(node: Node) -> Iterator[Node]:
    for child in node.children:
        yield child
        yield from _below(child)


def _scanned(node: Node) -> Node:
    """Below what only hands rows on."""
    while node.kind in ("Hash", "Materialize", "Memoize", "Gather", "Sort") and node.children:
        node = node.children[0]
    return node


def _bare(expression: str) -> str:
    """Without quotes, outer brackets and casts to text, in which the server spells one thing in several ways."""
    return re.sub(r'[()"\s]|::(?:text|character varying|bpchar)', "", expression).lower()


def _on(columns: tuple[str, ...]) -> str:
    """As they stand in the definition of an index."""
    plain = re.compile(r"[a-z_][a-z0-9_]*")
    return "(" + ", ".join(one if plain.fullmatch(one) else f'"{one}"' for one in columns) + ")"


def _alone(expression: str, node: Node) -> str:
    """Without the name of the table, which a plan of several tables puts before each column."""
    alias = re.escape(str(node.facts.get("Alias", node.relation)))
    return re.sub(rf'(?<![\w."])(?:{alias}|"{alias}")\.', "", expression)


def _listed(columns: tuple[str, ...]) -> str:
    return " and ".join(columns)
