"""The cursor that a resilient transaction hands out: Django's own, which tells its block what it does.

It overrides the methods that lie below all execute wrappers, so query counters and the debug log see one statement where
the database saw two, as they should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.db.backends.utils import CursorWrapper
from django.db.utils import Error

from stalwart.database.statements import describe

if TYPE_CHECKING:
    from stalwart.database.block import Block
    from stalwart.database.recording import Statement

# What hands data or results past the methods below.
_BYPASSES = {
    "copy": "COPY, whose data passes outside the statement",
    "copy_expert": "COPY, whose data passes outside the statement",
    "copy_from": "COPY, whose data passes outside the statement",
    "copy_to": "COPY, whose data passes outside the statement",
    "stream": "stream(), whose rows pass outside the cursor",
    "scroll": "scroll()",
    "nextset": "several results of one statement",
    "results": "several results of one statement",
    "executescript": "executescript(), which commits",
}


class RecordingCursor(CursorWrapper):
    """See above; `recording_class` mixes it with the class that Django would have used.

    Attributes:
        block: whom it tells.
        statement: what it ran last, if that is in the log.
        gone: it is closed.
        carries: its rows have one column more than the body asked for.
    """

    block: Block
    statement: Statement | None = None
    gone = False
    carries = False

    def _execute(self, sql: Any, params: Any, *ignored_wrapper_args: Any) -> Any:
        return self._recorded(sql, params, many=False)

    def _executemany(self, sql: Any, param_list: Any, *ignored_wrapper_args: Any) -> Any:
        # It may be an iterator, and a replay needs it again.
        return self._recorded(sql, list(param_list), many=True)

    def _recorded(self, sql: Any, params: Any, *, many: bool) -> Any:
        block = self.block
        if not block.running:
            block.refuse_when_over()
            return self._really(sql, params, many=many)
        kind = describe(sql if isinstance(sql, str) else block.text(sql))
        block.announce(kind)
        statement = block.log.statement(self, sql, params, many=many, keep=kind.inserts and not many)
        self.statement = None
        while True:
            self.carries = False
            try:
                if not many and kind.locks and block.rides(self.cursor, sql):
                    if kind.returns:
                        self._really(sql + block.COLUMN, params)
                        self.carries = True
                        block.arrived_beside_keys(self.cursor)
                    else:
                        self._really(block.RIDE + sql, params)
                        block.arrived(self.cursor)
                else:
                    self._really(sql, params, many=many)
                break
            except Error as error:
                if not block.recovered(error, statement, self):
                    raise
        if statement is not None:
            self.statement = statement
            if kind.counts:
                statement.rowcount = self.cursor.rowcount
            block.log.add(statement)
        # psycopg returns its own cursor, whose rows we would not see.
        return self

    def _really(self, sql: Any, params: Any, *, many: bool = False) -> Any:
        parent: Any = super()
        return parent._executemany(sql, params) if many else parent._execute(sql, params)

    def callproc(self, procname: Any, params: Any = None, kparams: Any = None) -> Any:
        """Not replayed: it does not pass through `execute`."""
        self.block.bypassed("callproc()")
        return super().callproc(procname, params, kparams)

    def fetchone(self) -> Any:
        """As the driver's; None at the end."""
        row = self._fetch(lambda: self.cursor.fetchone())
        if self.carries and row is not None:
            row = row[:-1]
        self._saw([] if row is None else [row], end=row is None)
        return row

    def fetchmany(self, *size: int, **named: int) -> Any:
        """As the driver's."""
        rows = self._fetch(lambda: self.cursor.fetchmany(*size, **named))
        if self.carries:
            rows = [row[:-1] for row in rows]
        asked = size[0] if size else named.get("size", self.cursor.arraysize)
        self._saw(rows, end=len(rows) < asked)
        return rows

    def fetchall(self) -> Any:
        """As the driver's."""
        rows = self._fetch(lambda: self.cursor.fetchall())
        if self.carries:
            rows = [row[:-1] for row in rows]
        self._saw(rows, end=True)
        return rows

    def __iter__(self) -> Iterator[Any]:
        if not (self.block.running or self.carries):
            yield from super().__iter__()
            return
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        """As the driver's."""
        self.gone = True
        if self.statement is not None:
            self.block.log.closed(self.statement)
        self.cursor.close()

    @property
    def description(self) -> Any:
        """As the driver's."""
        columns = self.cursor.description
        return columns[:-1] if self.carries else columns

    @property
    def rowcount(self) -> int:
        """As the driver's; what is read here is compared in a replay, too."""
        count: int = self.cursor.rowcount
        if self.statement is not None and self.statement.name is None:
            self.statement.rowcount = count
        return count

    def __getattr__(self, name: str) -> Any:
        if name in _BYPASSES:
            self.block.bypassed(_BYPASSES[name])
        value = super().__getattr__(name)
        if name == "lastrowid" and self.statement is not None:
            self.statement.lastrowid = value
        return value

    def _fetch(self, fetch: Callable[[], Any]) -> Any:
        while True:
            try:
                with self.db.wrap_database_errors:
                    return fetch()
            except Error as error:
                # A server-side cursor. Its statement is in the log, so there is none to be added.
                if not (self.block.running and self.block.recovered(error, None, None)):
                    raise

    def _saw(self, rows: Sequence[Any], *, end: bool) -> None:
        if self.statement is not None and self.block.running:
            self.block.log.fetched(self.statement, rows, end=end)


_classes: dict[type[Any], type[RecordingCursor]] = {CursorWrapper: RecordingCursor}


def recording_class(base: type[Any]) -> type[RecordingCursor]:
    """The recording form of one of Django's cursor classes."""
    known = _classes.get(base)
    return known or _classes.setdefault(base, _make(base))


def _make(base: type[Any]) -> type[RecordingCursor]:

    def bypass(name: str) -> Any:
        def method(self: RecordingCursor, *args: Any, **kwargs: Any) -> Any:
            self.block.bypassed(_BYPASSES[name])
            return getattr(base, name)(self, *args, **kwargs)

        return method

    # The debug cursor's execute (it logs) stays outermost, ours below it.
    bypasses = {name: bypass(name) for name in _BYPASSES if hasattr(base, name)}
    return type(f"Recording{base.__name__}", (base, RecordingCursor), bypasses)
