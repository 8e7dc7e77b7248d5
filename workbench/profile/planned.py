"""What the plans of a page's statements show: reads of whole tables that an index would spare, and work out of proportion."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stalwart.database.suggestions import LARGE, Suggestion, Table, suggest
from workbench.profile import analysed, fingerprints, places
from workbench.profile.records import Finding, Kind, PageView, Plan
from workbench.profile.suspects import Suspect

#: What an index answers, and what is a fault of the statement itself; the others of the library's suggestions are findings of
#: their own kind here.
INDEXES = frozenset({"index", "functional-index", "trigram", "sort-index", "join-index"})
SLOW = frozenset({"sort-memory", "keyset", "long-list", "cross-join"})
_SCAN = re.compile(r"SCAN (?:TABLE )?(\w+)$")


def planned(view: PageView, plans: Iterable[Plan]) -> tuple[Suspect, ...]:
    """Findings of the statements of a view that have a plan, as EXPLAIN expected them or as ANALYZE saw them.

    Args:
        view: the warm or the attributed one; statements are joined to plans by fingerprint and alias.
        plans: as `workbench.profile.records.Plan` says.
    """
    found: dict[tuple[Kind, str | None, str], Suspect] = {}
    for plan in plans:
        text = fingerprints.of_text(plan.sql)
        positions = [
            p
            for p, query in enumerate(view.queries)
            if query.alias == plan.alias and fingerprints.of(query) == text
        ]
        if not positions:
            continue
        for kind, relation, sentence in _told(plan):
            place = places.of_query(view.queries[positions[0]])
            milliseconds = sum(view.queries[p].milliseconds for p in positions)
            finding = Finding(
                kind, view.url, relation, place, len(positions), milliseconds, sql=plan.sql, text=sentence
            )
            found.setdefault((kind, relation, place), Suspect(finding, positions=tuple(positions)))
    return tuple(found.values())


def _told(plan: Plan) -> Iterable[tuple[Kind, str | None, str]]:
    if isinstance(plan.tree, list) and all(isinstance(line, str) for line in plan.tree):
        yield from _scanned(plan)
        return
    for one in suggestions(plan):
        if one.kind in INDEXES:
            yield "missing-index", relation_of(one), one.text
        elif one.kind in SLOW:
            yield "slow-plan", relation_of(one), one.text
    if plan.analysed:
        sorts = all(one.kind != "sort-memory" for one in suggestions(plan))
        yield from analysed.told(plan, sorts=sorts)


def suggestions(plan: Plan) -> tuple[Suggestion, ...]:
    """What the library suggests: indexes by the rows that there really were where they were counted, the rest by expectation."""
    tables = {name: Table(facts.rows, facts.indexes) for name, facts in plan.tables.items()}
    expected = suggest(plan.tree, plan.sql, tables, plan.work_mem)
    if not plan.analysed:
        return expected
    counted = suggest(analysed.as_it_was(plan.tree), plan.sql, tables, plan.work_mem)
    return (
        *(one for one in counted if one.kind in INDEXES),
        *(one for one in expected if one.kind not in INDEXES),
    )


def _scanned(plan: Plan) -> Iterable[tuple[Kind, str | None, str]]:
    """SQLite's plans have no figures: a large table that is read as a whole for the rows with one value in a column."""
    for line in map(str, plan.tree if isinstance(plan.tree, list) else ()):
        found = _SCAN.match(line)
        table = found[1] if found else ""
        facts = plan.tables.get(table)
        if facts is None or facts.rows < LARGE:
            continue
        where = plan.sql.partition(" WHERE ")[2]
        leading = {first.strip('"') for _method, first in facts.indexes}
        for column in re.findall(rf'"{re.escape(table)}"\."(\w+)" (?:=|IN) ', where):
            if column not in leading:
                text = f"{table} ({facts.rows:,.0f} rows) is read as a whole to find rows by {column}: an index on it"
                yield "missing-index", f"{table}.{column}", text
                break


def relation_of(one: Suggestion) -> str | None:
    """ "table.column,column" as a finding names it."""
    return f"{one.table}.{','.join(one.columns)}" if one.table and one.columns else one.table or None
