"""The cursor that a resilient transaction hands out: Django's own, which tells its block what it does.

It overrides the methods that lie below all execute wrappers, so query counters and the debug log see one statement where
the database saw two, as they should.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db.backends.utils import CursorWrapper
from django.db.utils import Error

from stalwart.database.driver import as_text, open_cursor
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


# What runs a statement below all wrappers; ours are put in its place, so `super()` would find just this.
_django: Any = CursorWrapper


class RecordingCursor(CursorWrapper):
    """See above; `recording_class` mixes it with the class that Django would have used.

    Attributes:
        block: whom it tells.
        guard: the block's own execute wrapper, which is there for other cursors.
        statement: what it ran last, if that is in the log.
        gone: it is closed.
        carries: its rows have one column more than the body asked for.
    """

    block: Block
    guard: Any
    statement: Statement | None = None
    gone = False
    carries = False

    def execute(self, sql: Any, params: Any = None) -> Any:
        """As Django's; with no wrapper but ours in place, it does without the detour through them."""
        wrappers: list[Any] = self.db.execute_wrappers
        if len(wrappers) == 1 and wrappers[0] is self.guard:
            return self._recorded(sql, params, many=False)
        return super().execute(sql, params)

    def _execute(self, sql: Any, params: Any, *ignored_wrapper_args: Any) -> Any:
        return self._recorded(sql, params, many=False)

    def _executemany(self, sql: Any, param_list: Any, *ignored_wrapper_args: Any) -> Any:
        # It may be an iterator, and a replay needs it again.
        return self._recorded(sql, list(param_list), many=True)

    def _recorded(self, sql: Any, params: Any, *, many: bool) -> Any:
        block = self.block
        if not block.running:
            block.refuse_when_over()
            run = _django._executemany if many else _django._execute
            return run(self, sql, params)
        if isinstance(sql, str):
            kind = describe(sql)
        else:
            if hasattr(sql, "as_string"):
                # Sent as the text that it comes to, as psycopg would: so a replay can write seen keys into it.
                sql = sql.as_string(self.db.connection)
            kind = describe(as_text(self.db, sql))
        if not kind.plain:
            block.announce(kind)
        if block.attempts and self.cursor.connection is not self.db.connection:
            # Opened before the last replay and not used since: its session is gone, or somebody else's by now (a pool).
            self.cursor = open_cursor(self.db, getattr(self.cursor, "name", None))
        statement = block.log.statement(self, sql, params, many=many, keep=kind.inserts and not many)
        self.statement = None
        while True:
            self.carries = False
            try:
                if kind.locks and not many and kind.unreplayable is None and block.rides(self.cursor, sql):
                    if kind.returns:
                        _django._execute(self, sql + block.COLUMN, params)
                        self.carries = True
                        block.arrived_beside_keys(self.cursor)
                    else:
                        _django._execute(self, block.RIDE + sql, params)
                        block.arrived(self.cursor)
                elif many:
                    _django._executemany(self, sql, params)
                else:
                    _django._execute(self, sql, params)
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

    def callproc(self, procname: Any, params: Any = None, kparams: Any = None) -> Any:
        """Not replayed: it does not pass through `execute`."""
        self.block.bypassed("callproc()")
        return super().callproc(procname, params, kparams)

    def fetchone(self) -> Any:
        """As the driver's; None at the end."""
        while True:
            try:
                row = self.cursor.fetchone()
                break
            except Exception as error:  # noqa: BLE001  told apart in there
                self._fetch_failed(error)
        if self.carries and row is not None:
            row = row[:-1]
        if self.statement is not None and self.block.running:
            self.block.log.fetched(self.statement, () if row is None else (row,), end=row is None)
        return row

    def fetchmany(self, *size: int, **named: int) -> Any:
        """As the driver's."""
        while True:
            try:
                rows = self.cursor.fetchmany(*size, **named)
                break
            except Exception as error:  # noqa: BLE001  told apart in there
                self._fetch_failed(error)
        if self.carries:
            rows = [row[:-1] for row in rows]
        if self.statement is not None and self.block.running:
            asked = size[0] if size else named.get("size", self.cursor.arraysize)
            self.block.log.fetched(self.statement, rows, end=len(rows) < asked)
        return rows

    def fetchall(self) -> Any:
        """As the driver's."""
        while True:
            try:
                rows = self.cursor.fetchall()
                break
            except Exception as error:  # noqa: BLE001  told apart in there
                self._fetch_failed(error)
        if self.carries:
            rows = [row[:-1] for row in rows]
        if self.statement is not None and self.block.running:
            self.block.log.fetched(self.statement, rows, end=True)
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
        if self.statement is not None and self.statement.name is not None:
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

    def _fetch_failed(self, failure: Exception) -> None:
        """Return when the cursor stands again where it was; raise Django's error else."""
        try:
            with self.db.wrap_database_errors:
                raise failure
        except Error as error:
            # A server-side cursor. Its statement is in the log, so there is none to be added.
            if not (self.block.running and self.block.recovered(error, None, None)):
                raise


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
