"""One call under `database_retry`: the loop in its synchronous and its asynchronous form, and what both share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart import django_conf, events
from stalwart.database import server_session
from stalwart.database.classification import Classification, chain, classify, failures
from stalwart.database.codes import TRANSIENT, ErrorClass
from stalwart.database.decision import GiveUp, Repeat, Unknown, decide
from stalwart.database.hooks import is_inside_block
from stalwart.database.origin import Site, origin_of
from stalwart.database.reconnect import Reconnection, close_quietly, give_back
from stalwart.database.watch import CallWatch, active
from stalwart.exceptions import CommitOutcomeUnknown, RetryInsideTransaction, StalwartError
from stalwart.policies.backoff import Backoff
from stalwart.policies.budget import UNLIMITED, RetryBudget
from stalwart.policies.deadline import Deadline
from stalwart.policies.marker import GIVEN_UP, mark, note

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """The arguments of the decorator, with time, sleep and randomness."""

    max_retries: int
    backoff: Backoff
    aliases: tuple[str, ...] | None
    on_types: tuple[type[Exception], ...]
    on_classes: frozenset[ErrorClass]
    random: Callable[[], float]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    budget: RetryBudget = UNLIMITED

    def watch(self, name: str, *, shared: bool = False) -> CallWatch | None:
        """A watch over the connections of this thread, None where a call must go straight through.

        Raises:
            RetryInsideTransaction: the call is made inside a transaction of somebody else.
        """
        if not django_conf.current().database.enabled:
            return None
        watched = [connections[alias] for alias in (connections if self.aliases is None else self.aliases)]
        for connection in watched:
            # `autocommit` is False before the first connect as well, so a closed connection says nothing.
            unmanaged = connection.connection is not None and not connection.autocommit
            if connection.in_atomic_block or unmanaged:
                if not (_is_watched_over(connection) or _is_a_testcase(connection)):
                    raise RetryInsideTransaction(name, connection.alias)
                return None
        return CallWatch(watched, shared=shared)


def _is_watched_over(connection: BaseDatabaseWrapper) -> bool:
    """Whether a layer of ours around the transaction repeats it as a whole."""
    return is_inside_block(connection) or any(
        isinstance(each, CallWatch) and each.concerns_this_context for each in connection.execute_wrappers
    )


def _is_a_testcase(connection: BaseDatabaseWrapper) -> bool:
    """Whether only Django's TestCase has a transaction open: what is tested there would run outside of one."""
    blocks = connection.atomic_blocks
    return bool(blocks) and all(getattr(each, "_from_testcase", False) for each in blocks)


def call(
    plan: RetryPlan, name: str, function: Callable[..., R], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> R:
    """Make a synchronous call under the plan."""
    watch = plan.watch(name)
    if watch is None:
        return function(*args, **kwargs)
    state: _State | None = None
    while True:
        try:
            with watch:
                result = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  told apart below; what is not ours is raised again
            failure = error
        else:
            _succeeded(plan, state)
            return result
        # Out of the except block on purpose: what comes now must not get this failure as its context.
        try:
            state = state or _State(plan, name)
            wait = state.after(failure, watch)
            state.release(watch)
            for reconnection in state.reconnections(watch):
                while not reconnection.attempt():
                    pause = reconnection.next_wait()
                    if pause is None:
                        raise state.out_of_time(failure, reconnection)
                    plan.sleep(pause)
                state.restored(reconnection)
                wait -= reconnection.seconds  # it was time waited, too
            plan.sleep(max(0.0, wait))
        finally:
            del failure  # its traceback holds this frame: a cycle
        watch = CallWatch(watch.connections)


async def call_async(
    plan: RetryPlan,
    name: str,
    function: Callable[..., Awaitable[R]],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> R:
    """Make a call of a coroutine function under the plan; connections are touched only in the thread of the ORM."""
    watch = await sync_to_async(_enter, thread_sensitive=True)(plan, name)
    if watch is None:
        return await function(*args, **kwargs)
    state: _State | None = None
    while True:
        try:
            result = await _watched(watch, function, args, kwargs)
        except Exception as error:  # noqa: BLE001  told apart below; what is not ours is raised again
            failure = error
        else:
            _succeeded(plan, state)
            return result
        try:
            state = state or _State(plan, name)
            wait = await sync_to_async(state.after, thread_sensitive=True)(failure, watch)
            await sync_to_async(state.release, thread_sensitive=True)(watch)
            for reconnection in state.reconnections(watch):
                attempt = sync_to_async(reconnection.attempt, thread_sensitive=True)
                while not await attempt():
                    pause = reconnection.next_wait()
                    if pause is None:
                        raise state.out_of_time(failure, reconnection)
                    await asyncio.sleep(pause)
                await sync_to_async(state.restored, thread_sensitive=True)(reconnection)
                wait -= reconnection.seconds  # it was time waited, too
            await asyncio.sleep(max(0.0, wait))
        finally:
            del failure
        watch = CallWatch(watch.connections, shared=True)
        await sync_to_async(watch.__enter__, thread_sensitive=True)()


def _succeeded(plan: RetryPlan, state: _State | None) -> None:
    if state is not None:
        state.succeeded()
    elif plan.budget.low:
        plan.budget.deposit()


def _enter(plan: RetryPlan, name: str) -> CallWatch | None:
    watch = plan.watch(name, shared=True)
    return None if watch is None else watch.__enter__()


async def _watched(
    watch: CallWatch, function: Callable[..., Awaitable[R]], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> R:
    token = active.set((*active.get(), watch))
    try:
        return await function(*args, **kwargs)
    finally:
        active.reset(token)
        # Shielded: a second cancellation must not leave the watch in the thread's connections.
        await asyncio.shield(sync_to_async(watch.__exit__, thread_sensitive=True)())


class _State:
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
                    self._name, self._calls, self._plan.max_retries, wait, *self._error(failure)
                )
            )
            return wait
        for connection in self._lost(watch):
            close_quietly(connection)  # so that whoever comes next does not meet the dead one
        if isinstance(verdict, Unknown):
            events.emit(events.OutcomeUnknown(self._name, verdict.alias, None, verdict.during))
            raise CommitOutcomeUnknown(verdict.alias, None, verdict.during) from failure
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

    def _error(self, failure: Exception) -> tuple[str, str, str | None]:
        chosen = self._chosen
        if chosen is None:
            return "opted in", type(failure).__name__, None
        return chosen.error_class.value, type(failure).__name__, chosen.code

    def _given_up(self, failure: Exception, reason: str) -> Exception:
        error_class, kind, code = self._error(failure)
        waits = ", ".join(f"{wait:.3f}" for wait in self._waits) or "none"
        note(
            failure,
            f"database_retry gave up on {self._name}: {reason}. Calls: {self._calls}; waits in s: {waits}; "
            f"last failure: {error_class}{'' if code is None else ' ' + code}.",
        )
        mark(failure)
        events.emit(events.RetryGivenUp(self._name, self._calls, reason, error_class, kind, code))
        return failure
