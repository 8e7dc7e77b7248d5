"""COMMIT, and what became of it when its reply is lost."""

from __future__ import annotations

from typing import Any

from django.db.utils import Error

from stalwart import events
from stalwart.database import isolation
from stalwart.database.classification import classify
from stalwart.database.codes import ENDED_WHILE_IDLE, ErrorClass
from stalwart.database.driver import ask
from stalwart.database.marker import row
from stalwart.database.outcome import Outcome, resolve
from stalwart.database.reconnect import close_quietly
from stalwart.database.recovery import Recoverable
from stalwart.database.replay import Replay, may_pass
from stalwart.database.state import WrapperState
from stalwart.exceptions import CommitOutcomeUnknown, ReplayMismatch, TransactionLost
from stalwart.policies.deadline import Deadline


class Committing(Recoverable):
    """The part of a block that commits.

    Attributes:
        committed: COMMIT is done, for sure.
    """

    committed = False

    def commit(self) -> None:
        """In the place of the connection's `_commit`, called while Django leaves the block."""
        while True:
            sent = False
            try:
                self._refuse_a_silent_rollback()
                # Without a log there is nothing by which it could be told later that nothing was written.
                if self._wrote or self._opaque or not self.log.recording:
                    self._fetch_id()
                sent = True
                self._send_commit()
            except Error as error:
                failure = error
            else:
                break
            if self._resolved(failure, sent=sent):
                break
        self.committed = True
        self._over()

    def _resolved(self, error: Error, *, sent: bool) -> bool:
        """COMMIT failed. True: it is done all the same. False: it is not, and a new transaction awaits its COMMIT."""
        known = classify(error, self._before)
        if known is None or not (
            may_pass(self.connection, error) or known.error_class is ErrorClass.AMBIGUOUS
        ):
            raise error
        ambiguous = (
            sent
            and (known.connection_lost or known.error_class is ErrorClass.AMBIGUOUS)
            and not known.unsent
            and known.code not in ENDED_WHILE_IDLE
        )
        if ambiguous and self._ask_what_became_of_it(error):
            return True
        if not self._once_more(error):
            raise error
        self._restore(known, error)
        return False

    def _ask_what_became_of_it(self, error: Error) -> bool:
        """Whether the transaction is committed; raises when that cannot be found out."""
        connection, ticket, began = self.connection, self._ticket, self._plan.clock()
        self._note_traits()  # before another connection takes this one's place
        state = WrapperState.take(connection)
        self.running = False
        silent = self._has_no_id or not (self._wrote or self._opaque)
        harmless = ticket is None and self._postgresql and silent
        outcome: Outcome | None = None
        deadline = Deadline.after(self._reconnect_within, self._plan.clock)
        try:
            while outcome is None:
                # Only a server that takes writes can say for certain that a marker will never be written.
                if self._reconnect(connection.connection, writable=self._marker is not None) is not None:
                    outcome = Outcome.ABORTED if harmless else Outcome.UNKNOWN
                elif harmless and not (self._has_no_id or self._only_reads()):
                    outcome = Outcome.UNKNOWN
                elif harmless:
                    # It had nothing to commit. Only what a serializable one has read is not certain before its COMMIT is.
                    serializable = isolation.is_serializable(connection, self._plan.isolation)
                    outcome = Outcome.ABORTED if serializable else Outcome.COMMITTED
                else:
                    outcome = self._look(deadline)
        finally:
            state.put(connection)
            self.running = True
        if outcome is Outcome.UNKNOWN:
            xid = None if ticket is None else ticket.xid
            close_quietly(connection)
            events.emit(events.OutcomeUnknown(self._operation, connection.alias, xid, "COMMIT"))
            unknown = CommitOutcomeUnknown(connection.alias, xid)
            self._give_up(unknown)
            raise unknown from error
        done = outcome is Outcome.COMMITTED
        if ticket is not None:
            seconds = self._plan.clock() - began
            events.emit(events.CommitResolved(self._operation, connection.alias, ticket.xid, done, seconds))
        return done

    def _only_reads(self) -> bool:
        """Whether the log runs where the server lets nothing be written: a view can hold a function that writes."""
        connection = self.connection
        try:
            self._begin_again()
            ask(connection, "SELECT set_config('transaction_read_only', 'on', true)")
            Replay(connection, self.log, verify=False).run()
            return not self._differences()
        except (Error, ReplayMismatch):
            return False
        finally:
            if self._roll_back():
                connection.set_autocommit(True)
            else:
                close_quietly(connection)

    def _look(self, deadline: Deadline) -> Outcome | None:
        """What a new connection says; None when it was lost as well and another one may be tried."""
        ticket = self._ticket
        try:
            if ticket is None:
                return Outcome.UNKNOWN
            if self._marker is not None and self._marker_table is not None:
                return row.resolve(self.connection, self._marker_table, self._marker, ticket, deadline)
            return resolve(self.connection, ticket, deadline, self._plan.sleep)
        except Error as error:
            again = may_pass(self.connection, error) and deadline.fits(0)
            return None if again else Outcome.UNKNOWN

    def _refuse_a_silent_rollback(self) -> None:
        """The server answers COMMIT with a mere ROLLBACK when an error was caught without a savepoint."""
        driver: Any = self.connection.connection
        if self._postgresql:
            gone = isolation.has_failed(driver)
        else:
            gone = self.connection.vendor == "sqlite" and not driver.in_transaction
        if gone:
            self._roll_back()
            lost = TransactionLost(
                self.connection.alias,
                "an error inside the block was caught, and the server had given the transaction up",
            )
            self._give_up(lost)
            raise lost

    def _send_commit(self) -> None:
        """Django's own COMMIT, or ours with a marker if anything was written."""
        connection: Any = self.connection
        writes = self._ticket is not None and (self._wrote or self._opaque)
        if writes and self._marker_table is not None and connection.connection is not None:
            self._marker = row.new_key()
            row.commit(connection, self._marker_table, self._marker)
        else:
            type(connection)._commit(connection)

    def _over(self) -> None:
        """Watch no longer, and set back what was set. A second time does nothing."""
        self.running = False
        if self._level_before is not None:
            isolation.restore(self.connection, self._level_before)
            self._level_before = None
