"""Plans and times of statements that a page runs, with the values that it gives them; these never leave this process.

A statement is run again, for its plan or its time, on a database of ours only: in a transaction that may only read and is rolled
back, under time limits of the server's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any

from django.db import connections, transaction
from django.db.backends.signals import connection_created

from workbench.guest import capture, pages, sandbox

#: What a plan may take, what running the statement may, and waiting for a lock, in milliseconds.
PLANNING, RUNNING, WAITING = 1_000, 5_000, 200
_GENERIC_PLAN_SINCE = 160_000
#: Functions whose effect does not end with the transaction: what calls one is not run a second time.
_EFFECTS = re.compile(
    r"\b(?:pg_\w*(?:lock|notify|terminate|cancel|sleep|reload)\w*|dblink\w*|lo_\w+)\s*\(", re.IGNORECASE
)
_PREPARED = "workbench_plan"
#: Memory that SQLite's whole tables may take to be counted.
_MOST_ROWS = 1_000_000

#: The values of a statement's slowest run, by alias and text.
_held: dict[tuple[str, str], Any] = {}


def catch(url: str, wanted: list[list[str]], headers: Mapping[str, str] | None = None) -> int:
    """Visit a page and keep the values of some of its statements.

    Args:
        url, headers: as for `pages.visit`.
        wanted: alias and text of each.

    Returns:
        How many of them it ran.
    """
    names = {(alias, sql) for alias, sql in wanted}
    took: dict[tuple[str, str], float] = {}

    def keep(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        connection = context["connection"]
        began = time.perf_counter()
        result = execute(sql, params, many, context)
        passed = time.perf_counter() - began
        key = (connection.alias, sql if type(sql) is str else capture._text(sql, connection))
        if key in names and not many and passed > took.get(key, -1.0):
            took[key] = passed
            _held[key] = params
        return result

    with _wrapped(keep):
        pages.observed(url, "warm", headers)
    return len(took)


@contextmanager
def _wrapped(wrapper: Any) -> Iterator[None]:
    """A wrapper on every connection, those that the page's threads open included."""
    joined: list[Any] = []

    def join(connection: Any, **_: Any) -> None:
        if wrapper not in connection.execute_wrappers:
            connection.execute_wrappers.append(wrapper)
            joined.append(connection)

    connection_created.connect(join, weak=False, dispatch_uid="workbench.guest.plans")
    try:
        for alias in connections:
            join(connections[alias])
        yield
    finally:
        connection_created.disconnect(dispatch_uid="workbench.guest.plans")
        for connection in joined:
            with suppress(ValueError):
                connection.execute_wrappers.remove(wrapper)


def explained(alias: str, sql: str, numbered: str, tables: str) -> dict[str, Any]:
    """How the database runs a statement; with what really happened where it may be run once more.

    Args:
        alias: of the database.
        sql: as it was caught, or as a page had it: without values it is planned for any.
        numbered: the same with $1 in the place of the first value, for PostgreSQL.
        tables: PostgreSQL's statement that tells of a list of tables what is known of them.

    Returns:
        plan (None without one; its values are still in it), tables by name (rows, indexes), work_mem, analysed, note.
    """
    connection = connections[alias]
    answer: dict[str, Any] = {"plan": None, "tables": {}, "work_mem": None, "analysed": False, "note": ""}
    if ";" in sql.rstrip().rstrip(";"):
        # What came after it would not be explained but executed.
        return {**answer, "note": "no plan: there is a semicolon in it"}
    if connection.vendor == "sqlite":
        try:
            return {**answer, **_on_sqlite(connection, sql)}
        except Exception as error:  # noqa: BLE001 a plan is a help, and must not become a failure
            return {**answer, "note": f"no plan: {type(error).__name__}"}
    if connection.vendor != "postgresql":
        return {**answer, "note": f"no plan: not built for {connection.display_name}"}
    problem = "no values"
    ways = [_analysed, _planned, _generic] if (alias, sql) in _held else [_generic]
    for way in ways:
        if way is _analysed and (not sandbox.active() or _EFFECTS.search(sql)):
            continue
        try:
            return {**answer, **way(connection, sql, numbered, tables)}
        except Exception as error:  # noqa: BLE001 as above; not its text, in which values may stand
            code = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
            problem = type(error).__name__ + (f" ({code})" if code else "")
    return {**answer, "note": f"no plan: {problem}"}


@contextmanager
def _reading(connection: Any, limit: int) -> Iterator[Any]:
    """A cursor in a transaction that may only read and is rolled back."""
    with transaction.atomic(using=connection.alias):
        try:
            with connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute("SET LOCAL transaction_read_only = on")
                    cursor.execute(f"SET LOCAL statement_timeout = {limit}")
                    cursor.execute(f"SET LOCAL lock_timeout = {WAITING}")
                yield cursor
        finally:
            transaction.set_rollback(True, using=connection.alias)


def _analysed(connection: Any, sql: str, numbered: str, tables: str) -> dict[str, Any]:
    with _reading(connection, RUNNING) as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", _held[connection.alias, sql])
        return {**_told(cursor, cursor.fetchone()[0], tables), "analysed": True}


