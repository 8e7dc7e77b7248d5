"""Statements on the driver's own cursors, below Django's: no execute wrapper and no recording sees them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# What a session may hold for its caller beyond a transaction: giving the connection back would take it away, or hand it on.
_HOLDS_SOMETHING = (
    "SELECT pg_my_temp_schema() <> 0 OR EXISTS (SELECT FROM pg_cursors) "
    "OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
)


def open_cursor(connection: BaseDatabaseWrapper, name: str | None = None) -> Any:
    """A cursor of the driver, server-side if it has a name (PostgreSQL only)."""
    with connection.wrap_database_errors:
        return connection.create_cursor() if name is None else connection.create_cursor(name=name)


def as_text(connection: BaseDatabaseWrapper, sql: Any) -> str:
    """The text of a statement, which may come as text, as bytes, or composed of the parts of psycopg's `sql` module."""
    if isinstance(sql, str):
        return sql
    if isinstance(sql, bytes):
        return sql.decode("utf-8", "replace")
    try:
        return str(sql.as_string(connection.connection))
    except Exception:  # noqa: BLE001  any object may come, and any version of a driver
        return str(sql)


def close_cursor(cursor: Any) -> None:
    """Close a cursor of the driver whose connection may be gone."""
    with suppress(Exception):  # there is nothing that could still be done about it
        cursor.close()


def run(connection: BaseDatabaseWrapper, cursor: Any, sql: Any, params: Any, *, many: bool = False) -> None:
    """Execute on a driver's cursor, with Django's errors."""
    with connection.wrap_database_errors:
        if many:
            cursor.executemany(sql, params)
        elif params is None:
            cursor.execute(sql)
        else:
            cursor.execute(sql, params)


def ask(connection: BaseDatabaseWrapper, sql: str, *params: object) -> list[Any]:
    """The rows of a query."""
    cursor = open_cursor(connection)
    try:
        run(connection, cursor, sql, params or None)
        with connection.wrap_database_errors:
            rows: list[Any] = cursor.fetchall()
        return rows
    finally:
        close_cursor(cursor)


def holds_something(connection: BaseDatabaseWrapper) -> bool:
    """Whether a PostgreSQL session holds a cursor, an advisory lock or a temporary table. Outside transactions only."""
    return bool(ask(connection, _HOLDS_SOMETHING)[0][0])
