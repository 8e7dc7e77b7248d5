"""Asking a database whether it answers, and in which role.

The probe opens a connection of its own, beside any pool: it sees whether the server has one to give, takes none from the
application, and cannot disturb a transaction. It runs in a thread of its own, one at a time per database, because resolving
a host's name knows no time-out; who asks waits for it so long and no longer.
"""

from __future__ import annotations

import selectors
import threading
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database.classification import classify
from stalwart.database.codes import ErrorClass
from stalwart.database.health import Health
from stalwart.policies.deadline import Deadline

WITHIN = 3.0
_CONNECT_TIMEOUT = 2  # libpq's smallest; whole seconds

# SELECT 1 succeeds on a demoted primary. Ten per cent dearer, and it tells.
_ROLE = b"SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool"


class State(StrEnum):
    """What can be expected of a database.

    OK: it answers, and takes writes as far as that can be asked (PostgreSQL).
    READ_ONLY: it answers, and refuses writes: a standby, a demoted primary, or set so.
    FULL: the server is there, and has no connection to give.
    REFUSED: the server is there, and does not let us in: password, database, role.
    UNREACHABLE: no connection, or no answer in time.
    UNKNOWN: it was not asked (the part is switched off), or the asking itself failed.
    """

    OK = "ok"
    READ_ONLY = "read-only"
    FULL = "full"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class Role(StrEnum):
    """The role of a PostgreSQL server; READ_ONLY is a primary whose sessions are read only by its settings."""

    PRIMARY = "primary"
    STANDBY = "standby"
    READ_ONLY = "read-only"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one probe.

    Attributes:
        state: word of `State`.
        role: word of `Role`.
        connect_seconds: that opening the connection took; None without one.
        reply_seconds: from sending the query until its reply; None without one.
        error, code: of the failure: the exception's name, SQLSTATE or the like. Never its text.
        at: when, seconds since the epoch.
    """

    state: str = State.UNKNOWN.value
    role: str = Role.UNKNOWN.value
    connect_seconds: float | None = None
    reply_seconds: float | None = None
    error: str | None = None
    code: str | None = None
    at: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict."""
        return asdict(self)


class Probe:
    """The probes of one database.

    Args:
        alias: its name.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._lock = threading.RLock()
        self._running: threading.Thread | None = None
        self._deadline = Deadline.after(0)  # of the one that is running
        self._latest: Reading | None = None
        self._began = float("-inf")  # the latest one; what was seen to fail after that makes it worthless
        self._role = Role.UNKNOWN.value

    def read(self, max_age: float, within: float = WITHIN) -> Reading:
        """The latest reading if it is young enough, else a new one.

        Args:
            max_age: seconds.
            within: seconds that a new probe gets; one that hangs for longer is not waited for again.

        Raises:
            django.db.utils.ConnectionDoesNotExist: there is no such database in the settings.
        """
        with self._lock:
            young = time.monotonic() - self._began < max_age
            if young and self._latest is not None and not Health.of(self._alias).failed_since(self._began):
                return self._latest
            thread = self._running
            if thread is None:
                connection = _without_pool(connections[self._alias])
                thread = threading.Thread(
                    target=self._run, args=(connection,), name=f"stalwart-probe-{self._alias}", daemon=True
                )
                thread.start()
                self._running, self._deadline = thread, Deadline.after(within)
        thread.join(self._deadline.remaining())
        with self._lock:
            if self._running is thread or self._latest is None:
                return Reading(State.UNREACHABLE.value, error="TimeoutError", at=time.time())
            return self._latest

    def _run(self, connection: BaseDatabaseWrapper) -> None:
        began = time.monotonic()
        reading = _ask(connection)
        with self._lock:
            self._latest, self._began, self._running = reading, began, None
            before = self._role
            if reading.role != Role.UNKNOWN.value:
                self._role = reading.role
        if before != Role.UNKNOWN.value and before != self._role:
            # In either direction: sessions that were begun while it was read only may stay so.
            Health.of(self._alias).invalidate(f"the server was {before} and is {self._role}")


_probes: dict[str, Probe] = {}


def probe(alias: str) -> Probe:
    """The one of that database."""
    return _probes.setdefault(alias, Probe(alias))


def renew() -> None:
    """Forget what was read: the settings have changed, or this is a forked child."""
    _probes.clear()


def _without_pool(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    # A second connection object for the same database, as `connection.copy()` makes it. It is not in `connections`, and
    # opened below `connect()`, so nobody is told of it by the signal.
    options = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "pool"}
    if connection.vendor in ("postgresql", "mysql"):
        options["connect_timeout"] = _CONNECT_TIMEOUT
    return type(connection)({**connection.settings_dict, "OPTIONS": options}, connection.alias)


def _ask(connection: BaseDatabaseWrapper) -> Reading:
    at, began = time.time(), time.perf_counter()
    connected = replied = None
    try:
        driver = connection.get_new_connection(connection.get_connection_params())
        try:
            connected = time.perf_counter() - began
            began = time.perf_counter()
            state, role = _role_of(connection, driver)
            replied = time.perf_counter() - began
        finally:
            driver.close()
    except Exception as error:  # noqa: BLE001  whatever it is, it is the result
        known = classify(error)
        error_class, code = (None, None) if known is None else (known.error_class, known.code)
        state = _state_after(error, error_class)
        return Reading(state.value, Role.UNKNOWN.value, connected, None, type(error).__name__, code, at)
    return Reading(state.value, role.value, connected, replied, None, None, at)


def _role_of(connection: BaseDatabaseWrapper, driver: Any) -> tuple[State, Role]:
    if hasattr(driver, "pgconn"):
        row = _reply(driver.pgconn, Deadline.after(WITHIN - _CONNECT_TIMEOUT))
        if row == (b"f", b"f"):
            return State.OK, Role.PRIMARY
        return State.READ_ONLY, Role.STANDBY if row[0] == b"t" else Role.READ_ONLY
    connection.connection = driver
    return State.OK if connection.is_usable() else State.UNREACHABLE, Role.UNKNOWN


def _reply(pgconn: Any, deadline: Deadline) -> tuple[bytes, bytes]:
    """The row of the query. The driver itself would wait for ever on a network that is silent."""
    from psycopg import OperationalError
    from psycopg.pq import ExecStatus

    pgconn.send_query(_ROLE)
    with selectors.DefaultSelector() as ready:
        ready.register(pgconn.socket, selectors.EVENT_READ)
        while pgconn.is_busy():
            if not ready.select(deadline.remaining()):
                raise TimeoutError
            pgconn.consume_input()
    result = pgconn.get_result()
    if result is None or result.status != ExecStatus.TUPLES_OK:
        raise OperationalError("the connection is lost")
    return result.get_value(0, 0), result.get_value(0, 1)


def _state_after(error: Exception, error_class: ErrorClass | None) -> State:
    if isinstance(error, TimeoutError) or error_class is ErrorClass.CONNECTION:
        return State.UNREACHABLE
    if error_class is ErrorClass.CAPACITY:
        return State.FULL
    return State.UNKNOWN if error_class is None else State.REFUSED
