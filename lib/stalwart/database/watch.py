"""What one call of a decorated function did to its databases, seen from an execute wrapper.

Whether a failed call may be made again hangs on what it had already achieved. The watch knows of one call: whether
anything it wrote is committed, and how the statement that failed stood. It uses Django's documented hooks only: it stands
in `connection.execute_wrappers` during the call, and marks a transaction that wrote with `connection.on_commit`, whose
callbacks vanish with a rolled back savepoint just as the writes do.

What does not pass through a Django cursor's `execute` or `executemany` (COPY, a raw driver connection, another thread) is
not seen. A SELECT counts as reading, even when a function in it writes.
"""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database.classification import failures
from stalwart.database.driver import as_text
from stalwart.database.settling import Execute, Settling
from stalwart.database.sql_text import statements_in

R = TypeVar("R")
T = TypeVar("T")

_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*\n|/\*.*?\*/|\()+", re.DOTALL)
_HARMLESS = frozenset(
    {"SELECT", "VALUES", "TABLE", "SHOW", "SET", "RESET", "SAVEPOINT", "RELEASE", "ROLLBACK", "LOCK", "DECLARE", "FETCH",
     "CLOSE", "BEGIN", "START"}
)  # fmt: skip
_CHANGES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|REPLACE|ANALYZE|INTO)\b", re.IGNORECASE)
_INTO = re.compile(r"(?<!\")\bINTO\b", re.IGNORECASE)

# Coroutines share the thread that runs their queries, and so its connections; the watches of the one that a statement
# belongs to are found in its context. Used by asynchronous calls only.
active: ContextVar[tuple[CallWatch, ...]] = ContextVar("stalwart_active_watches", default=())


class CallWatch:
    """Stands in the execute wrappers of some connections while one call runs.

    Args:
        connections: Django's, of the thread that runs the queries.
        shared: the thread runs the queries of other coroutines too.
        settles: a lost COMMIT is looked up.

    Attributes:
        committed: something that this call wrote is committed.
        doubtful: first word of the write in autocommit mode whose answer was lost, and its alias; None without.
        lost: driver's connections that a statement of this call lost.
    """

    __slots__ = ("_replaced", "_settles", "_shared", "committed", "connections", "doubtful", "lost")

    def __init__(
        self,
        connections: Iterable[BaseDatabaseWrapper] = (),
        *,
        shared: bool = False,
        settles: bool = True,
    ) -> None:
        self._settles = settles
        self.connections = tuple(connections)
        self.committed = False
        self.doubtful: tuple[str, str] | None = None
        self.lost: list[Any] = []
        self._replaced: list[tuple[BaseDatabaseWrapper, Any]] = []
        self._shared = shared

    def __enter__(self) -> CallWatch:
        for connection in self.connections:
            connection.execute_wrappers.append(self)
            if self._settles:
                Settling.install(connection, wrote_in_transaction)
        return self

    def enter(self, begun: list[CallWatch]) -> CallWatch:
        """The same, for `entered`."""
        begun.append(self)
        return self.__enter__()

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            # Not simply the last one: other wrappers may have come and stayed meanwhile. `==` is identity here. And it may
            # not be there: a coroutine that was cancelled while it entered leaves whatever it has come to.
            if self not in connection.execute_wrappers:
                continue
            connection.execute_wrappers.remove(self)
            if not any(isinstance(each, CallWatch) for each in connection.execute_wrappers):
                Settling.remove(connection)

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if not self.concerns_this_context:
            return execute(sql, params, many, context)
        connection: BaseDatabaseWrapper = context["connection"]
        writes = not reads_only(sql if isinstance(sql, str) else as_text(connection, sql))
        by_itself = writes and not connection.in_atomic_block and connection.autocommit
        dead_before = by_itself and _is_dead(connection.connection)
        driver = connection.connection
        marks = writes and connection.in_atomic_block and not self._has_marked(connection)
        settling = Settling.of(connection) if marks else None
        try:
            if settling is not None:
                result = settling.first_write(execute, sql, params, many, context)
            else:
                result = execute(sql, params, many, context)
        except Exception as error:
            self._failed(
                error, as_text(connection, sql), connection, driver, in_doubt=by_itself and not dead_before
            )
            raise
        if self._replaced:
            self._made_good(connection)
        if by_itself:
            self.committed = True
        elif marks:
            connection.on_commit(self._on_commit)
        return result

    @property
    def concerns_this_context(self) -> bool:
        """Whether what runs now belongs to the watched call: coroutines share a thread's connections."""
        return not self._shared or self in active.get()

    def _failed(
        self, error: Exception, sql: str, connection: BaseDatabaseWrapper, driver: Any, *, in_doubt: bool
    ) -> None:
        known = failures(error)
        if not known or not known[0].connection_lost:
            return
        if driver is not None:
            self.lost.append(driver)
            self._replaced.append((connection, driver))
        if in_doubt and not known[0].unsent:
            self.doubtful = (first_word(sql), connection.alias)

    def _made_good(self, connection: BaseDatabaseWrapper) -> None:
        # A statement went well: the call itself has got over the loss. Were it still known, a later loss, met while a
        # committed block is left, would pass for a consequence of it, and the call would be made again.
        for each in list(self._replaced):
            if each[0] is connection and each[1] is not connection.connection:
                self._replaced.remove(each)
                if each[1] in self.lost:
                    self.lost.remove(each[1])

    def _has_marked(self, connection: BaseDatabaseWrapper) -> bool:
        # An entry is gone exactly when the savepoint that held it was rolled back, and then so is the write it stood for.
        return any(entry[1] == self._on_commit for entry in connection.run_on_commit)

    def _on_commit(self) -> None:
        self.committed = True


