"""Faults at COMMIT, where it is decided whether a write is done: `lose_commit_reply` and `fail_on_commit_hook`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.testing.cut import lose_reply, shut
from stalwart.testing.edge import Statement
from stalwart.testing.fault import Fault

_IN_TRANSACTION = 2  # libpq's status; in any other, COMMIT is not sent or answered by a rollback


def lose_commit_reply(
    *, committed: bool = True, times: int | None = 1, using: str | None = None, even_on: str | None = None
) -> Fault:
    """The connection is lost during COMMIT, and the driver cannot tell whether it was done.

    Args:
        committed: the server commits, and its reply is lost; False: COMMIT never arrives. To the driver it is the same.
        times, using, even_on: as of `kill_connection_at`. Each COMMIT counts, also of a transaction that only read.

    Raises:
        FaultDidNotBite, ConfigurationError: as `kill_connection_at`.
    """
    return _LoseCommitReply(committed, times, using, even_on)


class _LoseCommitReply(Fault):
    name = "lose_commit_reply"

    def __init__(self, committed: bool, times: int | None, using: str | None, even_on: str | None) -> None:
        super().__init__(using, times, even_on)
        self._committed = committed

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        self._control = self.control(connection, stack)

    def sending(self, statement: Statement, send: Callable[[], Any]) -> Any:
        self.saw(statement)
        return send()

    def committing(self, connection: BaseDatabaseWrapper, commit: Callable[[], None]) -> None:
        driver: Any = connection.connection
        with self._lock:
            if _commits(driver) and self.hungry():
                try:
                    if self._committed:
                        lose_reply(driver, self._control, commit)
                    else:
                        shut(driver)
                        commit()
                finally:
                    self.bites += driver.closed
                return
        commit()

    def hint(self) -> str:
        return "No COMMIT was sent: outside transactions each statement is one of its own, for which kill_connection_at(..., when='after') is meant."


def fail_on_commit_hook(
    *, times: int | None = 1, using: str | None = None, even_on: str | None = None
) -> Fault:
    """The session ends between COMMIT and the `on_commit` hooks: what is written stays written, and a hook fails.

    The first hook that uses this database fails; behind the hooks of the code there is one more, which only asks for an
    answer, so that one fails in any case. Hooks that were registered as `robust` keep their error to themselves.

    Args:
        times, using, even_on: as of `kill_connection_at`.

    Raises:
        FaultDidNotBite, ConfigurationError: as `kill_connection_at`.
    """
    return _FailOnCommitHook(using, times, even_on)


class _FailOnCommitHook(Fault):
    name = "fail_on_commit_hook"

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        self._control = self.control(connection, stack)
        self._ended: list[Any] = []

    def sending(self, statement: Statement, send: Callable[[], Any]) -> Any:
        self.saw(statement)
        try:
            return send()
        except Exception:
            with self._lock:
                if statement.driver in self._ended:
                    self._ended.remove(statement.driver)
                    self.bites += 1
            raise

    def committing(self, connection: BaseDatabaseWrapper, commit: Callable[[], None]) -> None:
        driver: Any = connection.connection
        commits = _commits(driver)
        commit()
        with self._lock:
            if not (commits and self.bites + len(self._ended) < (self._times or float("inf"))):
                return
            self._control.end(driver.info.backend_pid)
            self._ended.append(driver)
        # Not by on_commit(), which wants a transaction that is still going on.
        hooks: list[Any] = connection.run_on_commit
        hooks.append((set(), lambda: _ask(connection), False))

    def hint(self) -> str:
        return "There was no COMMIT, or the hook that failed had been registered as robust."


def _ask(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _commits(driver: Any) -> bool:
    return driver is not None and not driver.closed and driver.pgconn.transaction_status == _IN_TRANSACTION
