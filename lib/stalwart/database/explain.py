"""Has the plan of a slow statement explained, without executing it: `EXPLAIN (FORMAT JSON)`, never ANALYZE.

When it may be done: on a connection that is open, sound, in autocommit and in no transaction, with no result still coming
from the server; else not, and the reason is told. It runs on the driver's cursor, below Django's, in a read-only
transaction that is rolled back, under time limits of the server's (`LIMITS`); so no wrapper sees it, and neither the
caller's transaction nor Django's idea of it changes.

How the values get in: the automatic one, right after a slow statement, has them at hand and plans with them, which is the
plan that was slow (Django's PostgreSQL backend sends values in the text, so the server never plans without them). They are
bound by the driver, and what the plan shows of them is taken out before anybody gets it; nothing keeps them. Later, on
demand, there are none: PostgreSQL 16 then plans with GENERIC_PLAN, whose expectations are those for any value.

A text with a semicolon in it is refused whatever it is: what came after would not be explained but executed.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database.explained import Explained
from stalwart.database.isolation import is_psycopg3
from stalwart.database.plans import nodes, without_values
from stalwart.database.suggestions import Table, suggest
from stalwart.database.watch import first_word, reads_only

#: What an explanation may take, in milliseconds: the whole statement, and waiting for a lock.
LIMITS = {"statement_timeout": 250, "lock_timeout": 100}

_EXPLAINED = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE"})
_PLACEHOLDERS = re.compile(r"%(?:%|s|\((\w+)\)s)")
_BEGIN = "BEGIN READ ONLY; " + "; ".join(f"SET LOCAL {name} = {value}" for name, value in LIMITS.items())
#: Of the tables with these names: rows by the statistics, indexes, and the memory that a sort may take.
TABLES = """
SELECT n, greatest(c.reltuples, 0)::float8,
       (SELECT coalesce(array_agg(ARRAY[m.amname::text, pg_get_indexdef(i.indexrelid, 1, true)]), '{}')
          FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
         WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL),
       pg_size_bytes(current_setting('work_mem'))
  FROM unnest(%s::text[]) n JOIN pg_class c ON c.oid = to_regclass(quote_ident(n))
