"""The log of a transaction: what its body sent, and a fingerprint of what it saw of the answers.

Only rows that the body has fetched count: what it has not seen cannot have led it anywhere. A few small rows are kept; more
of them go into a running hash of their pickles. Python's own `hash` would not do, since -1 and -2, or 1 and True, have
the same.
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
from functools import lru_cache
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
_ROW_BYTES = 200
# A few small rows are kept as they are, which costs next to nothing; more than these go into the hash.
_FEW_ROWS = 8
_SHORT = 100


class Observation:
    """What was seen of one result.

    Attributes:
        count: rows fetched.
        exhausted: the end was seen.
        rows: the rows themselves: all of them for keys that the database generated, a few elsewhere, or none.
    """

    __slots__ = ("_hash", "_keep", "count", "exhausted", "rows")

    def __init__(self, *, keep: bool = False) -> None:
        self.count = 0
        self.exhausted = False
        self.rows: list[Any] = []
        self._keep = keep
        self._hash: Any = None

    def see(self, rows: Sequence[Any]) -> int:
        """Take fetched rows in; how many of them are kept. Raises what `pickle` raises for a value that cannot be compared."""
        self.count += len(rows)
        if self._keep:
            self.rows += [row if _is_plain(row) else _copied(row) for row in rows]
            return len(rows)
        if self._hash is None and self.count <= _FEW_ROWS and all(map(_is_plain, rows)):
            self.rows += rows
            return len(rows)
        if self._hash is None:
            self._hash = self._hash_of_kept()
            self.rows = []
        _add(self._hash, rows)
        return 0

    def same(self, other: Observation) -> bool:
        """Whether both saw the same rows."""
        return self.count == other.count and self._digest() == other._digest()

    def _digest(self) -> bytes:
        known = self._hash if self._hash is not None else self._hash_of_kept()
        return bytes(known.digest())

    def _hash_of_kept(self) -> Any:
        made = hashlib.blake2b(digest_size=16)
        _add(made, self.rows)
        return made


def _add(made: Any, rows: Sequence[Any]) -> None:
    for row in rows:
        made.update(pickle.dumps(row, 5))


def _copied(row: Any) -> Any:
    pickle.dumps(row, 5)  # it must be comparable, too
    return copy.deepcopy(row)


def _is_plain(row: Any) -> bool:
    """Whether a row can be kept as it is: nothing in it can be changed, and it is small."""
    if type(row) is not tuple:
        return False
    for value in row:
        kind = type(value)
        if kind not in _IMMUTABLE or ((kind is str or kind is bytes) and len(value) > _SHORT):
            return False
    return len(row) <= _SHORT


class Statement(Observation):
    """One statement, and what was seen of its result.

    Attributes:
        sql, params, many: as they went to the driver's cursor; `many` for executemany.
        name: of a server-side cursor.
        cursor: Django's cursor that it ran on, if it is still there (a weak reference).
        rowcount: the number of rows that it changed; None where that was not to be seen.
        lastrowid: the key of the row that it inserted, if the body asked for it (SQLite).
        error: type and code of the error that it ended in; None when it went well.
    """

    __slots__ = ("cursor", "error", "lastrowid", "many", "name", "params", "rowcount", "sql")

    def __init__(self, cursor: RecordingCursor, sql: Any, params: Any, *, many: bool, keep: bool) -> None:
        # One is made for every statement: what Observation begins with stands here, and not behind one more call.
        self.count = 0
        self.exhausted = False
        self.rows: list[Any] = []
        self._keep = keep
        self._hash: Any = None
        self.cursor = weakref.ref(cursor)
        self.sql = sql
        self.params = params
        self.many = many
        self.name: str | None = getattr(cursor.cursor, "name", None)
        self.rowcount: int | None = None
        self.lastrowid: Any = None
        self.error: tuple[str, str | None] | None = None

    @property
    def generated(self) -> list[Any]:
        """The rows that an INSERT returned."""
        return self.rows if self._keep else []


class Fetch(Observation):
    """Rows of an earlier statement that were fetched after other statements had run."""

    __slots__ = ("statement",)

    def __init__(self, statement: Statement) -> None:
        super().__init__()
        self.statement = statement


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
        self._left -= size + _STATEMENT_BYTES
        if self._left < 0:
            self._refuse_as_too_long()
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
        entries = self.entries
        seen = statement if entries and entries[-1] is statement else self._place(statement)
        if end:
            seen.exhausted = True
        if not rows:
            return
        try:
            kept = seen.see(rows)
        except Exception as error:  # noqa: BLE001  pickle raises whatever the value's class does
            self.refuse(f"a row holds a value that cannot be compared ({type(error).__name__})")
            return
        self._left -= _ROW_BYTES * kept
        if self._left < 0:
            self._refuse_as_too_long()

    def closed(self, statement: Statement) -> None:
        """Note the end of a server-side cursor."""
        if self.recording and statement.name is not None:
            self.entries.append(Close(statement))

    def _place(self, statement: Statement) -> Observation:
        if not (self._lazy or statement.name is not None):
            return statement
        last = self.entries[-1] if self.entries else None
        if not (isinstance(last, Fetch) and last.statement is statement):
            last = Fetch(statement)
            self.entries.append(last)
        return last

    def _refuse_as_too_long(self) -> None:
        self.refuse(f"its log has grown beyond {self._max_bytes} bytes (DATABASE['REPLAY_MAX_BYTES'])")


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
    plain = True
    for value in params:
        kind = type(value)
        if kind is str or kind is bytes:
            size += len(value)
        elif kind in _IMMUTABLE:
            size += 16
        else:
            plain = False
            break
    if plain:
        return tuple(params), size
    pairs = [_freeze(value) for value in params]
    return tuple(frozen for frozen, _ in pairs), sum(each for _, each in pairs)


@lru_cache(maxsize=256)
def _is_a_mere_value(kind: type[Any]) -> bool:
    """Whether it is a type like psycopg's Int4 or Django's SafeString, that has room for nothing but what cannot change."""
    base = kind.__base__
    return base in _IMMUTABLE and kind.__basicsize__ == base.__basicsize__ and not kind.__dictoffset__


def _freeze(value: Any) -> tuple[Any, int]:
    kind: Any = type(value)
    if kind in _IMMUTABLE:
        return value, len(value) if kind in (str, bytes) else 16
    if _is_a_mere_value(kind):
        return value, len(value) if issubclass(kind, str | bytes) else 16
    if kind is list or kind is tuple:
        pairs = [_freeze(each) for each in value]
        return kind(each for each, _ in pairs), 16 + sum(size for _, size in pairs)
    if isinstance(value, memoryview | bytearray):
        kept = bytes(value)
        return kept, len(kept)
    # JSON values and ranges: the driver reads them when it sends, so a later change would be replayed. Their size is
    # taken from their text, which is what will be sent.
    return copy.deepcopy(value), 200 + (len(repr(getattr(value, "obj", ""))))
