"""The statements of one page view, taken down by Django's own execute wrapper on every alias and every thread.

Not by `connection.queries_log`: it holds 9,000 entries and is never emptied outside of requests. A wrapper set on one
thread sees nothing of another's connection, so each connection gets its own when it is made.
"""

from __future__ import annotations

import gc
import re
import sys
import weakref
from collections.abc import Callable
from hashlib import blake2b
from threading import Thread, current_thread
from time import perf_counter
from types import FrameType
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from workbench.guest import marks, sites

#: Statements that exist only because a page view is kept in a transaction that is rolled back.
SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")
#: SQLite begins its transactions by a statement of its own; other databases are not seen to.
_UNCOUNTED = (*SAVEPOINTS, "BEGIN")
_LEADING = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/|\()*", re.DOTALL)
_READS = frozenset(
    {"SELECT", "SHOW", "EXPLAIN", "PRAGMA", "VALUES", "TABLE", "DESCRIBE", "SET", "FETCH", "DECLARE", "CLOSE"}
)
_WITH = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\b", re.IGNORECASE)
#: A statement longer than this is cut for the record.
LONGEST = 50_000


class PageCutError(BaseException):
    """A page went past its bounds. Not an Exception: a view that swallows everything must be cut as well."""


class Seen:
    """One statement. Most of it is set only where it differs: this is made while the page is timed."""

    relation: str | None = None
    producer: int | None = None
    batch: int | None = None
    look: sites.Look | sites.Near | None = None
    seconds = 0.0
    rows = -1
    failed = True
    same_as: int | None = None
    opened = False
    began = 0.0

    def __init__(self, sql: str, alias: str, thread: Thread) -> None:
        self.sql = sql
        self.alias = alias
        self.thread = thread


class Held:
    """One transaction of the project's, from its first moment to its last."""

    look: sites.Look | sites.Near | None = None
    seconds: float | None = None
    last: int | None = None

    def __init__(self, alias: str, thread: Thread, first: int) -> None:
        self.alias = alias
        self.thread = thread
        self.first = first
        self.began = perf_counter()


