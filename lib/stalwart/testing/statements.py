"""`kill_connection_at`: the session ends at a statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database.block import Block
from stalwart.exceptions import ConfigurationError
from stalwart.testing.cut import lose_reply
from stalwart.testing.edge import Statement
from stalwart.testing.fault import Fault

Which: TypeAlias = int | str | re.Pattern[str] | Callable[[str], object]


def kill_connection_at(
    statement: Which,
    *,
    when: str = "before",
    times: int | None = 1,
    using: str | None = None,
    even_on: str | None = None,
) -> Fault:
    """The session is lost at a statement, in whatever thread it is sent.

    Args:
        statement: its number from 1, counted as `assertNumQueries` does from the beginning of the `with` block (BEGIN and COMMIT
            are none, savepoints are); or a part of its SQL text; or a compiled regular expression that is found in it; or
            a function that is given the text, without parameters, and returns whether it is meant.
        when: "before": the server ends the session just before the statement is sent, so it is not done. "after": the server
            executes it, and its reply is lost with the connection; outside transactions, a write is done then.
        times: the first so many times that it is sent, repeats and replays by Stalwart included; None: each time. A number
            goes on to mean the text that it meant at first; a replayed INSERT has another one, which holds its keys.
        using: alias of the database, "default" if None.
        even_on: name of a database to be broken although nothing says that it is there for tests.

    Raises:
        FaultDidNotBite: (at the end of the block) that statement was never sent, or not so often.
        ConfigurationError: an argument makes no sense, or (at the beginning of the block) it is no test database, or the
            test runs inside a transaction of its own.
    """
    return _KillConnectionAt(statement, when, times, using, even_on)


class _KillConnectionAt(Fault):
    name = "kill_connection_at"

    def __init__(
        self, which: Which, when: str, times: int | None, using: str | None, even_on: str | None
    ) -> None:
        super().__init__(using, times, even_on)
        if when not in ("before", "after"):
            raise ConfigurationError(f"{self.name}: when is {when!r}; use 'before' or 'after'")
        self._number, self._matches = self._read(which)
        self._after = when == "after"
        self._counted = 0
        self._target: str | None = None  # the text of the statement that the number has turned out to mean

    def _read(self, which: Which) -> tuple[int | None, Callable[[str], object] | None]:
        if isinstance(which, int) and not isinstance(which, bool) and which >= 1:
            return which, None
        if isinstance(which, str) and which:
            return None, lambda sql: which in sql
        if isinstance(which, re.Pattern):
            return None, which.search
        if callable(which):
            return None, which
        raise ConfigurationError(
            f"{self.name}: statement is {which!r}; use a number from 1, a part of the SQL, a compiled regular expression, "
            "or a function"
        )

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        self._control = self.control(connection, stack)

    def sending(self, statement: Statement, send: Callable[[], Any]) -> Any:
        self.saw(statement)
        # Held while the session ends: two threads must not bite for one, and our session serves one at a time.
        with self._lock:
            if self._is_meant(statement) and self.hungry():
                if self._after:
                    return self._lose_reply(statement, send)
                if self._control.end(statement.driver.info.backend_pid):
                    self.bites += 1
        return send()

    def _lose_reply(self, statement: Statement, send: Callable[[], Any]) -> Any:
        if statement.many:
            trouble = ConfigurationError(
                f"{self.name}: when='after' works on single statements, and this came by executemany: {statement.sql}"
            )
            self.failed(trouble)
            raise trouble
        try:
            return lose_reply(statement.driver, self._control, send)
        finally:
            self.bites += statement.driver.closed

    def _is_meant(self, statement: Statement) -> bool:
        if self._matches is not None:
            return bool(self._matches(statement.sql))
        if statement.counted:
            self._counted += 1
            if self._counted == self._number:
                # A block of Stalwart's has the transaction's id come along with one statement, and a replay perhaps not.
                self._target = statement.sql.removeprefix(Block.RIDE).removesuffix(Block.COLUMN)
        return self._target is not None and self._target in statement.sql

    def hint(self) -> str:
        if self._number is not None and self._counted < self._number:
            return f"There was no statement number {self._number}; {self._counted} were counted."
        return ""