def wrote_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether a watched call has written in the transaction that is going on, and that stands."""
    return any(
        isinstance(each, CallWatch) and each.concerns_this_context and each._has_marked(connection)
        for each in connection.execute_wrappers
    )


def reads_only(sql: str) -> bool:
    """Whether a statement changes no data, judged by its first word; what is not known to be harmless is a write.

    Of several statements in one text, all must be harmless: the first one says nothing of the others.
    """
    if ";" in sql:
        return all(map(_reads_only, statements_in(sql)))
    return _reads_only(sql)


def _reads_only(sql: str) -> bool:
    word = "SELECT" if sql[:7] == "SELECT " else first_word(sql)  # what Django's own compiler writes
    if word == "SELECT":
        # SELECT INTO makes a table. The word is seldom there, and then mostly in a name or a literal.
        return "INTO" not in sql.upper() or not any(map(_INTO.search, statements_in(sql)))
    if word in _HARMLESS:
        return True
    # A WITH may hold a changing part, and EXPLAIN ANALYZE runs what it explains.
    return word in ("WITH", "EXPLAIN") and _CHANGES.search(sql) is None


def first_word(sql: str) -> str:
    """The first word of a statement in capitals, behind comments and opening brackets; "" if there is none."""
    text = str(sql)
    leading = _COMMENTS.match(text)
    word = re.match(r"[A-Za-z]+", text[leading.end() if leading else 0 :])
    return word.group().upper() if word else ""


def _is_dead(driver: Any) -> bool:
    """Whether a psycopg connection is known to be gone before anything is sent on it; False where that cannot be told.

    A server that ended an idle session has said so: its last words wait in the socket. Reading them now tells that the
    coming statement was never done, which the statement's own error could not. A SELECT needs none of this.
    """
    pgconn = getattr(driver, "pgconn", None)
    if pgconn is None:
        return False
    if driver.closed:
        return True
    if not _readable(pgconn.socket):
        return False
    last_words: list[str | None] = []

    def hear(notice: Any) -> None:
        last_words.append(notice.severity_nonlocalized)  # to be read at once: it is freed after this call

    driver.add_notice_handler(hear)
    try:
        pgconn.consume_input()
        # Makes libpq look at what came; outside a query, a FATAL error is a notice to it. The end of the stream follows
        # a moment later, and only then the connection would count as closed.
        pgconn.is_busy()
    except Exception:  # noqa: BLE001  any failure to read says the same, whatever its class is in this version of psycopg
        return True
    finally:
        driver.remove_notice_handler(hear)
    return bool(driver.closed) or any(severity in ("FATAL", "PANIC") for severity in last_words)


def _readable(descriptor: int) -> bool:
    if hasattr(select, "poll"):  # select() itself refuses descriptors above 1023
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])


async def entered(begin: Callable[[list[CallWatch]], T]) -> T:
    """Run `begin` in the thread of the ORM, which puts the watch that it enters into its list before it does so.

    When this is cancelled, the thread may be at it, or be done with nobody left to hear of it: the watch is taken off again.
    """
    begun: list[CallWatch] = []
    try:
        return await sync_to_async(begin, thread_sensitive=True)(begun)
    except asyncio.CancelledError:
        # Behind `begin`: that thread does one thing after the other.
        await asyncio.shield(sync_to_async(_leave, thread_sensitive=True)(begun))
        raise


def _leave(begun: list[CallWatch]) -> None:
    for watch in begun:
        watch.__exit__()


async def watched(
    watch: CallWatch, function: Callable[..., Awaitable[R]], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> R:
    """Await the call, whose queries this watch, entered before, is to see; the watch ends with it."""
    token = active.set((*active.get(), watch))
    try:
        return await function(*args, **kwargs)
    finally:
        active.reset(token)
        # Shielded: a second cancellation must not leave the watch in the thread's connections.
        await asyncio.shield(sync_to_async(watch.__exit__, thread_sensitive=True)())