class Recorder:
    """Takes statements down while it is the active one.

    Args:
        places: look for the place of the project that asked.
        most: statements after which the page is cut.
        explain: called with each statement and the frame that runs it, for what only an attributed pass looks at.
    """

    def __init__(
        self,
        *,
        places: bool = True,
        most: int = 10_000,
        explain: Callable[[Seen, FrameType], None] | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        self.held: list[Held] = []
        self.most = most
        self._open: dict[tuple[str, Thread], Held] = {}
        self._texts: dict[tuple[str, str, bytes], int] = {}
        self.cut: str | None = None
        #: When the page began, by the clock of its statements.
        self.began = perf_counter()
        self._places = places and explain is None
        self._explain = explain

    def run(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self.cut is not None or len(self.seen) >= self.most:
            self.cut = self.cut or f"cut after {self.most:,} statements"
            raise PageCutError(self.cut)
        connection = context["connection"]
        text = sql if type(sql) is str else _text(sql, connection)
        if text.startswith(_UNCOUNTED):
            return self._bounds(execute, sql, params, many, context)
        seen = Seen(text, connection.alias, current_thread())
        if "_wb_opened" in connection.__dict__:
            del connection._wb_opened
            seen.opened = True
        if self._explain is not None:
            key = (connection.alias, text, _digest(params))
            first = self._texts.setdefault(key, len(self.seen))
            seen.same_as = first if first < len(self.seen) else None
        self.seen.append(seen)
        seen.began = began = perf_counter()
        try:
            result = execute(sql, params, many, context)
            seen.failed = False
        finally:
            seen.seconds = perf_counter() - began
            if self._places:
                seen.look = sites.nearest(sys._getframe(2))
            elif self._explain is not None:
                self._explain(seen, sys._getframe(1))
        try:
            rows = context["cursor"].cursor.rowcount
            seen.rows = -1 if rows is None else rows
        except Exception:  # noqa: BLE001 a driver that counts nothing
            seen.rows = -1
        return result

    def _bounds(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        """A savepoint right inside our own transaction is where the project's transaction begins or ends."""
        connection = context["connection"]
        if len(connection.atomic_blocks) != 1:
            return execute(sql, params, many, context)
        key = (connection.alias, current_thread())
        ended = self._open.pop(key, None)
        if ended is not None:
            ended.seconds = perf_counter() - ended.began
            ended.last = len(self.seen)
        begins = str(sql).startswith(SAVEPOINTS[0])
        look = sites.nearest(sys._getframe(2)) if begins else None
        result = execute(sql, params, many, context)
        if begins:
            self._open[key] = begun = Held(*key, len(self.seen))
            begun.look = look
            self.held.append(begun)
        return result

    @property
    def wrote(self) -> bool:
        return any(writes(one.sql) for one in self.seen)

    def transactions(self) -> list[dict[str, Any]]:
        """The project's transactions as the profile's records have them; one that did not end is left out."""
        return [_transaction(one, self.seen) for one in self.held if one.seconds is not None]

    def as_json(self) -> list[dict[str, Any]]:
        """The statements as the profile's records have them."""
        return [{**_record(one), "began": (one.began - self.began) * 1000} for one in self.seen]


#: The one recorder that all connections report to; a page view has the process to itself.
_active: Recorder | None = None
_watching = False
_joined: weakref.WeakSet[BaseDatabaseWrapper] = weakref.WeakSet()


def _watch(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    recorder = _active
    if recorder is None:
        return execute(sql, params, many, context)
    return recorder.run(execute, sql, params, many, context)


def _opened(connection: Any = None, **_: Any) -> None:
    """A connection was made while a page was being recorded: its first statement had to wait for it."""
    if _active is not None:
        connection._wb_opened = True
    _join(connection)


def _join(connection: Any = None) -> None:
    """Watch one connection; outermost, so that a wrapper that the project takes off again is never mistaken for ours."""
    _joined.add(connection)
    if _watch not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _watch)


def watch() -> None:
    """Watch every connection of this process, those of other threads and those still to be made included."""
    global _watching
    if not _watching:
        connection_created.connect(_opened, dispatch_uid="workbench.guest.capture")
        # Connections of other threads that were opened before us can be reached in no other way.
        for thing in gc.get_objects():
            # By type(): isinstance would ask lazy objects for their class, and so make them.
            if issubclass(type(thing), BaseDatabaseWrapper):
                _join(thing)
        _watching = True
    for alias in connections:
        _join(connections[alias])
    marks.prepare()


def unwatch() -> None:
    """Leave every connection as it was: this process is somebody's own, and goes on without us."""
    global _watching
    _watching = False
    connection_created.disconnect(dispatch_uid="workbench.guest.capture")
    for connection in list(_joined):
        if _watch in connection.execute_wrappers:
            connection.execute_wrappers.remove(_watch)
        _joined.discard(connection)


class recording:  # noqa: N801 used as a verb
    """Make a recorder the active one; a context manager.

    Args:
        recorder: which.
        leave: no connection is watched afterwards.

    Raises:
        RuntimeError: another one is active.
    """

    def __init__(self, recorder: Recorder, *, leave: bool = False) -> None:
        self._recorder = recorder
        self._leave = leave

    def __enter__(self) -> Recorder:
        global _active
        if _active is not None:
            raise RuntimeError("a page view is being recorded already: visit one page at a time")
        try:
            watch()
        except BaseException:  # interrupted
            if self._leave:
                unwatch()
            raise
        # Nothing may come after this: who is interrupted in between would never leave.
        _active = self._recorder
        return self._recorder

    def __exit__(self, *_: object) -> None:
        global _active
        _active = None
        if self._leave:
            unwatch()


def _digest(params: Any) -> bytes:
    """Values are compared and never kept."""
    try:
        return blake2b(repr(params).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    except Exception:  # noqa: BLE001 somebody's __repr__: such values are like no others
        return repr(id(params)).encode()


def writes(sql: str) -> bool:
    """Whether a statement changes data or the schema, by its words; when in doubt it does."""
    match = _LEADING.match(sql)
    rest = sql[match.end() :] if match else sql
    verb = re.match(r"[A-Za-z]*", rest)
    word = verb.group().upper() if verb else ""
    if word == "WITH":
        return _WITH.search(_without_literals(rest)) is not None
    return word not in _READS


def _without_literals(sql: str) -> str:
    return re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`", "''", sql)


def _text(sql: Any, connection: Any) -> str:
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    compose = getattr(sql, "as_string", None)
    if compose is not None:  # psycopg.sql
        try:
            return str(compose(connection.connection))
        except Exception:  # noqa: BLE001 what cannot be composed here fails when it runs
            return str(sql)
    return str(sql)


def _record(one: Seen) -> dict[str, Any]:
    look = sites.resolved(one.look)
    return {
        "sql": one.sql[:LONGEST],
        "milliseconds": one.seconds * 1000,
        "rows": one.rows,
        "alias": one.alias,
        "thread": one.thread.name,
        "origin": "other" if look is None else look.origin,
        "site": sites.as_json(look.places[0] if look is not None and look.places else None),
        "template": None if look is None else sites.as_json(look.template),
        "relation": one.relation,
        "producer": one.producer,
        "batch": one.batch,
        "failed": one.failed,
        "same_as": one.same_as,
        "opened": one.opened,
    }


def _transaction(held: Held, seen: list[Seen]) -> dict[str, Any]:
    within = [
        one for one in seen[held.first : held.last] if (one.alias, one.thread) == (held.alias, held.thread)
    ]
    # A decorator's block has no line of the project's around it; its first statement has.
    looks = [sites.resolved(held.look), *(sites.resolved(one.look) for one in within)]
    places = [look.places[0] for look in looks if look is not None and look.places]
    return {
        "alias": held.alias,
        "site": sites.as_json(places[0] if places else None),
        "milliseconds": (held.seconds or 0.0) * 1000,
        "busy": sum(one.seconds for one in within) * 1000,
        "queries": len(within),
        "wrote": any(writes(one.sql) for one in within),
    }
