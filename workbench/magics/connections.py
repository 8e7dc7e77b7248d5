"""The worker's database connections: mended before a cell, interrupted from outside, closed at the end.

Django keeps a connection for each thread, and no other thread can look it up. So those that are made are remembered, with
the thread that made them (`_thread_ident`, which Django itself checks); weakly, for they belong to their threads.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from typing import Any

from workbench.steps.observing import is_set_up

#: Seconds that a server may take to hear of a cancelled statement.
CANCEL = 2.0

_made: weakref.WeakSet[Any] = weakref.WeakSet()


def mend() -> None:
    """What Django does when a request begins, for this thread: a connection that broke is closed, so that the next use makes one.

    Their age does not count here: a connection is the same from cell to cell.
    """
    if not is_set_up():
        return
    from django.db import connections
    from django.db.backends.signals import connection_created

    connection_created.connect(_remember, dispatch_uid="workbench.magics.connections")
    for connection in connections.all(initialized_only=True):
        _made.add(connection)
        if connection.errors_occurred and not connection.in_atomic_block:
            if connection.connection is not None and not connection.is_usable():
                connection.close()
            connection.errors_occurred = False


def _remember(connection: Any, **_: Any) -> None:
    _made.add(connection)


def cancel(thread: int) -> None:
    """Interrupt the statements that run on a thread's connections; call it from another thread."""
    for wrapper in list(_made):
        if wrapper._thread_ident != thread:
            continue
        raw: Any = wrapper.connection
        with contextlib.suppress(Exception):  # whatever a driver says of a connection that just ended
            if hasattr(raw, "interrupt"):  # sqlite3
                raw.interrupt()
            elif hasattr(raw, "cancel_safe"):  # psycopg from 3.2 on
                raw.cancel_safe(timeout=CANCEL)
            elif hasattr(raw, "cancel"):  # psycopg, psycopg2, oracledb
                raw.cancel()


def in_memory(thread: int) -> list[str]:
    """Aliases whose database lives in a connection of that thread alone, and goes with it."""
    return sorted(
        wrapper.alias
        for wrapper in list(_made)
        if wrapper._thread_ident == thread and getattr(wrapper, "is_in_memory_db", bool)()
    )


def close() -> None:
    """Close this thread's connections; the thread is about to end."""
    if is_set_up():
        from django.db import connections

        connections.close_all()


def forget() -> None:
    """Stop listening to new connections."""
    if "django.db" in sys.modules:
        from django.db.backends.signals import connection_created

        connection_created.disconnect(dispatch_uid="workbench.magics.connections")
    _made.clear()
