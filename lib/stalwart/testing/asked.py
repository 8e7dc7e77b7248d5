"""The statements that a test's code sends, on every alias and from every thread."""

from __future__ import annotations

import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from types import TracebackType
from typing import Any, Self

from django.db import connections

from stalwart.database.fingerprint import fingerprint
from stalwart.database.orm_caller import is_connecting
from stalwart.database.watch import reads_only
from stalwart.exceptions import ConfigurationError
from stalwart.testing import edge
from stalwart.testing.place import Place, place_of

_BOUNDS = re.compile(
    r"\s*(?:BEGIN|START TRANSACTION|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET TRANSACTION)\b", re.IGNORECASE
)
_READS = re.compile(r"[\s(]*(?:SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)
_LIMIT = re.compile(r"\bLIMIT (\d+)")
_AFTER = re.compile(r"\bOFFSET \d+|[<>]=? (?:%s|\?|\(%s\))")
_FETCHES = ("fetchone", "fetchmany", "fetchall")


@dataclass(slots=True)
class Asked:
    """One statement.

    Attributes:
        sql: without values.
        alias: of the database.
        thread: name of the thread.
        place: where it comes from.
        values: the same for the same values; they themselves are not kept.
        reads: it returns rows and surely changes none.
        piece: rows that it may return, where it goes on after others: by OFFSET, or after a last value; else 0.
        rows: that it returned or changed; -1 while nobody knows.
    """

    sql: str
    fingerprint: str
    alias: str
    thread: str
    place: Place
    values: bytes
    reads: bool
    piece: int = 0
    rows: int = -1


class Recording:
    """Takes down what is sent meanwhile; a context manager.

    What begins and ends transactions and savepoints is not in it, nor what opens a connection, nor what Stalwart itself asks:
    these depend on how a test is run, and not on its code.

    Args:
        using: the aliases to listen to; all of them by default.
    """

    def __init__(self, using: str | Iterable[str] | None = None) -> None:
        known = set(connections)
        self._aliases = known if using is None else {using} if isinstance(using, str) else set(using)
        if unknown := self._aliases - known:
            raise ConfigurationError(
                f"there is no database {min(unknown)!r}; settings.DATABASES has {', '.join(sorted(known))}"
            )
        self.statements: list[Asked] = []
        self._lock = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for alias in self._aliases:
                connection, listener = connections[alias], _OfAlias(alias, self._sending)
                edge.install(connection, listener)
                stack.callback(edge.remove, connection, listener)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _sending(self, alias: str, statement: edge.Statement, send: Callable[[], Any]) -> Any:
        if not statement.counted or _BOUNDS.match(statement.sql) or is_connecting():
            return send()
        made = fingerprint(statement.sql)
        asked = Asked(
            made.text,
            made.hash,
            alias,
            threading.current_thread().name,
            place_of(sys._getframe(1)),
            _digest(statement),
            _READS.match(statement.sql) is not None and reads_only(statement.sql),
            _piece(statement.sql),
        )
        with self._lock:
            self.statements.append(asked)
        result = send()
        rows = getattr(statement.cursor, "rowcount", -1)
        if isinstance(rows, int) and rows >= 0:
            asked.rows = rows
        elif asked.reads:
            _count_fetched(statement.cursor, asked)
        return result


class _OfAlias(edge.Listener):
    """What stands at one alias; the edge knows its listeners by theirs."""

    def __init__(self, alias: str, tell: Callable[[str, edge.Statement, Callable[[], Any]], Any]) -> None:
        self.alias = alias
        self._tell = tell

    def sending(self, statement: edge.Statement, send: Callable[[], Any]) -> Any:
        return self._tell(self.alias, statement, send)


def _piece(sql: str) -> int:
    limit = _LIMIT.search(sql)
    return int(limit[1]) if limit is not None and _AFTER.search(sql) is not None else 0


def _digest(statement: edge.Statement) -> bytes:
    """Of the text as it was sent, too: literals are no parameters."""
    try:
        told = repr((statement.sql, statement.params)).encode("utf-8", "surrogatepass")
    except Exception:  # noqa: BLE001 somebody's __repr__: such values are like no others
        told = repr(id(statement)).encode()
    return blake2b(told, digest_size=16).digest()


def _count_fetched(cursor: Any, asked: Asked) -> None:
    """Drivers that tell no number (SQLite's, server-side cursors): the rows are counted as they are fetched."""
    made, kind = weakref.ref(cursor), type(cursor)  # weak, as the edge's own

    def counting(name: str) -> Callable[..., Any]:
        def fetch(*args: Any, **kwargs: Any) -> Any:
            found = getattr(kind, name)(made(), *args, **kwargs)
            number = len(found) if name != "fetchone" else found is not None
            asked.rows = max(asked.rows, 0) + number
            return found

        return fetch

    for name in _FETCHES:
        setattr(cursor, name, counting(name))