"""
_GENERIC_PLAN_SINCE = 160_000
_LONGEST = 1_000_000  # characters of a statement with its values
_LONGEST_PLAN = 50_000  # characters of a plan that is kept


def explain_now(
    connection: BaseDatabaseWrapper, sql: str, params: Any, *, generic: bool = False, writes: bool = False
) -> Explained:
    """Have a statement explained on a connection, if this is a moment for it. Never raises.

    Costs four round trips, and at most the time limits; a server that is silent is waited for as by any statement.

    Args:
        connection: Django's, of this thread.
        sql: the statement with Django's placeholders.
        params: its values as they were given to `execute`, None for none; with `generic` only whether there are some counts.
        generic: plan without them.
        writes: a statement that writes may be explained as well.
    """
    reason = _hindrance(connection, sql, writes=writes)
    if reason:
        return Explained(skipped=reason)
    try:
        if connection.vendor == "sqlite":
            return _on_sqlite(connection, sql, params, generic=generic)
        return _on_postgresql(connection, sql, params, generic=generic)
    except Exception as error:  # noqa: BLE001  a plan is a help, and must not become a failure
        # Not its text, in which values may stand.
        code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
        return Explained(
            skipped=f"EXPLAIN failed with {type(error).__name__}" + (f" ({code})" if code else "")
        )


def _hindrance(connection: BaseDatabaseWrapper, sql: str, *, writes: bool) -> str:
    """Why the statement cannot be explained here and now, "" if it can."""
    word = first_word(sql)
    if word not in _EXPLAINED:
        return f"{word or 'this'} is no statement with a plan"
    if not writes and not reads_only(sql):
        return "it writes"
    if ";" in sql.rstrip().rstrip(";"):
        return "there is a semicolon in it"
    driver: Any = connection.connection
    if driver is None:
        return "the connection is not open"
    if connection.in_atomic_block or not connection.autocommit:
        return "the connection is in a transaction"
    if connection.vendor == "sqlite":
        return "the connection is in a transaction" if driver.in_transaction else ""
    if connection.vendor != "postgresql" or not is_psycopg3():
        return f"not built for {connection.display_name} with this driver"
    from psycopg.pq import ConnStatus, PipelineStatus, TransactionStatus

    if driver.closed or driver.pgconn.status != ConnStatus.OK:
        return "the connection is broken"
    if driver.pgconn.transaction_status != TransactionStatus.IDLE:
        return "the connection is in a transaction"
    if driver.pgconn.pipeline_status != PipelineStatus.OFF:
        return "the connection is in pipeline mode"
    return ""


def _on_postgresql(connection: BaseDatabaseWrapper, sql: str, params: Any, *, generic: bool) -> Explained:
    import psycopg
    from psycopg.pq import TransactionStatus
    from psycopg.rows import tuple_row

    driver: Any = connection.connection
    generic = generic and params is not None
    if generic and driver.info.server_version < _GENERIC_PLAN_SINCE:
        return Explained(skipped="a plan without the values needs PostgreSQL 16")
    if generic:
        options, text = "FORMAT JSON, GENERIC_PLAN", numbered(sql)
    else:
        options, text = "FORMAT JSON", psycopg.ClientCursor(driver).mogrify(sql, params)
    if len(text) > _LONGEST:
        return Explained(skipped=f"with its values it has {len(text):,} characters")
    try:
        with psycopg.Cursor(driver, row_factory=tuple_row) as cursor:
            cursor.execute(_BEGIN)
            # Binary asks for the extended protocol, which takes one statement only. With GENERIC_PLAN it would take the
            # $1 for parameters of its own, so there the search for semicolons stands alone.
            cursor.execute(f"EXPLAIN ({options}) {text}", prepare=False, binary=not generic)
            row = cursor.fetchone()
            plan = without_values(row[0] if row else None)
            tables, work_mem = known_tables(cursor, plan)
    finally:
        # The driver's own state decides: an error may have come from anywhere in between.
        if not driver.closed and driver.pgconn.transaction_status != TransactionStatus.IDLE:
            with suppress(Exception):
                driver.execute("ROLLBACK", prepare=False)
        if driver.closed or driver.pgconn.transaction_status != TransactionStatus.IDLE:
            # Rather no connection, which Django opens anew, than one with our transaction in it.
            connection.close()
    suggestions = suggest(plan, sql, tables, work_mem)
    length = len(json.dumps(plan))
    if length > _LONGEST_PLAN:
        return Explained(None, generic, suggestions, f"the plan has {length:,} characters and is not kept")
    return Explained(plan, generic, suggestions)


def known_tables(cursor: Any, plan: Any) -> tuple[dict[str, Table], int | None]:
    """What the server knows of the tables in a plan, and the bytes that a sort may take; asked of it on psycopg's cursor."""
    names = sorted({node.relation for node in nodes(plan) if node.relation})
    rows = cursor.execute(TABLES, [names], prepare=False).fetchall()
    tables = {name: Table(rows, tuple(map(tuple, indexes))) for name, rows, indexes, _ in rows}
    return tables, rows[0][3] if rows else None


def _on_sqlite(connection: BaseDatabaseWrapper, sql: str, params: Any, *, generic: bool) -> Explained:
    if generic and params is not None:
        # SQLite plans without looking at the values.
        named = {name: None for name in _PLACEHOLDERS.findall(sql) if name}
        params = named or [None] * len([one for one in _PLACEHOLDERS.finditer(sql) if one.group() != "%%"])
    cursor: Any = connection.create_cursor()
    try:
        rows = cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()
    finally:
        cursor.close()
    return Explained([row[3] for row in rows], generic)


def numbered(sql: str) -> str:
    """A statement with PostgreSQL's $1 in the place of the driver's placeholders, and single percent signs."""
    names: dict[str, int] = {}
    count = 0

    def number(found: re.Match[str]) -> str:
        nonlocal count
        if found.group() == "%%":
            return "%"
        name = found[1]
        if name is not None and name in names:
            return f"${names[name]}"
        count += 1
        if name is not None:
            names[name] = count
        return f"${count}"

    return _PLACEHOLDERS.sub(number, sql)
