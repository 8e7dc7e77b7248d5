"""What all faults share: they stand somewhere while a `with` block runs, they count their bites, and they leave nothing on."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, ClassVar, Self

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database.reconnect import close_quietly
from stalwart.exceptions import ConfigurationError
from stalwart.policies.marker import note
from stalwart.testing import edge, guard
from stalwart.testing.control import Control

_IDLE = 0  # libpq's status: in no transaction
_REMEMBERED = 8  # statements that are named when a fault did not bite


class FaultDidNotBite(AssertionError):
    """The block ended well, and the fault that it was to be tested against never came about: the test has shown nothing."""


class Fault(edge.Listener):
    """A fault, to be entered once, by one `with`.

    Args:
        using: alias of the database, "default" if None.
        times: how often it bites; None: whenever it can.
        even_on: name of a database to be broken although nothing says that it is there for tests.

    Attributes:
        bites: how often it has bitten so far.
    """

    #: What it is called in messages: the function that makes it.
    name: ClassVar[str]

    def __init__(self, using: str | None, times: int | None, even_on: str | None) -> None:
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise ConfigurationError(
                f"{self.name}: times is {times!r}; use a whole number of at least 1, or None"
            )
        self.alias = using or DEFAULT_DB_ALIAS
        self.bites = 0
        self.entered = False
        self._times = times
        self._even_on = even_on
        self._lock = threading.RLock()
        self._stack = ExitStack()
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._sent = 0
        self._troubles: list[Exception] = []

    def __enter__(self) -> Self:
        if self.entered:
            raise ConfigurationError(f"{self.name}: this one was entered before; make a new one")
        self.entered = True
        connection = connections[self.alias]
        self.check(connection)
        with ExitStack() as stack:  # what was begun is undone when the rest cannot be
            stack.callback(self._leave_usable, connection)
            self.begin(connection, stack)
            edge.install(connection, self)
            stack.callback(edge.remove, connection, self)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heal()
        if self._troubles and (error is None or isinstance(error, Exception)):
            raise self._troubles[0]
        missing = self._missing()
        if missing is None:
            return
        if error is None:
            raise FaultDidNotBite(missing)
        note(error, missing)

    def heal(self) -> None:
        """End the fault before its block ends; a second time does nothing."""
        self._stack.close()

    # -- for the faults themselves -----------------------------------------------------------------------------------

    def check(self, connection: BaseDatabaseWrapper) -> None:
        """Refuse what cannot work. Raises ConfigurationError."""
        guard.check(connection, self.name, self._even_on)
        guard.require_postgresql(connection, self.name)

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        """Open what is needed; `stack` closes it."""

    def control(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> Control:
        """A session of our own, closed by `stack`."""
        control = Control(connection)
        stack.callback(control.close)
        return control

    def hungry(self) -> bool:
        """Whether it is to bite (once more)."""
        return self._times is None or self.bites < self._times

    def bitten(self) -> None:
        """Count a bite."""
        with self._lock:
            self.bites += 1

    def saw(self, statement: edge.Statement) -> None:
        """Remember what the code has sent, for the message when the fault does not bite."""
        if statement.counted:
            sql = statement.sql
            with self._lock:
                self._sent += 1
                self._seen.append(sql if len(sql) <= 100 else sql[:97] + "...")

    def failed(self, error: Exception) -> None:
        """Something of the fault's own went wrong where nobody can be told; the end of the block raises it."""
        self._troubles.append(error)

    def hint(self) -> str:
        """What may be the reason when it did not bite; a whole sentence or nothing."""
        return ""

    def _missing(self) -> str | None:
        wanted = 1 if self._times is None else self._times
        if self.bites >= wanted:
            return None
        parts = [f"{self.name} has bitten {self.bites} of {wanted} times, so this test shows nothing."]
        if self._sent:
            last = "; ".join(self._seen)
            parts.append(f"Statements that were sent meanwhile: {self._sent}; the last ones: {last}.")
        parts.append(self.hint())
        return " ".join(filter(None, parts))

    def _leave_usable(self, connection: BaseDatabaseWrapper) -> None:
        """Close what the fault has broken, so that the test can look at the database with it."""
        driver: Any = connection.connection
        if driver is not None and not connection.in_atomic_block and self._is_broken(driver):
            close_quietly(connection)

    def _is_broken(self, driver: Any) -> bool:
        if getattr(driver, "pgconn", None) is None:
            return False
        if driver.closed:
            return True
        if not driver.autocommit or driver.pgconn.transaction_status != _IDLE:
            return False  # somebody's own transaction
        # What the server said last, and the end of the stream, may not have been read yet.
        with suppress(Exception):
            driver.execute("SELECT 1")
            return False
        return True
