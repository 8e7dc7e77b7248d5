"""Django's connection pool (`OPTIONS["pool"]`, psycopg_pool): its queue bounded, its takers known, its numbers.

`take` stands in the place of a connection object's `get_new_connection`, which is where Django asks the pool. The bound of
the queue is psycopg_pool's own `max_waiting`, set on the live pool, so that the settings decide at call time. One waiter too
many gets its `TooManyRequests`: Django's OperationalError, of class `capacity`, which `database_retry` repeats after a wait.
"""

from __future__ import annotations

import weakref
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart import django_conf
from stalwart.conf import DatabaseConfig
from stalwart.database import forking, holds
from stalwart.database.health import pools
from stalwart.database.holds import Held
from stalwart.policies.marker import note

_HOOK = "get_new_connection"
_filled: weakref.WeakSet[Any] = weakref.WeakSet()  # pools that have given a connection


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool as it is now.

    Attributes:
        name: psycopg_pool's.
        max_waiting: threads that may wait at once, 0 without a limit.
        stats: psycopg_pool's `get_stats()`: `pool_size`, `pool_available`, `requests_waiting`, `requests_errors`, ...
        held_too_long: connections that are checked out for longer than `HELD_TOO_LONG`; empty while that is 0.
    """

    name: str
    max_waiting: int
    stats: dict[str, int]
    held_too_long: tuple[Held, ...]

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict."""
        return asdict(self)


def status(alias: str) -> PoolStatus | None:
    """The pool of a database; None where there is none, or nobody has needed it yet."""
    pool = pools().get(alias)
    if pool is None:
        return None
    config = django_conf.current().database
    limit = config.held_too_long if config.enabled else 0.0
    holds.report(limit)
    too_long = holds.held(alias, limit) if limit else ()
    return PoolStatus(pool.name, pool.max_waiting, pool.get_stats(), too_long)


def prepare(connection: BaseDatabaseWrapper) -> None:
    """Stand between a connection object and its pool, before it connects for the first time."""
    if _HOOK not in vars(connection) and hasattr(type(connection), "pool"):
        vars(connection)[_HOOK] = partial(take, connection)


def attach(connection: BaseDatabaseWrapper) -> None:
    """It has connected."""
    prepare(connection)


def detach(connection: BaseDatabaseWrapper) -> None:
    """Let it be."""
    hook = vars(connection).get(_HOOK)
    if isinstance(hook, partial) and hook.func is take:
        del vars(connection)[_HOOK]


def take(connection: BaseDatabaseWrapper, params: dict[str, Any]) -> Any:
    """Have a connection of the driver, from the pool if there is one."""
    connect = type(connection).get_new_connection
    pool: Any = connection.pool  # type: ignore[attr-defined]
    if pool is None:
        return connect(connection, params)
    config = django_conf.current().database
    limit = config.held_too_long if config.enabled else 0.0
    _bound_queue(connection, pool, config)
    forking.tell(connection.alias)
    if limit:
        holds.report(limit, seldom=True)
    try:
        driver = connect(connection, params)
    except Exception as error:
        if config.enabled:
            _explain(error, connection.alias, pool, limit)
        raise
    _filled.add(pool)
    if limit:
        holds.took(connection, driver)
    return driver


def _bound_queue(connection: BaseDatabaseWrapper, pool: Any, config: DatabaseConfig) -> None:
    options = connection.settings_dict["OPTIONS"]["pool"]
    own = options.get("max_waiting", 0) if isinstance(options, dict) else 0
    wanted = own or (config.pool_waiting if config.enabled else 0)
    if wanted and not own:
        # A request that waits for a connection to be opened keeps nobody out: at the start, and while the pool may grow.
        size = pool.get_stats().get("pool_size", 0) if pool in _filled else 0
        wanted += max(0, pool.max_size - size)
    if pool.max_waiting != wanted:
        pool.max_waiting = wanted


def _explain(error: Exception, alias: str, pool: Any, limit: float) -> None:
    """Say at the error what the pool was doing."""
    if type(error).__name__ not in ("PoolTimeout", "TooManyRequests"):
        return
    if limit:
        holds.report(limit)
    stats = pool.get_stats()
    longest = max(holds.held(alias, 0.0), key=lambda held: held.seconds, default=None)
    taker = (
        "STALWART['DATABASE']['HELD_TOO_LONG'] would show it"
        if longest is None
        else f"the longest by {longest.thread!r} for {longest.seconds:.1f} s, taken at {longest.taken_at[0]}"
    )
    note(
        error,
        f"the pool of database {alias!r} has {stats.get('pool_size')} connections of at most {stats.get('pool_max')}, "
        f"{stats.get('pool_available')} of them idle; {stats.get('requests_waiting')} requests wait, "
        f"{pool.max_waiting or 'any number'} may. Who holds them: {taker}.",
    )
