"""Another transaction is in the way: `deadlock_with`, `serialization_failure_on`, `lock_timeout_on`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.exceptions import ConfigurationError
from stalwart.testing import guard
from stalwart.testing.edge import Statement
from stalwart.testing.fault import Fault
from stalwart.testing.opponent import Opponent
from stalwart.testing.rows import Rows, Sql, changing, locking
from stalwart.testing.sessions import SessionSetting

_DEADLOCK, _SERIALIZATION, _NO_LOCK = "40P01", "40001", "55P03"


def deadlock_with(
    first: Rows, then: Rows, *, times: int | None = 1, using: str | None = None, even_on: str | None = None
) -> Fault:
    """The code locks `first` and then `then`; another transaction has locked `then`, and wants `first`.

    The server ends the code's transaction with SQLSTATE 40P01, after its deadlock_timeout (1 s, if nobody changed it).

    Args:
        first, then: a queryset (its rows as they are at the beginning of the block), an instance of a model, or a statement
            that takes the lock, such as "LOCK TABLE shop_order". Instances and querysets stand for rows of the model's own table.
        times, using, even_on: as of `kill_connection_at`.

    Raises:
        FaultDidNotBite: (at the end of the block) the code never waited for `then` while it had `first`.
        ConfigurationError: as `kill_connection_at`; also when there are no such rows.
    """
    return _DeadlockWith(first, then, times, using, even_on)


def serialization_failure_on(
    rows: Rows, *, times: int | None = 1, using: str | None = None, even_on: str | None = None
) -> Fault:
    """While the code's transaction wants to change or lock `rows`, another one commits new versions of them.

    The values stay what they are. The server ends the code's transaction with SQLSTATE 40001, if it is REPEATABLE READ or
    SERIALIZABLE; a READ COMMITTED one goes on with the new versions, and the fault does not bite.

    Args:
        rows: as of `deadlock_with`; as SQL, a statement that writes.
        times, using, even_on: as of `kill_connection_at`.

    Raises:
        FaultDidNotBite, ConfigurationError: as `deadlock_with`.
    """
    return _SerializationFailureOn(rows, times, using, even_on)


def lock_timeout_on(
    rows: Rows,
    *,
    timeout: float | None = 0.1,
    times: int | None = 1,
    using: str | None = None,
    even_on: str | None = None,
) -> Fault:
    """Another transaction keeps `rows` locked until the code has failed to get them.

    PostgreSQL answers with SQLSTATE 55P03. On SQLite the other transaction has the write lock of the whole database, and
    the error is "database is locked".

    Args:
        rows: as of `deadlock_with`; of no account on SQLite.
        timeout: seconds that the session of the current thread, and those that are opened meanwhile, wait for a lock
            (lock_timeout, busy_timeout); None leaves it as it is: then the code has to set one itself, or ask with NOWAIT.
        times, using, even_on: as of `kill_connection_at`. After the last one the rows are free.

    Raises:
        FaultDidNotBite, ConfigurationError: as `deadlock_with`; also inside a transaction, unless `timeout` is None.
    """
    return _LockTimeoutOn(rows, timeout, times, using, even_on)


class _Opposed(Fault):
    """An opponent takes a lock and, when it is waited for, does something upon which the server fails the waiting code."""

    code: str

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        self._first = self.prepare(connection)
        self._opponent = Opponent(connection, self.failed)
        stack.callback(self._opponent.close)
        self._armed = False
        self._arm()

    def prepare(self, connection: BaseDatabaseWrapper) -> Sql:
        """The statement that takes the lock."""
        raise NotImplementedError

    def act(self) -> None:
        """The code waits."""
        raise NotImplementedError

    def _arm(self) -> None:
        self._opponent.take(self._first)
        self._armed = True
        self._opponent.when_waited_for(self.act)

    def sending(self, statement: Statement, send: Callable[[], Any]) -> Any:
        self.saw(statement)
        with self._lock:
            # The transaction that has failed is over by now, so the opponent cannot come to wait for this very thread.
            if not self._armed and self.hungry() and statement.driver.pgconn.transaction_status != 3:
                self._opponent.rest()
                self._arm()
        try:
            return send()
        except Exception as error:
            if getattr(error, "sqlstate", None) == self.code:
                with self._lock:
                    self.bites += 1
                    self._armed = False
            raise


class _DeadlockWith(_Opposed):
    name = "deadlock_with"
    code = _DEADLOCK

    def __init__(
        self, first: Rows, then: Rows, times: int | None, using: str | None, even_on: str | None
    ) -> None:
        super().__init__(using, times, even_on)
        self._rows = first, then
        self._was_ended_itself = False

    def prepare(self, connection: BaseDatabaseWrapper) -> Sql:
        first, then = self._rows
        self._wanted = locking(first, connection, self.name)
        return locking(then, connection, self.name)

    def act(self) -> None:
        # The code has waited for longer, so its session is the first to look for a deadlock, and is ended.
        try:
            self._opponent.take(self._wanted)
        except Exception as error:
            if getattr(error, "sqlstate", None) != self.code:
                raise
            self._was_ended_itself = True  # it came too late
        finally:
            self._opponent.let_go()

    def hint(self) -> str:
        if self._was_ended_itself:
            return (
                "The server ended the other transaction instead: it looks for deadlocks so soon that the circle was not closed "
                "when the code's session looked. Set the test server's deadlock_timeout to its default of 1 s."
            )
        return "Did the code lock `first`, keep it, and then ask for `then`, in one transaction?"


class _SerializationFailureOn(_Opposed):
    name = "serialization_failure_on"
    code = _SERIALIZATION

    def __init__(self, rows: Rows, times: int | None, using: str | None, even_on: str | None) -> None:
        super().__init__(using, times, even_on)
        self._rows = rows

    def prepare(self, connection: BaseDatabaseWrapper) -> Sql:
        return changing(self._rows, connection, self.name)

    def act(self) -> None:
        self._opponent.commit()

    def hint(self) -> str:
        return (
            "Did the code change or lock these rows, in a transaction that is REPEATABLE READ or SERIALIZABLE? In a READ "
            "COMMITTED one this failure does not exist."
        )


class _LockTimeoutOn(Fault):
    name = "lock_timeout_on"

    def __init__(
        self, rows: Rows, timeout: float | None, times: int | None, using: str | None, even_on: str | None
    ) -> None:
        super().__init__(using, times, even_on)
        if timeout is not None and not (isinstance(timeout, (int, float)) and 0.001 <= timeout < 1000):
            raise ConfigurationError(f"{self.name}: timeout is {timeout!r}; use seconds from 0.001, or None")
        self._rows = rows
        self._milliseconds = None if timeout is None else int(timeout * 1000)
        self._put: Callable[[Any], None] | None = None

    def check(self, connection: BaseDatabaseWrapper) -> None:
        guard.check(connection, self.name, self._even_on)
        if connection.vendor != "sqlite":
            guard.require_postgresql(connection, self.name)
        if self._milliseconds is not None:
            guard.require_no_transaction(connection, self.name)

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        connection.ensure_connection()
        if connection.vendor == "sqlite":
            self._let_go = self._lock_file(connection, stack)
        else:
            self._let_go = self._lock_rows(connection, stack)
        if self._put is not None:
            self._put(connection.connection)

    def _lock_rows(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> Callable[[], None]:
        if self._milliseconds is not None:
            setting = SessionSetting("lock_timeout", f"{self._milliseconds}ms")
            stack.callback(setting.put_back, self.control(connection, stack))
            self._put = setting.put
        sql = locking(self._rows, connection, self.name)
        opponent = Opponent(connection, self.failed)
        stack.callback(opponent.close)
        opponent.take(sql)
        return opponent.let_go

    def _lock_file(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> Callable[[], None]:
        if self._milliseconds is not None:
            setting = _BusyTimeout(self._milliseconds)
            stack.callback(setting.put_back)
            self._put = setting.put
        settings: Any = connection
        name = settings.get_connection_params()["database"]
        other = sqlite3.connect(name, uri=True, isolation_level=None, timeout=1, check_same_thread=False)
        stack.callback(other.close)
        other.execute("BEGIN IMMEDIATE")

        def let_go() -> None:
            if other.in_transaction:
                other.execute("ROLLBACK")

        return let_go

    def connected(self, driver: Any) -> None:
        if self._put is not None:
            with self._lock:
                self._put(driver)

    def sending(self, statement: Statement, send: Callable[[], Any]) -> Any:
        self.saw(statement)
        try:
            return send()
        except Exception as error:
            if _is_for_want_of_a_lock(error):
                with self._lock:
                    if self.hungry():
                        self.bites += 1
                        if not self.hungry():
                            self._let_go()  # before anybody hears of the error, so that the next attempt succeeds
            raise

    def hint(self) -> str:
        return "Did the code want to write or lock these rows?"


class _BusyTimeout:
    """SQLite's own wait for a lock, in some connections, set and set back."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self._changed: list[tuple[sqlite3.Connection, int]] = []

    def put(self, driver: sqlite3.Connection) -> None:
        before = driver.execute("PRAGMA busy_timeout").fetchone()[0]
        driver.execute(f"PRAGMA busy_timeout = {self._milliseconds}")
        self._changed.append((driver, int(before)))

    def put_back(self) -> None:
        for driver, before in self._changed:
            with suppress(
                sqlite3.ProgrammingError
            ):  # closed, or of another thread, whose connection ends with it
                driver.execute(f"PRAGMA busy_timeout = {before}")


def _is_for_want_of_a_lock(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(error, "sqlstate", None) == _NO_LOCK
