"""`get_database_status`: what is known of a database, for a health page, an alert or a notebook."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from stalwart import django_conf
from stalwart.database import pool
from stalwart.database.health import Failures, Health
from stalwart.database.pool import PoolStatus
from stalwart.database.probe import Reading, probe
from stalwart.database.queries import SlowQueryRecord, slow_queries
from stalwart.policies.breaker import CircuitBreaker, CircuitStatus

_MAX_AGE = 5.0


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """A database as this process sees it. Holds no text of an error, no address and no password.

    Attributes:
        alias: its name in `settings.DATABASES`.
        vendor: "postgresql", "sqlite", ...
        state: word of `stalwart.database.probe.State`: "ok", "read-only", "full", "refused", "unreachable", "unknown".
        role: word of `stalwart.database.probe.Role`: "primary", "standby", "read-only", "unknown".
        probe: the latest probe, with its latencies; `state` and `role` are its.
        failures: errors that pass by themselves, as the threads of this process met them.
        breaker: the circuit of the same name as the alias; without one, that over the waits for a connection
            ("database:default"), None before the first.
        pool: Django's connection pool, None without one or before it was first used.
        replayed: transactions that were replayed after a failure.
        commits_resolved: COMMITs whose lost reply was made up for.
        outcomes_unknown: times that it could not be, `CommitOutcomeUnknown`.
        restored: lost connections that were replaced.
        invalidated: times that all open connections were given up because the server's role had changed.
        slow_queries: as `stalwart.database.queries` has them.
    """

    alias: str
    vendor: str
    state: str
    role: str
    probe: Reading
    failures: Failures
    breaker: CircuitStatus | None
    pool: PoolStatus | None
    replayed: int
    commits_resolved: int
    outcomes_unknown: int
    restored: int
    invalidated: int
    slow_queries: tuple[SlowQueryRecord, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values that `json` can write."""
        found: dict[str, Any] = asdict(self)
        if self.breaker is not None and not math.isfinite(self.breaker.retry_after):
            found["breaker"]["retry_after"] = None  # forced open; JSON knows no infinity
        return found


def get_database_status(using: str | None = None, *, max_age: float = _MAX_AGE) -> DatabaseStatus:
    """What is known of a database.

    The server is asked over a connection of its own, at most once in `max_age` seconds per process, unless an error was
    seen since; an open transaction of the caller is not touched, and no connection of the pool is taken. Blocks for three
    seconds at most: in asynchronous code call it with `sync_to_async(get_database_status, thread_sensitive=False)`.

    A role that differs from the one found before makes all connections obsolete that are open by then. With
    `STALWART["DATABASE"]["ENABLED"]` off, nothing is asked: the state is "unknown". Errors and the library's work are
    counted while `"stalwart"` is in INSTALLED_APPS, per process.

    Args:
        using: alias of the database, "default" if None.
        max_age: seconds; 0 asks the server in any case.

    Raises:
        django.db.utils.ConnectionDoesNotExist: there is no such database in the settings.
    """
    connection = connections[using or DEFAULT_DB_ALIAS]
    alias, enabled = connection.alias, django_conf.current().database.enabled
    reading = probe(alias).read(max_age) if enabled else Reading()
    health = Health.of(alias)
    circuits = CircuitBreaker.shared.all()
    circuit = circuits.get(alias) or circuits.get(f"database:{alias}")
    happened = health.happened
    return DatabaseStatus(
        alias=alias,
        vendor=connection.vendor,
        state=reading.state,
        role=reading.role,
        probe=reading,
        failures=health.failures(),
        breaker=None if circuit is None else circuit.status(),
        pool=pool.status(alias),
        replayed=happened["TransactionReplayed"],
        commits_resolved=happened["CommitResolved"],
        outcomes_unknown=happened["OutcomeUnknown"],
        restored=happened["ConnectionRestored"],
        invalidated=happened["ConnectionsInvalidated"],
        slow_queries=tuple(slow_queries(alias)),
    )
