"""Tries what the library suggests for a slow statement, and times the statement before, with it, and after it was taken back.

All of it happens in one transaction that is rolled back, on the drill's own database. An index is made as the suggestion defines
it, a sort gets the memory it asks for, a deep page goes on from the last row seen, many rows become a page of them. What
nobody can do without the programmer is not tried, and counts as not measured.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connection, transaction

#: Runs of the statement before, with and after.
RUNS = 3
#: Rows of a page.
PAGE = 100
_OFFSET = re.compile(
    r"^(?P<head>SELECT .+? FROM (?P<table>\"\w+\")(?: WHERE (?P<where>.+?))?) ORDER BY (?P<order>.+?) LIMIT (?P<limit>\d+) OFFSET (?P<offset>\d+)$",
    re.DOTALL,
)


@dataclass(frozen=True)
class Remedy:
    """What is done to a statement or its database.

    Attributes:
        prepare: statements before it.
        sql, params: the statement in the place of the slow one.
    """

    sql: str
    params: Any
    prepare: tuple[str, ...] = field(default=())


def tried(sql: str, params: Any) -> list[dict[str, Any]]:
    """Try everything that the library suggests for a statement.

    Returns:
        Of each suggestion its kind and text; the median seconds before, with and after it; and why it was not measured, or "".
    """
    from stalwart.database.explain import explain_now

    connection.ensure_connection()  # nothing is explained on one that is not open
    suggestions = explain_now(connection, sql, params, writes=True).suggestions
    whole = _with_values(sql, params) if suggestions else {}
    found = []
    for one in suggestions:
        # The same suggestion from a plan that still has its values, of which the definition of an index may need one.
        known = whole.get((one.kind, one.table, one.columns), one)
        found.append({"kind": one.kind, "text": one.text, **_measured(known, sql, params)})
    return found


def _with_values(sql: str, params: Any) -> dict[Any, Any]:
    from stalwart.database.explain import known_tables
    from stalwart.database.suggestions import suggest

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        (plan,) = cursor.fetchone()
        plan = json.loads(plan) if isinstance(plan, str) else plan
        tables, work_mem = known_tables(cursor.cursor, plan)
    return {(one.kind, one.table, one.columns): one for one in suggest(plan, sql, tables, work_mem)}


def _measured(suggestion: Any, sql: str, params: Any) -> dict[str, Any]:
    make = _REMEDIES.get(suggestion.kind)
    why, times = "", {}
    try:
        with _rolled_back():
            remedy = make(suggestion, sql, params) if make else None
            if remedy is None:
                return {"why": "it cannot be tried without the programmer"}
            times["before"] = _seconds(sql, params)
            with _rolled_back():
                for statement in remedy.prepare:
                    _run(statement)
                times["with"] = _seconds(remedy.sql, remedy.params)
            times["after"] = _seconds(sql, params)
    except DatabaseError as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    return {"why": why, **times}


def _index(suggestion: Any, sql: str, params: Any) -> Remedy | None:
    if not suggestion.definition:
        return None
    extension = ("CREATE EXTENSION IF NOT EXISTS pg_trgm",) if "gin_trgm_ops" in suggestion.definition else ()
    table = connection.ops.quote_name(suggestion.table)
    return Remedy(
        sql, params, (*extension, f"CREATE INDEX ON {table} {suggestion.definition}", f"ANALYZE {table}")
    )


def _memory(suggestion: Any, sql: str, params: Any) -> Remedy:
    # Of the bytes of its rows, which take more in memory than on disk.
    kilobytes = int(suggestion.evidence["bytes"] * 3 / 1024)
    return Remedy(sql, params, (f"SET LOCAL work_mem = '{kilobytes}kB'",))


def _keyset(suggestion: Any, sql: str, params: Any) -> Remedy | None:
    """The page by the columns of its order, from the row before it on; only where these tell rows apart in one direction."""
    match = _OFFSET.match(sql.strip())
    if match is None:
        return None
    terms = [term.rsplit(" ", 1) for term in match["order"].split(", ")]
    if any(len(term) != 2 for term in terms) or len({term[1] for term in terms}) != 1:
        return None
    columns, ascending = ", ".join(term[0] for term in terms), terms[0][1] == "ASC"
    where = f" WHERE {match['where']}" if match["where"] else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM {match['table']}{where} ORDER BY {match['order']} LIMIT 1 OFFSET {int(match['offset']) - 1}",
            params,
        )
        last = cursor.fetchone()
    if last is None:
        return None
    beyond = f"({columns}) {'>' if ascending else '<'} ({', '.join(['%s'] * len(last))})"
    head = match["head"] + (" AND " if match["where"] else " WHERE ") + beyond
    return Remedy(f"{head} ORDER BY {match['order']} LIMIT {match['limit']}", (*(params or ()), *last))


def instead(sql: str, params: Any) -> dict[str, Any] | None:
    """What takes the place of a deep page."""
    remedy = _keyset(None, sql, params)
    return None if remedy is None else {"sql": remedy.sql, "params": remedy.params}


def _page(suggestion: Any, sql: str, params: Any) -> Remedy:
    return Remedy(f"SELECT * FROM ({sql.rstrip().rstrip(';')}) page LIMIT {PAGE}", params)


_REMEDIES: dict[str, Callable[[Any, str, Any], Remedy | None]] = {
    **dict.fromkeys(("index", "functional-index", "trigram", "sort-index", "join-index"), _index),
    "sort-memory": _memory,
    "keyset": _keyset,
    "many-rows": _page,
}


def _seconds(sql: str, params: Any) -> float:
    """The median of some runs, fetching included; what a run writes is undone at once."""
    took = []
    for _ in range(RUNS):
        with _rolled_back():
            before = time.perf_counter()
            _run(sql, params)
            took.append(time.perf_counter() - before)
    return sorted(took)[RUNS // 2]


def _run(sql: str, params: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        if cursor.description is not None:
            cursor.fetchall()


@contextmanager
def _rolled_back() -> Any:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
