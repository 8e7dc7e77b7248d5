"""Where the features that watch every connection are put in place: when Django opens one, and for those open already.

Each feature is a module with `attach(connection)`, called after every connect (a reconnect, a checkout from a pool), so it
must be idempotent, and with `detach(connection)`. Whether a feature does anything is decided by the settings at call time.

`PREPARED` are features that must be there before a connection object first connects, which may fail: their
`prepare(connection)` is called when `django.db.connections` makes one for a thread.

An execute wrapper goes to the front of `connection.execute_wrappers`: a `with connection.execute_wrapper(...)` in which the
connection is opened takes the last one away when it ends, whosever that is.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from stalwart.database import forking, health, overdue, pool, queries, reads

# A later one may stand around an earlier one's hook, so they are taken away in the reverse order. The clock of `queries` is
# outermost: what a lost read costs until it has run again counts.
PREPARED: tuple[ModuleType, ...] = (health, pool, overdue)
FEATURES: tuple[ModuleType, ...] = (health, pool, overdue, reads, queries)

_UID = "stalwart.database.wiring"
_MAKE = "create_connection"


def connect() -> None:
    """Put the features in place; calling it again changes nothing."""
    connection_created.connect(_opened, dispatch_uid=_UID)
    vars(connections)[_MAKE] = _make
    health.listen()
    forking.connect()
    for connection in connections.all(initialized_only=True):
        _prepare(connection)
        if connection.connection is not None:
            _opened(None, connection)


def disconnect() -> None:
    """Take them away again, from the connections of this thread too; the prepared ones, from those of all threads."""
    connection_created.disconnect(dispatch_uid=_UID)
    vars(connections).pop(_MAKE, None)
    health.ignore()
    forking.disconnect()
    for connection in connections.all(initialized_only=True):
        for feature in reversed(FEATURES):
            feature.detach(connection)
    for connection in health.known_connections():
        for feature in reversed(PREPARED):
            feature.detach(connection)


def _make(alias: str) -> BaseDatabaseWrapper:
    """In the place of the method of `django.db.connections`."""
    connection = type(connections).create_connection(connections, alias)
    _prepare(connection)
    return connection


def _prepare(connection: BaseDatabaseWrapper) -> None:
    for feature in PREPARED:
        feature.prepare(connection)


def _opened(sender: object, connection: BaseDatabaseWrapper, **_: Any) -> None:
    for feature in FEATURES:
        feature.attach(connection)
