"""The row of a commit marker: written with COMMIT, and asked for when COMMIT's reply is lost (PostgreSQL).

It goes in one message with COMMIT, so it costs no round trip, and no savepoint of the body can take it back. When the
reply is lost, the same key is inserted again on a new connection, with a note that the transaction is gone. The key is
unique, so the server itself sorts it out: while the lost transaction is still deciding, the insert waits for it; if it is
committed, its own row is there; else ours is, and a COMMIT that arrives later fails on it. Nothing of this hangs on
transaction ids, so it holds after a crash, after a failover and for a transaction of long ago.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error, ProgrammingError

from stalwart.database.classification import classify
from stalwart.database.driver import ask
from stalwart.database.outcome import Outcome, Ticket, end_session
from stalwart.exceptions import ConfigurationError
from stalwart.policies.deadline import Deadline
from stalwart.policies.marker import note

TABLE = "stalwart_commit_marker"

# With its schema: the body may change the search path. A role that may not write and read it might as well not have it.
_FIND = (
    "SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
    f"WHERE c.oid = to_regclass('{TABLE}') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'SELECT')"
)
_KNOWN_AS = "_stalwart_commit_marker"  # kept on the driver's connection
_LOCK_TIMEOUT = "55P03"
# A COMMIT that is really running gets this long; a session that only waits for a client that is gone is ended then.
_PATIENCE = 0.3


def find(connection: BaseDatabaseWrapper) -> str | None:
    """The table as SQL names it, asked for once per connection of the driver; None without."""
    known: dict[str, Any] = connection.connection.__dict__
    if _KNOWN_AS not in known:
        rows = ask(connection, _FIND)
        known[_KNOWN_AS] = rows[0][0] if rows else None
    table: str | None = known[_KNOWN_AS]
    return table


def missing(connection: BaseDatabaseWrapper) -> ConfigurationError:
    """The error for a write that could have no marker. The table is looked for again the next time."""
    connection.connection.__dict__.pop(_KNOWN_AS, None)
    return ConfigurationError(
        f'STALWART["DATABASE"]["COMMIT_MARKER"] is on, and database {connection.alias!r} has no table {TABLE!r} that this '
        "role may insert into and read; nothing was written. Run `manage.py migrate stalwart_marker "
        f"--database={connection.alias}` (a router must allow it there), or switch the marker off."
    )


def new_key(milliseconds: int | None = None) -> uuid.UUID:
    """A key that nobody else makes. The time stands in front, so that an index grows at its end and not everywhere."""
    if milliseconds is None:
        milliseconds = time.time_ns() // 1_000_000
    return uuid.UUID(int=(milliseconds << 80) | int.from_bytes(os.urandom(10)))


def commit(connection: BaseDatabaseWrapper, table: str, key: uuid.UUID) -> None:
    """COMMIT, with the row."""
    driver: Any = connection.connection
    wrapper: Any = type(connection)
    # Django's own way to COMMIT, of which only the message is another one.
    driver.__dict__["commit"] = lambda: _client_cursor(connection).execute(
        f"INSERT INTO {table} (key) VALUES ('{key}'); COMMIT"
    )
    try:
        wrapper._commit(connection)
    except ProgrammingError as error:
        note(
            error,
            f"COMMIT_MARKER: a row goes into {table} with each COMMIT; every role that commits needs INSERT on it.",
        )
        raise
    finally:
        del driver.__dict__["commit"]


def resolve(
    connection: BaseDatabaseWrapper,
    table: str,
    key: uuid.UUID,
    ticket: Ticket,
    deadline: Deadline,
) -> Outcome:
    """Ask a new connection that takes writes what became of a transaction. May be asked again and gives the same answer.

    Raises:
        django.db.Error: the connection failed, too.
    """
    while True:
        patience = min(_PATIENCE, deadline.remaining())
        try:
            gone = _claim(connection, table, key, max(1, round(patience * 1000)))
        except Error as error:
            _leave(connection)
            known = classify(error)
            if known is None or known.code != _LOCK_TIMEOUT:
                raise
            if not deadline.fits(0):
                return Outcome.UNKNOWN
            end_session(connection, ticket)
            continue
        if gone is None:
            return Outcome.UNKNOWN
        return Outcome.ABORTED if gone else Outcome.COMMITTED


def _claim(connection: BaseDatabaseWrapper, table: str, key: uuid.UUID, milliseconds: int) -> bool | None:
    """Whether the transaction is not there, and never will be; None when no row is shown (a policy hides it)."""
    with connection.wrap_database_errors:
        cursor = _client_cursor(connection)
        cursor.execute(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
            f"SET LOCAL lock_timeout = {milliseconds}; "
            f"INSERT INTO {table} (key, gone) VALUES ('{key}', true) ON CONFLICT DO NOTHING; "
            f"SELECT gone FROM {table} WHERE key = '{key}'; "
            "COMMIT"
        )
        while cursor.description is None and cursor.nextset():
            pass
        rows = cursor.fetchall()
        return bool(rows[0][0]) if rows else None


def _leave(connection: BaseDatabaseWrapper) -> None:
    with suppress(Error), connection.wrap_database_errors:
        connection.connection.rollback()


def _client_cursor(connection: BaseDatabaseWrapper) -> Any:
    """A cursor that sends its text as it is, whatever the settings say: two statements go in one message."""
    from psycopg import ClientCursor

    return ClientCursor(connection.connection)
