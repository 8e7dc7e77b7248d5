"""Running a log again in a new transaction, and requiring that all that the body saw is as it was."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart.database.classification import classify
from stalwart.database.codes import ErrorClass
from stalwart.database.driver import close_cursor, open_cursor, run
from stalwart.database.fingerprint import fingerprint
from stalwart.database.keys import with_seen_values
from stalwart.database.recording import Close, Log, Observation, Statement
from stalwart.exceptions import ReplayMismatch


class Replay:
    """One run of a log. The connection is in a new transaction and hands out plain cursors.

    Args:
        connection: Django's.
        log: what to do again.
        verify: compare the results; without, only an error that was not there before, or is no longer, is a mismatch.
    """

    def __init__(self, connection: BaseDatabaseWrapper, log: Log, *, verify: bool) -> None:
        self._connection = connection
        self._log = log
        self._verify = verify
        self._cursors: dict[int, Any] = {}

    def run(self) -> None:
        """Do it, then give the body's open cursors their new places.

        Raises:
            ReplayMismatch: something is not as it was.
            django.db.Error: the database failed again; the replay may be tried once more.
        """
        done = False
        try:
            for position, entry in enumerate(self._log.entries, 1):
                if isinstance(entry, Statement):
                    self._statement(entry, position)
                elif isinstance(entry, Close):
                    with self._connection.wrap_database_errors:
                        self._cursors[id(entry.statement)].close()
                else:
                    self._compare(entry.statement, entry, position)
            done = True
        finally:
            self._settle(done=done)

    def _statement(self, statement: Statement, position: int) -> None:
        sql, params = statement.sql, statement.params
        if statement.generated and isinstance(sql, str):
            sql, params = with_seen_values(self._connection, sql, params, statement.generated)
        cursor = open_cursor(self._connection, statement.name)
        self._cursors[id(statement)] = cursor
        try:
            run(self._connection, cursor, sql, params, many=statement.many)
        except Error as error:
            code = code_of(error)
            if code == statement.error:
                return
            if may_pass(self._connection, error):
                raise
            raise ReplayMismatch(text_of(statement), position) from error
        if statement.error is not None:
            raise ReplayMismatch(text_of(statement), position)
        counted = statement.rowcount is None or cursor.rowcount == statement.rowcount
        keyed = statement.lastrowid is None or cursor.lastrowid == statement.lastrowid
        # A key that the body holds is no matter of verifying: it would point to another row.
        if not keyed or (self._verify and not counted):
            raise ReplayMismatch(text_of(statement), position)
        self._compare(statement, statement, position)

    def _compare(self, statement: Statement, seen: Observation, position: int) -> None:
        if not seen.count and not seen.exhausted:
            return
        cursor = self._cursors[id(statement)]
        again = Observation()
        end = True
        with self._connection.wrap_database_errors:
            if seen.count:
                again.see(cursor.fetchmany(seen.count))
            if seen.exhausted:
                end = cursor.fetchone() is None
        if self._verify and not (end and seen.same(again)):
            raise ReplayMismatch(text_of(statement), position)

    def _settle(self, *, done: bool) -> None:
        for entry in self._log.entries:
            if not isinstance(entry, Statement) or id(entry) not in self._cursors:
                continue
            replayed, recording = self._cursors[id(entry)], entry.cursor()
            if done and recording is not None and not recording.gone and recording.statement is entry:
                recording.cursor = replayed
                recording.carries = False  # it ran as the body wrote it
            else:
                close_cursor(replayed)


def code_of(error: Exception) -> tuple[str, str | None]:
    """What makes two errors the same: their type and code."""
    known = classify(error)
    return type(error).__name__, None if known is None else known.code


def may_pass(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Whether a new transaction (and a new connection, if need be) may get past the error."""
    known = classify(error)
    if known is None:
        return False
    if known.connection_lost or known.error_class in (ErrorClass.CONFLICT, ErrorClass.ROLE):
        return True
    # SQLite has one writer, so a lock is no more than a conflict there. Elsewhere a lock that was not to be had within its
    # time-out, or with NOWAIT, is an answer that the body has asked for.
    return known.error_class is ErrorClass.LOCK_WAIT and connection.vendor == "sqlite"


def text_of(statement: Statement) -> str:
    """The SQL text for a message: without parameters, and without the values that somebody wrote into it."""
    return fingerprint(statement.sql).text
