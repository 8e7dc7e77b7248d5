"""`demote`: the server has become a standby."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.exceptions import ConfigurationError
from stalwart.testing import guard
from stalwart.testing.edge import Statement
from stalwart.testing.fault import Fault
from stalwart.testing.sessions import SessionSetting

_READ_ONLY = "25006"


def demote(*, connects: int | None = 0, using: str | None = None, even_on: str | None = None) -> Fault:
    """The primary is demoted: the session of the current thread only reads from now on, and new ones find the new primary.

    The server answers every write of such a session with SQLSTATE 25006, while `SELECT 1` goes on succeeding.

    Args:
        connects: so many new connections still find the demoted server; None: all, there is no new primary.
        using, even_on: as of `kill_connection_at`.

    Raises:
        FaultDidNotBite: (at the end of the block) nobody tried to write in such a session.
        ConfigurationError: as `kill_connection_at`; also inside a transaction.
    """
    return _Demote(connects, using, even_on)


class _Demote(Fault):
    name = "demote"

    def __init__(self, connects: int | None, using: str | None, even_on: str | None) -> None:
        super().__init__(using, None, even_on)
        if connects is not None and (
            isinstance(connects, bool) or not isinstance(connects, int) or connects < 0
        ):
            raise ConfigurationError(
                f"{self.name}: connects is {connects!r}; use a whole number of at least 0, or None"
            )
        self._left = float("inf") if connects is None else connects
        self._setting = SessionSetting("default_transaction_read_only", "on")

    def check(self, connection: BaseDatabaseWrapper) -> None:
        super().check(connection)
        guard.require_no_transaction(connection, self.name)

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        stack.callback(self._setting.put_back, self.control(connection, stack))
        connection.ensure_connection()
        self._setting.put(connection.connection)

    def connected(self, driver: Any) -> None:
        with self._lock:
            if self._left > 0:
                self._left -= 1
                self._setting.put(driver)

    def sending(self, statement: Statement, send: Callable[[], Any]) -> Any:
        self.saw(statement)
        try:
            return send()
        except Exception as error:
            if getattr(error, "sqlstate", None) == _READ_ONLY:
                self.bitten()
            raise
