"""Where the faults stand: at the lowest methods of Django's connection, below execute wrappers, recordings and retries.

The methods are those of the connection's class, so every thread's connection is reached, one that is open already and one
that a retry opens. Cursors are tapped as they are made. Once the last fault is over, the class is what it was.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

_TAPPED = "_stalwart_tapped"


@dataclass(slots=True)
class Statement:
    """A statement that is about to be sent.

    Attributes:
        driver: the driver's connection.
        sql: its text, without parameters.
        many: it comes from executemany.
        counted: it comes from a cursor of Django's, so that `assertNumQueries` would count it. What is not counted is sent
            by Stalwart itself: a replay, or a question after a commit.
        params: as they were handed over; of executemany, those of all its runs.
        cursor: the driver's, on which it is sent.
    """

    driver: Any
    sql: str
    many: bool
    counted: bool
    params: Any = None
    cursor: Any = None


class Listener:
    """What stands there; it hands everything on. Called in the threads of the code under test."""

    alias: str

    def connecting(self, params: dict[str, Any]) -> dict[str, Any]:
        """A connection is about to be opened; returns with what parameters."""
        return params

    def connected(self, driver: Any) -> None:
        """The driver's connection is open, and Django has it."""

    def sending(self, statement: Statement, send: Callable[[], Any]) -> Any:
        """A statement is about to be sent; returns what the driver's cursor returns."""
        return send()

    def committing(self, connection: BaseDatabaseWrapper, commit: Callable[[], None]) -> None:
        """COMMIT is about to be sent."""
        commit()


_METHODS = ("get_connection_params", "connect", "create_cursor", "_prepare_cursor", "_commit")

_lock = threading.Lock()
_edges: dict[type[Any], _Edge] = {}
_own = threading.local()


@contextmanager
def unheard() -> Iterator[None]:
    """What this thread does in the block is done for a fault, and no listener is told."""
    before = getattr(_own, "unheard", False)
    _own.unheard = True
    try:
        yield
    finally:
        _own.unheard = before


def install(connection: BaseDatabaseWrapper, listener: Listener) -> None:
    """Let `listener` stand at all connections of its alias."""
    kind = type(connection)
    with _lock:
        if kind not in _edges:
            _edges[kind] = _Edge(kind)
        _edges[kind].listeners += (listener,)


def remove(connection: BaseDatabaseWrapper, listener: Listener) -> None:
    """Take it away again, in whatever order."""
    kind = type(connection)
    with _lock:
        edge = _edges[kind]
        edge.listeners = tuple(each for each in edge.listeners if each is not listener)
        if not edge.listeners:
            _edges.pop(kind).restore()


class _Edge:
    """The changed methods of one class of connections."""

    def __init__(self, kind: type[Any]) -> None:
        self.listeners: tuple[Listener, ...] = ()
        self._kind = kind
        self._before = {name: vars(kind)[name] for name in _METHODS if name in vars(kind)}
        self._params = kind.get_connection_params
        self._connect = kind.connect
        self._create = kind.create_cursor
        self._prepare = kind._prepare_cursor
        self._commit = kind._commit
        # Functions, not bound methods: each takes the connection as its `self`, which the frames of a traceback are read for.
        # Not `get_new_connection`: others put one of their own on the connection object, and keep the one that was there.
        edge = self

        def get_connection_params(self: Any) -> Any:
            params = edge._params(self)
            for listener in _of(self):
                params = listener.connecting(params)
            return params

        def connect(self: Any) -> None:
            edge._connect(self)
            for listener in _of(self):
                listener.connected(self.connection)

        def create_cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
            cursor = edge._create(self, *args, **kwargs)
            _tap(self, cursor)
            return cursor

        def _prepare_cursor(self: Any, cursor: Any) -> Any:
            _tap(self, cursor)
            setattr(cursor, _TAPPED, True)
            return edge._prepare(self, cursor)

        def _commit(self: Any) -> None:
            commit: Callable[[], None] = partial(edge._commit, self)
            for listener in _of(self):
                commit = partial(listener.committing, self, commit)
            commit()

        for method in (get_connection_params, connect, create_cursor, _prepare_cursor, _commit):
            setattr(kind, method.__name__, method)

    def restore(self) -> None:
        for name in _METHODS:
            if name in self._before:
                setattr(self._kind, name, self._before[name])
            else:
                delattr(self._kind, name)


def _of(connection: BaseDatabaseWrapper) -> list[Listener]:
    """The listeners of the connection's alias, the innermost first. What outlives a fault finds those of the next one."""
    edge = _edges.get(type(connection))
    if edge is None or getattr(_own, "unheard", False):
        return []
    return [each for each in reversed(edge.listeners) if each.alias == connection.alias]


def _tap(connection: BaseDatabaseWrapper, cursor: Any) -> None:
    """Have a driver's cursor tell of what it sends."""
    if hasattr(cursor, _TAPPED):
        return
    setattr(cursor, _TAPPED, False)
    # Weak: a cursor must not live until the garbage collector comes, it may hold locks (SQLite).
    made, kind = weakref.ref(cursor), type(cursor)

    def sent(name: str, sql: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        own = made()
        send: Callable[[], Any] = partial(getattr(kind, name), own, sql, *args, **kwargs)
        listeners = _of(connection)
        if listeners:
            driver = getattr(own, "connection", None)
            params = args[0] if args else kwargs.get("params")
            statement = Statement(
                driver, _text(sql, driver), name == "executemany", getattr(own, _TAPPED), params, own
            )
            for listener in listeners:
                send = partial(listener.sending, statement, send)
        return send()

    cursor.execute = lambda sql, *args, **kwargs: sent("execute", sql, args, kwargs)
    cursor.executemany = lambda sql, *args, **kwargs: sent("executemany", sql, args, kwargs)


def _text(sql: Any, driver: Any) -> str:
    if hasattr(sql, "as_string"):  # psycopg's `sql` module
        return str(sql.as_string(driver))
    return sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)
