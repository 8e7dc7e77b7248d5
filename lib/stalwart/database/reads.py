"""Transparent reads (`STALWART["DATABASE"]["TRANSPARENT_READS"]`): a read whose connection was lost runs once more.

Only where nothing else can have been lost with the connection, and a second run means the same as the first:

* outside transactions, with autocommit on;
* a statement that the ORM has built, and that by its text only reads: it takes no lock, and calls no function but those
  of a short list (`stalwart.database.statements`). `raw()`, `cursor.execute()` and other functions are the caller's: only
  he knows whether they may run twice. What a view of the database does inside itself is not seen;
* nothing of the caller's belonged to the lost session. SET, an advisory lock, LISTEN and the like on one of Django's
  cursors end it for the rest of their session; settings that were made past Django are compared as far as the server
  reports them. What a receiver of `connection_created` sets is set again, and harms nothing;
* no row was fetched yet. Django's queries have all their rows when `execute` returns; those of `iterator()` come later, and
  a loss there is raised;
* a session on a primary is followed by one on a primary, so that what was written is seen.

The read waits for a usable connection within `RECONNECT_WITHIN`. When none comes, or the second run fails, too, the error
goes on with a mark, and no retry around it begins anew. PostgreSQL with psycopg 3 only. The setting is looked at when a
connection is opened, and again after a failure.

While all goes well it costs an execute wrapper and a look at the statement (`benchmarks/request_retry.py`).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart import django_conf, events
from stalwart.database import isolation
from stalwart.database.classification import classify
from stalwart.database.codes import ErrorClass
from stalwart.database.driver import as_text, close_cursor
from stalwart.database.origin import let_go
from stalwart.database.orm_caller import Query, is_connecting, query_through
from stalwart.database.reconnect import Reconnection, close_quietly
from stalwart.database.settling import Execute
from stalwart.database.statements import describe
from stalwart.database.watch import CallWatch
from stalwart.policies.deadline import Deadline
from stalwart.policies.marker import mark, note

# `describe` looks at the last part of a function's name, and any schema may have a count() of its own.
_SCHEMA_FUNCTION = re.compile(r"\.\s*\"?\w+\"?\s*\(")
_HOOK = "create_cursor"


def attach(connection: BaseDatabaseWrapper) -> None:
    """Watch the session that was just opened, if that is wished for."""
    config = django_conf.current().database
    reads = _of(connection)
    if not (config.enabled and config.transparent_reads):
        detach(connection)
    elif reads is not None:
        reads.begin()
    elif connection.vendor == "postgresql" and isolation.is_psycopg3():
        reads = TransparentReads(connection)
        # In front: a `with connection.execute_wrapper(...)` in which the connection is opened takes the last one away when
        # it ends. And whoever watches single statements from further inside sees two that ran.
        connection.execute_wrappers.insert(0, reads)
        connection.__dict__.setdefault(_HOOK, reads.create_cursor)


def detach(connection: BaseDatabaseWrapper) -> None:
    """Undo it."""
    reads = _of(connection)
    if reads is not None:
        connection.execute_wrappers.remove(reads)
        if connection.__dict__.get(_HOOK) == reads.create_cursor:
            del connection.__dict__[_HOOK]


def _of(connection: BaseDatabaseWrapper) -> TransparentReads | None:
    return next((each for each in connection.execute_wrappers if isinstance(each, TransparentReads)), None)


class TransparentReads:
    """An execute wrapper of one connection object, which it stays with through all its sessions.

    Args:
        connection: Django's.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._bound: str | None = None

    def begin(self) -> None:
        """A new session: there is nothing in it yet."""
        self._bound = None

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        # Before it runs: what a statement that failed has left behind is not known.
        if not isinstance(sql, str) or describe(sql).unreplayable is not None:
            self._bind(sql)
        try:
            return execute(sql, params, many, context)
        except Error as error:
            query = query_through(context["cursor"]) if _has_lost_its_session(error) else None
            if query is None or not self._may_repeat(str(sql), error):
                raise
            failure = error
        # Out of the except block on purpose: what comes now must not get this failure as its context.
        try:
            result = self._second_run(
                query, failure, lambda: execute(sql, params, many, context), context["cursor"]
            )
            let_go(failure)
            return result
        finally:
            del failure  # its traceback holds this frame: a cycle

    def create_cursor(self, *args: Any, **kwargs: Any) -> Any:
        """In the place of the connection's: the driver refuses one when it knows that its connection is gone."""
        connection: Any = self._connection
        try:
            return type(connection).create_cursor(connection, *args, **kwargs)
        except connection.Database.Error as error:
            query = query_through(connection) if getattr(connection.connection, "closed", False) else None
            if query is None or not self._may_repeat(query.sql, error):
                raise
            failure = error
        try:
            self._reconnect(query, failure)
            let_go(failure)
            return type(connection).create_cursor(connection, *args, **kwargs)
        finally:
            del failure

    def _bind(self, sql: Any) -> None:
        what = describe(as_text(self._connection, sql)).unreplayable
        if what is not None and not is_connecting():
            self._bound = what

    def _may_repeat(self, sql: str, error: Exception) -> bool:
        connection, config = self._connection, django_conf.current().database
        if not (config.enabled and config.transparent_reads):
            return False
        # Inside an atomic block autocommit is off, too.
        if not connection.autocommit or not _only_reads(sql):
            return False
        if self._bound is not None:
            note(error, f"transparent_reads did not run it again: the lost session held {self._bound}.")
        return self._bound is None

    def _second_run(self, query: Query, failure: Error, execute: Callable[[], Any], cursor: Any) -> Any:
        self._reconnect(query, failure)
        connection = self._connection
        try:
            # By way of Django's own: a backend may prepare its session whenever a cursor is asked for.
            named = getattr(cursor.cursor, "name", None) is not None
            fresh: Any = connection.chunked_cursor() if named else connection.cursor()
            close_cursor(cursor.cursor)
            cursor.cursor = fresh.cursor
            return execute()
        except Error as error:
            note(
                error,
                "transparent_reads gave up: this was the second run of a read whose connection was lost.",
            )
            mark(error)
            raise

    def _reconnect(self, query: Query, failure: Exception) -> None:
        """Have a connection that is as good as the lost one. Raises the failure when there is none."""
        connection: Any = self._connection
        lost = connection.connection
        before = _traits(lost)
        reconnection = Reconnection(
            connection,
            broken=lost,
            deadline=Deadline.after(django_conf.current().database.reconnect_within),
            writable=_was_on_a_primary(lost),
            random=random.random,
        )
        while not reconnection.attempt():
            pause = reconnection.next_wait()
            if pause is None:
                self._give_up(query, failure, reconnection.why(), lost)
                raise failure
            time.sleep(pause)
        after = _traits(connection.connection)
        if before is not None and before != after:
            differs = ", ".join(isolation.differences(before, after))
            close_quietly(connection)
            self._give_up(
                query,
                failure,
                f"the lost session had settings of its own ({differs}), and the new one has not; set them in a receiver of "
                "connection_created",
                lost,
            )
            raise failure
        for each in connection.execute_wrappers:
            # Nothing is left of this loss. A watch that still knew of it would take it for the reason of a later one.
            if isinstance(each, CallWatch) and lost in each.lost:
                each.lost.remove(lost)
        seconds, attempts = reconnection.seconds, reconnection.attempts
        events.emit(events.ConnectionRestored(query.model, connection.alias, attempts, seconds))
        events.emit(events.ReadRetried(query.model, connection.alias, seconds, *_error(failure)))

    def _give_up(self, query: Query, failure: Exception, reason: str, lost: Any) -> None:
        connection = self._connection
        if getattr(connection, "pool", None) is None:
            # As Django leaves it: what the caller does next was not written for a session that just happens to be there.
            connection.connection = lost
            connection.errors_occurred = True  # so that the end of the request closes it
        note(failure, f"transparent_reads gave up: {reason}.")
        mark(failure)
        events.emit(
            events.RetryGivenUp(query.model, 1, reason, ErrorClass.CONNECTION.value, *_error(failure))
        )


def _has_lost_its_session(error: Error) -> bool:
    known = classify(error)
    return known is not None and known.connection_lost


def _only_reads(sql: str) -> bool:
    kind = describe(sql)
    return not (kind.writes or kind.locks or kind.opaque or _SCHEMA_FUNCTION.search(sql))


def _error(failure: Exception) -> tuple[str, str | None]:
    known = classify(failure)
    return type(failure).__name__, None if known is None else known.code


def _traits(driver: Any) -> tuple[bytes | None, ...] | None:
    """What is known of a session's settings, None when it was closed in so orderly a way that it is forgotten."""
    try:
        return isolation.traits(driver)
    except Exception:  # noqa: BLE001  whatever psycopg's class for it is in this version
        return None


def _was_on_a_primary(driver: Any) -> bool:
    try:
        status = driver.pgconn.parameter_status
        states = {status(b"in_hot_standby"), status(b"default_transaction_read_only")}
    except Exception:  # noqa: BLE001  as above
        return False
    return states == {b"off"}
