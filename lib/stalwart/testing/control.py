"""Sessions of the faults' own, beside those of the code under test. They are the driver's; Django does not know of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.testing.edge import unheard

APPLICATION = "stalwart.testing"
#: Seconds within which anything that the faults themselves ask of the server must be answered.
PATIENCE = 20


def open_session(connection: BaseDatabaseWrapper, *, autocommit: bool, role: bool = False) -> Any:
    """A psycopg connection to the database that `connection` is for.

    Args:
        connection: Django's; its settings are used, whatever way they were changed by a test runner.
        autocommit: psycopg's.
        role: take the role of OPTIONS["assume_role"], for statements on tables. Other people's sessions are ended by the
            role that logged in.
    """
    import psycopg
    from psycopg import sql

    settings: Any = connection
    with unheard():  # the server is not down for those who made it so
        params = dict(settings.get_connection_params())
    # Django's own cursors and adapters. Ours are the driver's plain ones.
    for name in ("cursor_factory", "context", "prepare_threshold"):
        params.pop(name, None)
    params["application_name"] = APPLICATION
    session = psycopg.connect(**params, autocommit=True)
    session.execute(f"SET statement_timeout = '{PATIENCE}s'")
    assumed = connection.settings_dict["OPTIONS"].get("assume_role")
    if role and assumed:
        session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(assumed)))
    session.autocommit = autocommit
    return session


class Control:
    """A session that ends others, and asks the server about them.

    Args:
        connection: Django's; only sessions of its role in its database are ever touched.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._session = open_session(connection, autocommit=True)

    def end(self, pid: int) -> bool:
        """End a session and wait until it is gone; whether it was there to be ended."""
        return bool(self._ask("SELECT pg_terminate_backend(%s, 5000)", pid))

    def end_all(self) -> int:
        """End the sessions of this role in this database, but for those of faults; how many there were."""
        return int(
            self._ask(
                "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND usename = session_user AND backend_type = 'client backend' "
                "AND application_name <> %s AND pid <> pg_backend_pid()",
                APPLICATION,
            )
        )

    def is_idle(self, pid: int) -> bool:
        """Whether a session has done what it was told, and waits for more; a session that is gone has, too."""
        return bool(
            self._ask(
                "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s AND state IN ('active', 'fastpath function call'))",
                pid,
            )
        )

    def waits_for(self, pid: int) -> bool:
        """Whether a session waits for a lock that the session `pid` has."""
        return bool(
            self._ask(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND %s = ANY (pg_blocking_pids(pid)))",
                pid,
            )
        )

    def setting(self, name: str) -> str:
        """The value of one of the server's settings for a session of this role in this database."""
        return str(self._ask("SELECT current_setting(%s)", name))

    def close(self) -> None:
        """End the session of our own."""
        with suppress(Exception):  # a server that is gone has closed it already
            self._session.close()

    def _ask(self, query: str, *params: object) -> Any:
        row = self._session.execute(query, params).fetchone()
        return row[0] if row else None
