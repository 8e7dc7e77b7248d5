"""Where the features that watch every connection are put in place: when Django opens one, and for those open already.

Each feature is a module with `attach(connection)`, called after every connect (a reconnect, a checkout from a pool), so it
must be idempotent, and with `detach(connection)`. Whether a feature does anything is decided by the settings at call time.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

FEATURES: tuple[ModuleType, ...] = ()

_UID = "stalwart.database.wiring"


def connect() -> None:
    """Put the features in place; calling it again changes nothing."""
    connection_created.connect(_opened, dispatch_uid=_UID)
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            _opened(None, connection)


def disconnect() -> None:
    """Take them away again, from the connections of this thread too."""
    connection_created.disconnect(dispatch_uid=_UID)
    for connection in connections.all(initialized_only=True):
        for feature in FEATURES:
            feature.detach(connection)


def _opened(sender: object, connection: BaseDatabaseWrapper, **_: Any) -> None:
    for feature in FEATURES:
        feature.attach(connection)
