"""A transaction that can be begun anew and brought back to where it was."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart import events
from stalwart.conf import DatabaseConfig
from stalwart.database import isolation, server_session
from stalwart.database.classification import Classification, classify
from stalwart.database.codes import ErrorClass
from stalwart.database.driver import ask, close_cursor
from stalwart.database.marker import row
from stalwart.database.outcome import Ticket, end_session, incarnation
from stalwart.database.reconnect import Reconnection
from stalwart.database.recording import Log, Statement
from stalwart.database.replay import Replay, code_of, may_pass
from stalwart.database.state import WrapperState
from stalwart.exceptions import ReplayMismatch
from stalwart.policies.backoff import Backoff
from stalwart.policies.deadline import Deadline
from stalwart.policies.marker import GIVEN_UP, mark, note


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """The arguments of `resilient_transaction`, with time, sleep and randomness."""

    max_retries: int
    isolation: str | None
    verify: bool
    durable: bool
    backoff: Backoff
    random: Callable[[], float]
    clock: Callable[[], float]
    sleep: Callable[[float], None]


class Recoverable:
    """The part of a block that begins, replays and gives up.

    Attributes:
        running: statements are watched. Between enter and COMMIT, unless the transaction was given up.
        attempts: transactions that failed and were followed by another one.
        log: what the body did.
        side_effect: what the body declared to have done outside the database; it must not run again.
    """

    running = False
    attempts = 0
    side_effect: str | None = None
    _deadline: Deadline | None = None
    _ticket: Ticket | None = None
    _token = ""
    _marker_table: str | None = None
    _marker: uuid.UUID | None = None
    _traits: tuple[bytes | None, ...] | None = None
    _has_no_id = False
    _wrote = False
    _opaque = False
    _doom: BaseException | None = None
    _level_before: Any = None

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        plan: BlockPlan,
        operation: str,
        config: DatabaseConfig,
        *,
        replays: bool,
    ) -> None:
        self.connection = connection
        postgresql = connection.vendor == "postgresql" and isolation.is_psycopg3()
        self.log = Log(config.replay_max_bytes, lazy=connection.vendor == "sqlite", recording=replays)
        self._replays = replays
        self._plan = plan
        self._operation = operation
        self._reconnect_within = config.reconnect_within
        self._postgresql = postgresql
        self._marks = postgresql and config.commit_marker
        if replays and not postgresql and connection.vendor != "sqlite":
            self.log.refuse(f"replaying is not built for {connection.display_name} with this driver")
        # What the caller was handling is in the context of every error, and none of ours.
        self._before = sys.exception()

    def _prepare(self) -> None:
        """Have an open connection that the next BEGIN starts right on."""
        # Django would look at the next BEGIN, and the level would go with the session that it then gives up.
        self.connection.close_if_health_check_failed()
        if self.connection.connection is None:
            self.connection.ensure_connection()
        if self._plan.isolation is not None:
            self._level_before = isolation.set_level(
                self.connection, self._plan.isolation, self._level_before
            )
        if self._postgresql:
            self._token = incarnation(self.connection)
        if self._marks:
            self._marker_table = row.find(self.connection)

    def _make_ticket(self, xid: str | bytes) -> Ticket:
        driver: Any = self.connection.connection
        return Ticket(int(xid), driver.pgconn.backend_pid, self._token)

    def _fetch_id(self) -> None:
        """Ask for the transaction's id, if it has not come along with a statement."""
        if self._postgresql and self._ticket is None:
            [(xid,)] = ask(self.connection, "SELECT pg_current_xact_id_if_assigned()::text")
            if xid is not None:
                self._ticket = self._make_ticket(xid)
            self._has_no_id = xid is None

    def _once_more(self, error: Exception) -> bool:
        """Count a failure; with no further attempt, say in the error why."""
        if self.running and not self._replays:
            return False  # the decorator runs the function again
        if self.running and self.log.refusal is not None:
            note(error, f"resilient_transaction did not replay this transaction: {self.log.refusal}.")
            return False
        if self.attempts >= self._plan.max_retries:
            reason = f"max_retries={self._plan.max_retries} are used up"
            note(error, f"resilient_transaction gave up: {reason}.")
            mark(error)
            code = code_of(error)
            events.emit(
                events.RetryGivenUp(self._operation, self.attempts + 1, reason, _class_of(error), *code)
            )
            return False
        self.attempts += 1
        return True

    def _give_up(self, error: BaseException) -> None:
        """Nothing more can be done in this transaction; the end of the block will say so even if the body does not."""
        self._doom = error
        self.running = False
        self.connection.needs_rollback = True

    def _restore(self, known: Classification, error: Error) -> None:
        """A new transaction in which all is as it was. On failure the block is given up, and the error raised."""
        self._note_traits()
        state = WrapperState.take(self.connection)
        self.running = False  # what runs now is ours
        self._close_open_cursors()
        began = self._plan.clock()
        try:
            self._replay_until_it_stands(known, error)
        except BaseException as fatal:
            state.put(self.connection)
            self._give_up(fatal)
            raise
        state.put(self.connection)
        self.running = True
        events.emit(
            events.TransactionReplayed(
                self._operation, self.connection.alias, self.attempts, len(self.log.entries),
                self._plan.clock() - began, _class_of(error), *code_of(error),
            )
        )  # fmt: skip

    def _note_traits(self) -> None:
        """Note the settings of the session, as the server has told them; a lost connection still knows them."""
        if self._traits is None and self._postgresql:
            self._traits = isolation.traits(self.connection.connection)

    def _close_open_cursors(self) -> None:
        """Those that still read from the failed transaction, and hold its locks with it (SQLite); they get successors."""
        for entry in self.log.entries:
            if isinstance(entry, Statement) and (entry.name is not None or not self._postgresql):
                cursor = entry.cursor()
                if cursor is not None and not cursor.gone and cursor.statement is entry:
                    close_cursor(cursor.cursor)

    def _replay_until_it_stands(self, known: Classification, error: Error) -> None:
        failure = error
        while True:
            try:
                self._wait(known, failure)
                self._begin_again()
                self._refuse_another_session(failure)
                Replay(self.connection, self.log, verify=self._plan.verify).run()
                # Where an error has just been seen, and its savepoint awaits its rollback, the server takes no question.
                if self._wrote and not (
                    self._postgresql and isolation.has_failed(self.connection.connection)
                ):
                    self._fetch_id()
                return
            except ReplayMismatch:
                self._roll_back()
                raise
            except Error as again:
                failure = again
            latest = classify(failure, self._before)
            given_up = GIVEN_UP in failure.__dict__  # there was no usable connection in time
            if (
                given_up
                or latest is None
                or not may_pass(self.connection, failure)
                or not self._once_more(failure)
            ):
                self._roll_back()
                raise failure
            known = latest

    def _begin_again(self) -> None:
        self._ticket = None
        self._marker = None
        self._prepare()
        self.connection.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)

    def _refuse_another_session(self, error: Error) -> None:
        differs = self._differences()
        if differs:
            note(
                error,
                "resilient_transaction did not replay this transaction: the lost session had settings of its own "
                f"({', '.join(differs)}), and the new one has not. Set them in a receiver of connection_created.",
            )
            mark(error)
            raise error

    def _differences(self) -> list[str]:
        """The settings in which the session is another one than the log was made in."""
        if not (self._postgresql and self.log.entries):
            return []
        return isolation.differences(self._traits, isolation.traits(self.connection.connection))

    def _wait(self, known: Classification, error: Exception) -> None:
        """End the failed transaction, wait a moment, and have a usable connection again."""
        connection = self.connection
        lost = known.connection_lost or known.error_class is ErrorClass.ROLE or connection.connection is None
        if not lost:
            lost = not self._roll_back()
        wait = self._plan.backoff.wait(max(self.attempts, 1), self._plan.random)
        code = code_of(error)
        events.emit(
            events.RetryScheduled(
                self._operation, self.attempts, self._plan.max_retries, wait, known.error_class.value, *code
            )
        )
        self._plan.sleep(wait)
        if not lost:
            return
        gone = known.origin.driver or connection.connection
        reconnection = self._reconnect(gone, writable=known.error_class is ErrorClass.ROLE)
        if reconnection is not None:
            note(error, f"resilient_transaction gave up: {reconnection.why()}.")
            mark(error)
            raise error
        # The server may not know yet that the client is gone, and its session holds the locks that we need.
        if self._ticket is not None and known.connection_lost:
            with suppress(Error):  # a failing connection shows again in what comes next
                end_session(connection, self._ticket)
        else:
            server_session.end(connection, gone)

    def _reconnect(self, broken: Any, *, writable: bool) -> Reconnection | None:
        """Have a usable connection in the place of a broken one. Without one in time: the attempts that were made."""
        if self._deadline is None:
            self._deadline = Deadline.after(self._reconnect_within, self._plan.clock)
        reconnection = Reconnection(
            self.connection,
            broken=broken,
            deadline=self._deadline,
            writable=writable,
            random=self._plan.random,
            clock=self._plan.clock,
        )
        while not reconnection.attempt():
            pause = reconnection.next_wait()
            if pause is None:
                return reconnection
            self._plan.sleep(pause)
        self._deadline = None  # the next outage has its own time
        events.emit(
            events.ConnectionRestored(
                self._operation, self.connection.alias, reconnection.attempts, reconnection.seconds
            )
        )
        return None

    def _roll_back(self) -> bool:
        """Whether the server has rolled back and the session lives."""
        driver: Any = self.connection.connection
        if driver is None or getattr(driver, "closed", False) is True:
            return False
        try:
            with self.connection.wrap_database_errors:
                driver.rollback()
        except Error:
            return False
        return True


def _class_of(error: BaseException) -> str:
    known = classify(error)
    return "unknown" if known is None else known.error_class.value
