"""Which session of the server a connection is, so that one that was lost in silence can be ended there.

A server does not notice that its client was cut off from it: the session stays open in the middle of a transaction and
holds its locks, and the repeat on a new connection would wait for its own dead predecessor. A transaction's id would tell
it (see `outcome`), but one that has only locked rows has none yet. So the session is told by its process and the moment
when that began, which together no other session has; they are asked for where replies can be overdue, once per session.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart.database.driver import ask
from stalwart.database.reply_limit import at_least

_KEPT = "_stalwart_server_session"
_WHO = "SELECT pid, extract(epoch from backend_start)::text FROM pg_stat_get_activity(pg_backend_pid())"
_ENDS_WITHIN = 1  #: seconds that the server waits for the end of a session


def learn(connection: BaseDatabaseWrapper) -> None:
    """Ask a connection that has just been opened which session it is; a second time, and in a transaction, nothing is done."""
    driver: Any = connection.connection
    if driver is None or connection.in_atomic_block or not driver.autocommit or _KEPT in driver.__dict__:
        return
    with suppress(Error):  # a connection that fails now shows it at the next statement, too
        for pid, began in ask(connection, _WHO):
            # Behind a pooler this connection has other sessions at other times, and the one that it has now may be somebody
            # else's by then. The process that the pooler has told of is not this one.
            driver.__dict__[_KEPT] = (pid, began) if pid == driver.info.backend_pid else None


def end(connection: BaseDatabaseWrapper, lost: Any) -> None:
    """End the session of a connection that was lost, if it is still there, and no other one.

    Args:
        connection: usable, in no transaction.
        lost: the driver's connection that was lost.
    """
    known = getattr(lost, "__dict__", {}).get(_KEPT)
    if known is None:
        return
    with suppress(Error), at_least(_ENDS_WITHIN + 1, connection.alias):
        ask(
            connection,
            f"SELECT bool_or(pg_terminate_backend(pid, {_ENDS_WITHIN * 1000})) FROM pg_stat_activity "
            "WHERE pid = %s AND extract(epoch from backend_start)::text = %s AND pid <> pg_backend_pid()",
            *known,
        )
