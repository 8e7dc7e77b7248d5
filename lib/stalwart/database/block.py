"""The outermost transaction of a resilient block: recording, recovery, COMMIT, and the end."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic, TransactionManagementError
from django.db.utils import Error

from stalwart import django_conf
from stalwart.database import isolation
from stalwart.database.classification import Classification, classify
from stalwart.database.codes import ErrorClass
from stalwart.database.commit import Committing
from stalwart.database.cursors import RecordingCursor
from stalwart.database.driver import close_cursor, open_cursor
from stalwart.database.hooks import Hooks
from stalwart.database.marker import row
from stalwart.database.origin import let_go
from stalwart.database.reconnect import close_quietly
from stalwart.database.recording import Statement
from stalwart.database.recovery import BlockPlan
from stalwart.database.replay import code_of, may_pass
from stalwart.database.statements import OWN_COMMAND, Kind
from stalwart.exceptions import TransactionLost
from stalwart.policies.marker import forbid, note


class Block(Committing):
    """One outermost transaction, from its begin to its end.

    Args:
        connection: Django's, in no transaction.
        plan: how.
        operation: for the records of what happened.
        replays: keep a log and replay it; without (the decorator), a failure goes to the caller, who runs it all again.
    """

    # The transaction's id comes along with the first statement that makes the server give it one, so at no round trip:
    # as one more column of an INSERT that returns its keys, or by a query in front of it, in the same message.
    COLUMN = ", pg_current_xact_id()"
    RIDE = "SELECT pg_current_xact_id(); "

    _hooks: Hooks | None = None
    _deliberate = False

    def __init__(
        self, connection: BaseDatabaseWrapper, plan: BlockPlan, operation: str, *, replays: bool
    ) -> None:
        super().__init__(connection, plan, operation, django_conf.current().database, replays=replays)
        self._atomic = Atomic(connection.alias, True, plan.durable)

    # -- begin ---------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Begin the transaction; waits for a usable connection, or a free lock (SQLite), as long as there is time."""
        while True:
            try:
                self._prepare()
                self._atomic.__enter__()
            except Error as error:
                failure = error
            else:
                break
            known = classify(failure, self._before)
            # A server that had no connection to give has begun nothing either.
            passes = known is not None and (
                may_pass(self.connection, failure) or known.error_class is ErrorClass.CAPACITY
            )
            if known is None or not passes or not self._once_more(failure):
                isolation.restore(self.connection, self._level_before)
                raise failure
            self._wait(known, failure)
        self._hooks = Hooks(self)
        self._hooks.install()
        self.running = True

    # -- while it runs: called by the cursors ----------------------------------------------------------------------

    def announce(self, kind: Kind) -> None:
        """A statement is about to run."""
        if kind.writes:
            self._about_to_write()
        elif kind.opaque:
            self._opaque = True
        if kind.sets:
            self._note_traits()  # before they are the transaction's own
        if kind.unreplayable == OWN_COMMAND:
            self._ticket = None  # it is another transaction that goes on behind it
        if kind.unreplayable is not None:
            self.log.refuse(f"it holds {kind.unreplayable}")

    def bypassed(self, what: str) -> None:
        """Something that the log cannot hold; it may write."""
        if self.running:
            self._about_to_write()
            self.log.refuse(f"it holds {what}")

    def _about_to_write(self) -> None:
        if self._marks and self._marker_table is None:
            raise row.missing(
                self.connection
            )  # now, and not at COMMIT, when it would be the whole block's loss
        self._wrote = True

    def declare_side_effect(self, what: str) -> None:
        """The body has done something outside the database that must not be done twice."""
        self.side_effect = self.side_effect or what
        self.log.refuse(f"it has a side effect: {what}")

    def rides(self, cursor: Any, sql: Any) -> bool:
        """Whether the query for the transaction's id goes along with this statement."""
        return (
            self._postgresql and self._ticket is None and isinstance(sql, str) and isolation.can_ride(cursor)
        )

    def arrived(self, cursor: Any) -> None:
        """The id is there, as the first of two results."""
        self._ticket = self._make_ticket(cursor.pgresult.get_value(0, 0))
        cursor.nextset()

    def arrived_beside_keys(self, cursor: Any) -> None:
        """The id is there, as the last column; not if no row was inserted."""
        result = cursor.pgresult
        if result.ntuples:
            self._ticket = self._make_ticket(result.get_value(0, result.nfields - 1))

    def create_cursor(self, *args: Any, **kwargs: Any) -> Any:
        """In the place of the connection's: the driver refuses one when it knows that its connection is gone."""
        connection: Any = self.connection
        if self._doom is not None:
            self.refuse_when_over()  # else it would be the driver's "the connection is closed", and not what closed it
        while True:
            try:
                return type(connection).create_cursor(connection, *args, **kwargs)
            except connection.Database.Error as error:
                refusal: Exception = error
            try:
                with connection.wrap_database_errors:
                    raise refusal
            except Error as error:
                if not (self.running and self.recovered(error, None, None)):
                    raise

    @property
    def given_up(self) -> bool:
        """The transaction is gone, and the body does not know it yet."""
        return self._doom is not None

    def refuse_when_over(self) -> None:
        """Raise for a statement after the transaction was given up."""
        if self._doom is not None and not self.running and self._atomic in self.connection.atomic_blocks:
            raise TransactionManagementError(
                f"this transaction was given up and rolled back; leave the block. It failed with: {self._doom}"
            ) from self._doom

    def recovered(self, error: Error, statement: Statement | None, cursor: RecordingCursor | None) -> bool:
        """A statement failed. Whether the transaction stands again, on a new session, up to before that statement.

        Raises:
            ReplayMismatch: the database has changed under the transaction.
        """
        known = classify(error, self._before)
        lost = known is not None and known.connection_lost
        if (
            isinstance(error, TransactionManagementError)
            or known is None
            or not may_pass(self.connection, error)
        ):
            self._failed_for_good(error, statement)
            return False
        if not self._once_more(error):
            if lost:
                self._give_up(error)
            else:
                self._failed_for_good(error, statement)
            return False
        self._restore(known, error)
        if cursor is not None:
            close_cursor(cursor.cursor)
            cursor.cursor = open_cursor(self.connection, getattr(cursor.cursor, "name", None))
        let_go(error)
        return True

    def _failed_for_good(self, error: Error, statement: Statement | None) -> None:
        if statement is not None:
            statement.error = code_of(error)
            self.log.add(statement)

    # -- the end -------------------------------------------------------------------------------------------------------

    def exit(self, exc_type: Any, exc: BaseException | None, traceback: Any) -> None:
        """Commit or roll back. Raises where plain `atomic` would end without a word and with nothing written."""
        connection = self.connection
        try:
            self._end(exc_type, exc, traceback)
        except Exception as error:
            self._keep_from_repeats(error)
            raise
        finally:
            self._keep_from_repeats(exc)
            if self._hooks is not None:
                self._over()
            if not connection.in_atomic_block:
                connection.needs_rollback = False
                if not self.committed:
                    connection.run_on_commit = []  # they must not run after somebody else's COMMIT

    def _end(self, exc_type: Any, exc: BaseException | None, traceback: Any) -> None:
        lost = self._silently_lost() if exc is None else None
        if lost is not None:
            self._leave(type(lost), lost, None)
            raise lost
        self._leave(exc_type, exc, traceback)

    def _keep_from_repeats(self, error: BaseException | None) -> None:
        if self.side_effect is not None and error is not None:
            forbid(error, f"it has a side effect: {self.side_effect}")  # whoever is around the block

    def await_another(self, failure: Exception, known: Classification) -> None:
        """For the decorator, after the end: wait for what another transaction needs. Raises the failure when there is none."""
        if not self._once_more(failure):
            raise failure
        self._wait(known, failure)

    def _leave(self, exc_type: Any, exc: BaseException | None, traceback: Any) -> None:
        try:
            self._atomic.__exit__(exc_type, exc, traceback)
        except Exception as error:
            if exc is not None and isinstance(error, Error):
                # The transaction is rolled back, whatever Django met when it wanted to go on: the body's error counts.
                self._drop_connection()
                note(exc, f"resilient_transaction: afterwards the connection was not to be had: {error}")
                return
            if self._doom is not None and error is not self._doom and not self.committed:
                self._drop_connection()
                raise self._doom from error
            raise

    def _drop_connection(self) -> None:
        self.connection.in_atomic_block = False
        close_quietly(self.connection)

    def _silently_lost(self) -> BaseException | None:
        """What to raise when the body ended well and its writes are gone all the same."""
        connection = self.connection
        if self._doom is not None:
            return self._doom
        if self._atomic not in connection.atomic_blocks:
            return TransactionLost(connection.alias, "the connection was opened anew inside the block")
        if connection.closed_in_transaction:
            return TransactionLost(
                connection.alias, "connection.close() or close_old_connections() was called inside the block"
            )
        if connection.needs_rollback and not self._deliberate:
            lost = TransactionLost(
                connection.alias,
                "an error inside the block was caught where no savepoint could undo its half-done work",
            )
            lost.__cause__ = getattr(connection, "rollback_exc", None)
            return lost
        return None

    def _over(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()
            self._hooks = None  # it knows us, too: nothing here should wait for the garbage collector
        super()._over()

    def set_rollback(self, rollback: bool) -> None:
        """In the place of the connection's: a rollback that the body asks for is no loss."""
        type(self.connection).set_rollback(self.connection, rollback)
        self._deliberate = rollback
