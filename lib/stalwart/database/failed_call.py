"""A call that failed at least once: what the failure means, whether there is another call, and when."""

from __future__ import annotations

import sys

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart import django_conf, events
from stalwart.database import server_session
from stalwart.database.classification import Classification, chain, classify, failures
from stalwart.database.codes import TRANSIENT, ErrorClass
from stalwart.database.decision import GiveUp, Repeat, Unknown, decide
from stalwart.database.origin import Site, origin_of
from stalwart.database.reconnect import Reconnection, close_quietly, give_back
from stalwart.database.retry_plan import RetryPlan
from stalwart.database.watch import CallWatch
from stalwart.exceptions import CommitOutcomeUnknown, StalwartError
from stalwart.policies.deadline import Deadline
from stalwart.policies.marker import GIVEN_UP, forbid, mark, note


class FailedCall:
    """What happened so far in a call that failed at least once."""

    def __init__(self, plan: RetryPlan, name: str) -> None:
        self._plan = plan
        self._name = name
        self._calls = 0
        self._waits: list[float] = []
        self._deadline: Deadline | None = None
        self._chosen: Classification | None = None
        # What the caller was handling when it called us is in the context of every error, and is none of ours.
        self._before = sys.exception()

    def after(self, failure: Exception, watch: CallWatch) -> float:
        """Seconds to wait before the next call; raises when there is none."""
        self._calls += 1
        links = list(chain(failure, self._before))
        known = failures(failure, self._before)
        self._chosen = chosen = classify(failure, self._before)
        unknown = next((link for link in links if isinstance(link, CommitOutcomeUnknown)), None)
        if unknown is not None and isinstance(failure, Error):
            raise unknown  # leaving the block met a server that is away, and that hid it
        if any(isinstance(link, StalwartError) or GIVEN_UP in link.__dict__ for link in links):
            raise failure
        if chosen is not None and chosen.origin.connection not in (None, *watch.connections):
            raise failure  # of a database that `using` leaves out: what was written there is not known
        verdict = decide(
            known,
            chosen,
            opted_in=isinstance(failure, self._plan.on_types),
            on=TRANSIENT | self._plan.on_classes,
            committed=watch.committed,
            doubtful=watch.doubtful,
            hook_failed=any(origin_of(link).site is Site.HOOK for link in links),
            lost=watch.lost,
        )
        repeats = isinstance(verdict, Repeat) and self._calls <= self._plan.max_retries
        reason = verdict.reason if isinstance(verdict, GiveUp) else None
        if repeats and self._is_overload() and not self._plan.budget.debit():
            repeats, reason = False, f"the retry budget of {self._plan.budget.name!r} is used up"
        elif isinstance(verdict, Repeat):
            reason = f"max_retries={self._plan.max_retries} are used up"
        if repeats:
            wait = self._plan.backoff.wait(self._calls, self._plan.random)
            self._waits.append(wait)
            events.emit(
                events.RetryScheduled(
                    self._name, self._calls, self._plan.max_retries, wait, *self.error(failure)
                )
            )
            return wait
        for connection in self._lost(watch):
            close_quietly(connection)  # so that whoever comes next does not meet the dead one
        if isinstance(verdict, Unknown):
            events.emit(events.OutcomeUnknown(self._name, verdict.alias, None, verdict.during))
            raise CommitOutcomeUnknown(verdict.alias, None, verdict.during) from failure
        if reason is not None and isinstance(verdict, GiveUp):
            forbid(failure, reason)
        raise failure if reason is None else self._given_up(failure, reason)

    def _is_overload(self) -> bool:
        """Whether the server has answered that it has no room for this: repeats are what makes that worse.

        After a lost connection a repeat waits for the server, and a conflict says that it is well: both are free.
        """
        chosen = self._chosen
        return chosen is not None and chosen.error_class is ErrorClass.CAPACITY and not chosen.connection_lost

    def succeeded(self) -> None:
        """A repeat has succeeded: what it cost is given back."""
        if self._is_overload():
            self._plan.budget.refund()

    def release(self, watch: CallWatch) -> None:
        """Give pooled connections back for the time of the wait: others can use them, we cannot."""
        lost = self._lost(watch)
        for connection in watch.connections:
            if connection not in lost:
                give_back(connection)

    def reconnections(self, watch: CallWatch) -> list[Reconnection]:
        """What has to be done before the next call, per lost connection. The time for it counts from the first one on."""
        lost = self._lost(watch)
        if not lost or self._chosen is None:
            return []
        if self._deadline is None:
            self._deadline = Deadline.after(django_conf.current().database.reconnect_within, self._plan.clock)
        return [
            Reconnection(
                connection,
                broken=self._chosen.origin.driver,
                deadline=self._deadline,
                writable=self._chosen.error_class is ErrorClass.ROLE,
                random=self._plan.random,
                clock=self._plan.clock,
            )
            for connection in lost
        ]

    def restored(self, reconnection: Reconnection) -> None:
        """A connection answers again: the lost one's session, which may hold locks, has nobody any more."""
        if self._chosen is not None:
            server_session.end(reconnection.connection, self._chosen.origin.driver)
        alias = reconnection.connection.alias
        events.emit(events.ConnectionRestored(self._name, alias, reconnection.attempts, reconnection.seconds))

    def out_of_time(self, failure: Exception, reconnection: Reconnection) -> Exception:
        """The failure, to be raised because no usable connection came in time."""
        return self._given_up(failure, reconnection.why())

    def _lost(self, watch: CallWatch) -> list[BaseDatabaseWrapper]:
        """The connections that the failed call left unusable; where the error does not tell which, all open ones."""
        chosen, lost = self._chosen, []
        if chosen is not None and (chosen.connection_lost or chosen.error_class is ErrorClass.ROLE):
            failed = chosen.origin.connection
            if failed is None:
                lost = [each for each in watch.connections if each.connection is not None]
            elif failed in watch.connections:
                lost = [failed]
        return lost + [
            each
            for each in watch.connections
            if each not in lost and getattr(each.connection, "closed", False) is True
        ]

    def error(self, failure: Exception) -> tuple[str, str, str | None]:
        """Its class, type and code, for the records."""
        chosen = self._chosen
        if chosen is None:
            return "opted in", type(failure).__name__, None
        return chosen.error_class.value, type(failure).__name__, chosen.code

    def _given_up(self, failure: Exception, reason: str) -> Exception:
        error_class, kind, code = self.error(failure)
        waits = ", ".join(f"{wait:.3f}" for wait in self._waits) or "none"
        note(
            failure,
            f"database_retry gave up on {self._name}: {reason}. Calls: {self._calls}; waits in s: {waits}; "
            f"last failure: {error_class}{'' if code is None else ' ' + code}.",
        )
        mark(failure)
        events.emit(events.RetryGivenUp(self._name, self._calls, reason, error_class, kind, code))
        return failure