def _planned(connection: Any, sql: str, numbered: str, tables: str) -> dict[str, Any]:
    with _reading(connection, PLANNING) as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", _held[connection.alias, sql])
        found = _told(cursor, cursor.fetchone()[0], tables)
    return {**found, "note": "as the planner expects it: it was not run"}


def _generic(connection: Any, sql: str, numbered: str, tables: str) -> dict[str, Any]:
    """Without values: as the server would for any; before PostgreSQL 16 by way of a prepared statement."""
    note = "planned without its values"
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        version = int(cursor.fetchone()[0])
    if version >= _GENERIC_PLAN_SINCE:
        with _reading(connection, PLANNING) as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON, GENERIC_PLAN) {numbered}")
            return {**_told(cursor, cursor.fetchone()[0], tables), "note": note}
    number = max((int(one) for one in re.findall(r"\$(\d+)", numbered)), default=0)
    values = f"({', '.join(['NULL'] * number)})" if number else ""
    try:
        with _reading(connection, PLANNING) as cursor:
            cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            cursor.execute(f"PREPARE {_PREPARED} AS {numbered}")
            cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {_PREPARED}{values}")
            return {**_told(cursor, cursor.fetchone()[0], tables), "note": note}
    finally:
        # It outlives the transaction, whether that ended well or not.
        with suppress(Exception), connection.cursor() as cursor:
            cursor.execute(f"DEALLOCATE {_PREPARED}")


def _told(cursor: Any, plan: Any, tables: str) -> dict[str, Any]:
    plan = json.loads(plan) if isinstance(plan, str) else plan
    names = sorted(set(_relations(plan)))
    cursor.execute(tables, [names])
    rows = cursor.fetchall()
    return {
        "plan": plan,
        "tables": {name: {"rows": count, "indexes": indexes} for name, count, indexes, _ in rows},
        "work_mem": rows[0][3] if rows else None,
    }


def _relations(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if "Relation Name" in plan:
            yield plan["Relation Name"]
        plan = list(plan.values())
    if isinstance(plan, list):
        for one in plan:
            yield from _relations(one)


def _on_sqlite(connection: Any, sql: str) -> dict[str, Any]:
    """SQLite plans without looking at the values."""
    params = _held.get((connection.alias, sql))
    if params is None and "%s" in sql:
        params = [None] * sql.count("%s")
    with connection.cursor() as cursor:
        # Explaining runs nothing, and so does not notice that another connection has changed the schema; this does.
        cursor.execute("SELECT count(*) FROM sqlite_master")
        cursor.fetchall()
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        lines = [str(row[3]) for row in cursor.fetchall()]
        names = [name for name in connection.introspection.table_names(cursor) if f'"{name}"' in sql]
        tables = {name: _sqlite_table(connection, cursor, name) for name in names}
    return {"plan": lines, "tables": tables}


def _sqlite_table(connection: Any, cursor: Any, name: str) -> dict[str, Any]:
    quoted = connection.ops.quote_name(name)
    cursor.execute(f"SELECT count(*) FROM (SELECT 1 FROM {quoted} LIMIT {_MOST_ROWS})")
    rows = cursor.fetchone()[0]
    cursor.execute(f"PRAGMA table_info({quoted})")
    firsts = [column for _, column, _, _, _, place in cursor.fetchall() if place == 1]
    cursor.execute(f"PRAGMA index_list({quoted})")
    for _, index, _, _, partial, *_rest in cursor.fetchall():
        if partial:
            continue
        cursor.execute(f"PRAGMA index_info({connection.ops.quote_name(index)})")
        firsts += [column for place, _, column in cursor.fetchall() if place == 0 and column is not None]
    return {"rows": rows, "indexes": [["btree", one] for one in dict.fromkeys(firsts)]}


def timed(alias: str, sql: str, times: int = 3) -> dict[str, Any]:
    """Run a statement that was caught, with its values.

    Args:
        alias, sql: of the statement.
        times: how often.

    Returns:
        milliseconds of each run to its last row, the number of rows, and a digest of them in whatever order they come.

    Raises:
        LookupError: the page did not run it.
        RuntimeError: the database is not known to be one of ours, or running it again has effects.
    """
    if (alias, sql) not in _held:
        raise LookupError("the page did not run this statement")
    if not sandbox.active() or capture.writes(sql) or _EFFECTS.search(sql):
        raise RuntimeError("this statement is not run a second time")
    took, rows = [], []
    for _ in range(times):
        with _reading(connections[alias], RUNNING) as cursor:
            began = time.perf_counter()
            cursor.execute(sql, _held[alias, sql])
            rows = cursor.fetchall()
            took.append((time.perf_counter() - began) * 1000)
    return {"milliseconds": took, "rows": len(rows), "digest": _digest(rows)}


def _digest(rows: Iterable[Any]) -> str:
    texts = sorted(repr(row) for row in rows)
    return blake2b("\n".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
