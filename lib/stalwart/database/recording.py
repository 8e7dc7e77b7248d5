"""The log of a transaction: what its body sent, and a fingerprint of what it saw of the answers.

Only rows that the body has fetched count: what it has not seen cannot have led it anywhere. Rows go into a running hash of
their pickles; Python's own `hash` would not do, since -1 and -2, or 1 and True, have the same.
"""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import hashlib
import pickle
import uuid
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stalwart.database.cursors import RecordingCursor

_IMMUTABLE = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, decimal.Decimal, uuid.UUID,
        dt.date, dt.datetime, dt.time, dt.timedelta,
    }
)  # fmt: skip
_STATEMENT_BYTES = 200  # what an entry takes beside its text and parameters, about


class Observation:
    """What was seen of one result.

    Attributes:
        count: rows fetched.
        exhausted: the end was seen.
        kept: the rows themselves, for keys that the database generated; None elsewhere.
    """

    __slots__ = ("_hash", "count", "exhausted", "kept")

    def __init__(self, *, keep: bool = False) -> None:
        self.count = 0
        self.exhausted = False
        self.kept: list[Any] | None = [] if keep else None
        self._hash: Any = None

    def see(self, rows: Sequence[Any]) -> None:
        """Take fetched rows in. Raises what `pickle` raises for a value that cannot be compared."""
        if self._hash is None:
            self._hash = hashlib.blake2b(digest_size=16)
        for row in rows:
            self._hash.update(pickle.dumps(row, 5))
        self.count += len(rows)
        if self.kept is not None:
            self.kept.extend(rows)

    def same(self, other: Observation) -> bool:
        """Whether both saw the same rows."""
        if self.count != other.count:
            return False
        return self.count == 0 or bool(self._hash.digest() == other._hash.digest())


class Statement:
    """One statement.

    Attributes:
        sql, params, many: as they went to the driver's cursor; `many` for executemany.
        name: of a server-side cursor.
        cursor: Django's cursor that it ran on, if it is still there (a weak reference).
        rowcount: the number of rows that it changed; None where that was not to be seen.
        lastrowid: the key of the row that it inserted, if the body asked for it (SQLite).
        error: type and code of the error that it ended in; None when it went well.
        seen: what was fetched of its result.
    """

    __slots__ = ("cursor", "error", "lastrowid", "many", "name", "params", "rowcount", "seen", "sql")

    def __init__(self, cursor: RecordingCursor, sql: Any, params: Any, *, many: bool, keep: bool) -> None:
        self.cursor = weakref.ref(cursor)
        self.sql = sql
        self.params = params
        self.many = many
        self.name: str | None = getattr(cursor.cursor, "name", None)
        self.rowcount: int | None = None
        self.lastrowid: Any = None
        self.error: tuple[str, str | None] | None = None
        self.seen = Observation(keep=keep)


class Fetch:
    """Rows of an earlier statement that were fetched after other statements had run."""

    __slots__ = ("seen", "statement")

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self.seen = Observation()


class Close:
    """The end of a server-side cursor."""

    __slots__ = ("statement",)

    def __init__(self, statement: Statement) -> None:
        self.statement = statement


class Log:
    """What a transaction has done so far.

    Args:
        max_bytes: the log is given up when it grows beyond this.
        lazy: every cursor fetches from the running database (SQLite), so that the order of fetches matters.
        recording: without, nothing is kept at all.

    Attributes:
        entries: in the order in which the database saw them.
        refusal: why the transaction cannot be replayed (any more); None while it can.
    """

    def __init__(self, max_bytes: int, *, lazy: bool, recording: bool) -> None:
        self.entries: list[Statement | Fetch | Close] = []
        self.refusal: str | None = None
        self.recording = recording
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._lazy = lazy

    def refuse(self, reason: str) -> None:
        """Give the replay up, for the first reason that came."""
        if self.refusal is None:
            self.refusal = reason
        self.recording = False
        self.entries = []  # nobody will need it; do not hold the memory

    def statement(
        self, cursor: RecordingCursor, sql: Any, params: Any, *, many: bool, keep: bool
    ) -> Statement | None:
        """A statement that is about to run, not yet in the log; `keep` its rows as they are."""
        if not self.recording:
            return None
        try:
            if many:
                kept, size = [], 0
                for each in params:
                    frozen, more = _freeze_all(each)
                    kept.append(frozen)
                    size += more + _STATEMENT_BYTES
                params = kept
            else:
                params, size = _freeze_all(params)
        except Exception as error:  # noqa: BLE001  whatever a foreign object's copying raises
            self.refuse(f"a parameter could not be kept ({type(error).__name__})")
            return None
        if isinstance(sql, str):
            size += len(sql)
        if not self._spend(size + _STATEMENT_BYTES):
            return None
        return Statement(cursor, sql, params, many=many, keep=keep)

    def add(self, statement: Statement) -> None:
        """Append a statement that has run."""
        if self.recording:
            self.entries.append(statement)

    def fetched(self, statement: Statement, rows: Sequence[Any], *, end: bool) -> None:
        """Note rows that the body got, and whether it saw the end of them."""
        if not self.recording:
            return
        seen = self._place(statement)
        try:
            seen.see(rows)
        except Exception as error:  # noqa: BLE001  pickle raises whatever the value's class does
            self.refuse(f"a row holds a value that cannot be compared ({type(error).__name__})")
            return
        if seen.kept is not None and not self._spend(_STATEMENT_BYTES * len(rows)):
            return
        if end:
            seen.exhausted = True

    def closed(self, statement: Statement) -> None:
        """Note the end of a server-side cursor."""
        if self.recording and statement.name is not None:
            self.entries.append(Close(statement))

    def _place(self, statement: Statement) -> Observation:
        last = self.entries[-1] if self.entries else None
        if last is statement or not (self._lazy or statement.name is not None):
            return statement.seen
        if not (isinstance(last, Fetch) and last.statement is statement):
            last = Fetch(statement)
            self.entries.append(last)
        return last.seen

    def _spend(self, size: int) -> bool:
        self._left -= size
        if self._left >= 0:
            return True
        self.refuse(f"its log has grown beyond {self._max_bytes} bytes (DATABASE['REPLAY_MAX_BYTES'])")
        return False


def _freeze_all(params: Any) -> tuple[Any, int]:
    """Parameters as they are now, whatever the body does to its objects later, and their size in bytes, about."""
    if params is None:
        return None, 0
    size = 0
    if isinstance(params, dict):
        values = {}
        for key, value in params.items():
            values[key], more = _freeze(value)
            size += more
        return values, size
    frozen = []
    for value in params:
        kind = type(value)
        if kind in _IMMUTABLE:
            size += 16 if kind is not str and kind is not bytes else len(value)
            frozen.append(value)
        else:
            kept, more = _freeze(value)
            size += more
            frozen.append(kept)
    return tuple(frozen), size


def _freeze(value: Any) -> tuple[Any, int]:
    kind = type(value)
    if kind in _IMMUTABLE:
        return value, len(value) if kind in (str, bytes) else 16
    if kind is list or kind is tuple:
        pairs = [_freeze(each) for each in value]
        return kind(each for each, _ in pairs), 16 + sum(size for _, size in pairs)
    if isinstance(value, memoryview | bytearray):
        kept = bytes(value)
        return kept, len(kept)
    # JSON values and ranges: the driver reads them when it sends, so a later change would be replayed. Their size is
    # taken from their text, which is what will be sent.
    return copy.deepcopy(value), 200 + (len(repr(getattr(value, "obj", ""))))
