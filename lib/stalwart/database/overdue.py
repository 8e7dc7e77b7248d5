"""Overdue replies: a reply that does not come within `STALWART["DATABASE"]["REPLY_WITHIN"]` makes a lost connection.

Here is where Django's PostgreSQL connections get to be watched; how is in `silence`. It must be in place before the first
login, because a login that began inside a silent network stays dead after the network is well again. So each of Django's
connections gets a `get_new_connection` of its own, when Django makes it (see `wiring`):

* without a pool, it lets `psycopg.connect` make a watched connection. Where that function was replaced (by a tracing
  library), it is called as it is; then psycopg's `connect_timeout`, of 2 s at least, is what limits the login.
* with `OPTIONS["pool"]`, the pool is told to make watched ones, before it makes its first. So what its worker threads do
  (log in, configure, check) is watched, too.

A connection that was opened otherwise is watched from the first `connection_created` on.

Asynchronous ORM methods run in the thread of the ORM, on the same connections. PostgreSQL with psycopg 3 only: a system
check (`stalwart.W002`) tells where the setting has no effect. Not limited are the look-up of a host's name, which libpq
does inside `connect`, and what is done on a raw connection that Django has not opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import MethodType
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database import server_session
from stalwart.database.isolation import is_psycopg3
from stalwart.database.reply_limit import allowing, limit, time_left
from stalwart.database.silence import unwatched, watched
from stalwart.exceptions import ConfigurationError

_HOOK = "get_new_connection"
_OURS = "_stalwart_overdue"


def can_watch(connection: BaseDatabaseWrapper) -> bool:
    """Whether replies of this kind of database can be overdue."""
    return connection.vendor == "postgresql" and is_psycopg3()


def prepare(connection: BaseDatabaseWrapper) -> None:
    """Have all that this connection opens from now on watched."""
    if can_watch(connection) and _OURS not in connection.__dict__:
        connection.__dict__[_OURS] = connection.__dict__[_HOOK] = _Opening(connection)


def attach(connection: BaseDatabaseWrapper) -> None:
    """`prepare`, and have what is open already watched, too."""
    if can_watch(connection):
        prepare(connection)
        _watch(connection.connection, connection.alias)
        if limit(connection.alias):
            server_session.learn(connection)


def detach(connection: BaseDatabaseWrapper) -> None:
    """Undo it."""
    opening = connection.__dict__.pop(_OURS, None)
    if opening is not None:
        opening.undo()
    driver: Any = connection.connection
    if driver is not None:
        base = unwatched(driver.__class__)
        if base is not driver.__class__:
            driver.__class__ = base


@contextmanager
def reply_within(seconds: float | None, using: str | None = None) -> Iterator[None]:
    """Let replies of a database take another time than `STALWART["DATABASE"]["REPLY_WITHIN"]` within this block.

        with reply_within(600):         # the nightly report
            ...
        with reply_within(None):        # CREATE INDEX: nobody knows how long
            ...

    It is for statements that are known to be silent for long: a limit that ends a healthy statement loses its work. What
    counts is silence, not duration: rows that keep coming are never overdue. The innermost block counts. It holds for
    this thread, or for the asynchronous task around it and what that awaits.

    Args:
        seconds: how long the server may be silent while it owes a reply; None (or 0): without a limit.
        using: alias of the database, "default" if None.

    Raises:
        ConfigurationError: `seconds` makes no sense.
    """
    allowed = _check(seconds)
    alias = using or DEFAULT_DB_ALIAS
    attach(connections[alias])  # where the app is not installed, nothing else has done it
    with allowing(alias, seconds=allowed):
        yield


def _check(seconds: float | None) -> float:
    if seconds is None:
        return 0.0
    # NaN fails every comparison.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ConfigurationError(
            f"reply_within({seconds!r}): give a number of seconds, 0 or more, or None for no limit"
        )
    return float(seconds)


def _watch(driver: Any, alias: str) -> None:
    from psycopg import Connection

    # A tracing library may have put a proxy around it, which has the class of what is inside.
    kind = driver.__class__
    if issubclass(kind, Connection):
        made = watched(kind, alias)
        if kind is not made:
            # A class that cannot be changed stays as it is: better unwatched than refused.
            with suppress(TypeError):
                driver.__class__ = made


class _Opening:
    """In the place of a connection's `get_new_connection`.

    Args:
        connection: Django's.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection: Any = connection
        self._before = connection.__dict__.get(_HOOK)
        self._open = connection.get_new_connection
        self._pool: Any = None
        self._over = False

    def __call__(self, conn_params: dict[str, Any]) -> Any:
        connection, alias = self._connection, self._connection.alias
        if self._over:
            return self._open(conn_params)
        self._pool = pool = getattr(connection, "pool", None)
        if pool is not None:
            pool.connection_class = watched(pool.connection_class, alias)
            driver = self._from_pool(conn_params)
        elif limit(alias):
            driver = self._log_in(conn_params)
        else:
            driver = self._open(conn_params)
        _watch(driver, alias)
        return driver

    def _from_pool(self, conn_params: dict[str, Any]) -> Any:
        left = time_left(self._connection.alias)
        if left is None:
            return self._open(conn_params)
        # The pool's own patience is 30 s by default; an attempt to get a connection again has less.
        with _instead(
            self._connection, "_connection_pools", {self._connection.alias: _Hurried(self._pool, left)}
        ):
            return self._open(conn_params)

    def _log_in(self, conn_params: dict[str, Any]) -> Any:
        alias, module = self._connection.alias, self._connection.Database
        connect = getattr(module, "connect", None)
        if type(connect) is not MethodType:
            conn_params.setdefault("connect_timeout", max(2, math.ceil(limit(alias))))
            return self._open(conn_params)
        plain: Any = connect.__self__
        kind: Any = watched(plain, alias)
        with _instead(self._connection, "Database", _Driver(module, kind.connect)):
            return self._open(conn_params)

    def undo(self) -> None:
        """Put back what was there before."""
        self._over = True  # somebody else may have put a hook of theirs around this one, and go on calling it
        attributes = self._connection.__dict__
        if attributes.get(_HOOK) is self:
            del attributes[_HOOK]
            if self._before is not None:
                attributes[_HOOK] = self._before
        if self._pool is not None:
            self._pool.connection_class = unwatched(self._pool.connection_class)


class _Driver:
    """The driver's module as Django's backend sees it during one login, with another `connect`."""

    def __init__(self, module: Any, connect: Any) -> None:
        self._module = module
        self.connect = connect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Hurried:
    """A pool as Django's backend sees it while there is little time."""

    def __init__(self, pool: Any, seconds: float) -> None:
        vars(self).update(_pool=pool, _seconds=seconds)

    def getconn(self) -> Any:
        """A connection, or `PoolTimeout` when the time is over."""
        return self._pool.getconn(timeout=min(self._pool.timeout, self._seconds))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._pool, name, value)


@contextmanager
def _instead(connection: BaseDatabaseWrapper, name: str, value: object) -> Iterator[None]:
    """Another value for an attribute of a connection's class, in this connection only."""
    attributes = connection.__dict__
    missing = object()
    before = attributes.get(name, missing)
    attributes[name] = value
    try:
        yield
    finally:
        attributes.pop(name, None)
        if before is not missing:
            attributes[name] = before
