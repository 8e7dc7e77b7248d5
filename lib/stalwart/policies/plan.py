"""What an operation goes by (`Plan`), and what has happened so far in one call of it that failed (`Course`)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stalwart import events
from stalwart.exceptions import BulkheadFull, CircuitOpen, CommitOutcomeUnknown, StalwartError
from stalwart.policies.backoff import Backoff
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.budget import RetryBudget
from stalwart.policies.deadline import ambient
from stalwart.policies.marker import GIVEN_UP, links, mark, note
from stalwart.policies.registry import NotHere, objection_to
from stalwart.policies.switch import Switch

logger = logging.getLogger("stalwart.policies")


@dataclass(frozen=True, slots=True)
class Plan:
    """The arguments of the decorator, with time, sleep and randomness.

    Attributes:
        name: of the operation, for notes and events.
        max_retries: repeats at most.
        breaker: one that is disabled to do without.
        budget: `UNLIMITED` to do without.
        on: what is worth a repeat: a truth value, or the least number of seconds to wait before it.
        timeout: seconds for all calls and waits together.
        attempt_timeout: seconds for one call.
        fallback: called with the operation's own arguments in its place.
        sleep: `time.sleep` for functions, `asyncio.sleep` for coroutine functions, or a test's.
    """

    name: str
    max_retries: int
    breaker: CircuitBreaker
    budget: RetryBudget
    on: Callable[[Exception], object]
    backoff: Backoff
    timeout: float | None
    attempt_timeout: float | None
    fallback: Callable[..., Any] | None
    switch: Switch
    clock: Callable[[], float]
    sleep: Callable[[float], Any]
    random: Callable[[], float]

    @property
    def limited(self) -> bool:
        """Whether the operation has a limit of time of its own."""
        return self.timeout is not None or self.attempt_timeout is not None

    def ends(self, began: float) -> float | None:
        """The moment at which an operation that began then must be done: its own, or that of one around it."""
        around = ambient.get()
        if self.timeout is None:
            return around
        own = began + self.timeout
        return own if around is None or own < around else around

    def attempt_ends(self, began: float, until: float | None) -> float | None:
        """The moment at which a call that began then must be done."""
        if self.attempt_timeout is None:
            return until
        own = began + self.attempt_timeout
        return own if until is None or own < until else until


class Course:
    """One call of an operation, from its first failure on. To be made outside of any `except` block."""

    __slots__ = ("_before", "_calls", "_plan", "_until", "_waits", "failure")

    def __init__(self, plan: Plan, until: float | None) -> None:
        self._plan = plan
        self._until = until
        self._calls = 0
        self._waits: list[float] = []
        self.failure: Exception | None = None
        # What the caller was handling when it called us is in the context of every error, and is none of ours.
        self._before = sys.exception()

    def after(self, failure: Exception) -> float | None:
        """Seconds to wait before the next call, already paid for; None when there is none: then `failure` is to be raised."""
        plan = self._plan
        self._calls += 1
        self.failure = failure
        found = list(links(failure, self._before))
        # Ours: a refusal, which a repeat would only meet again, or an outcome that a repeat could double.
        if any(isinstance(link, StalwartError) or GIVEN_UP in link.__dict__ for link in found):
            return None
        wanted = self._wanted(failure)
        if not wanted:
            if self._calls > 1:
                self._give_up(f"{type(failure).__name__} is not worth a repeat")
            return None
        if plan.max_retries == 0:
            return None
        if self._calls > plan.max_retries:
            self._give_up(f"max_retries={plan.max_retries} are used up")
            return None
        if (objection := objection_to(failure, self._before)) is not None:
            self._give_up(objection, marked=not isinstance(objection, NotHere))
            return None
        wait = plan.backoff.wait(self._calls, plan.random)
        if wanted is not True and isinstance(wanted, (int, float)):
            # Not below what the dependency asks for, but no more than 5 s on its word alone: a wrong header
            # must not park the caller.
            wait = max(wait, min(float(wanted), wait + 5.0))
        if self._until is not None and plan.clock() + wait >= self._until:
            self._give_up(f"a wait of {wait:.3f} s does not fit into its time")
            return None
        phase = plan.breaker.phase
        if phase.until - plan.breaker.clock() > wait:
            self._give_up(f"circuit {plan.breaker.name!r} has opened")
            return None
        if not plan.budget.debit():
            self._give_up(f"the retry budget of {plan.budget.name!r} is used up")
            return None
        self._waits.append(wait)
        events.emit(
            events.RetryScheduled(
                plan.name, self._calls, plan.max_retries, wait, "failure", type(failure).__name__, None
            )
        )
        return wait

    def succeeded(self) -> None:
        """A repeat succeeded: its price is given back."""
        self._plan.budget.refund()

    def refused(self) -> None:
        """The circuit opened during a wait: the repeat is not made, the last failure is to be raised."""
        self._plan.budget.refund()
        self._give_up(f"circuit {self._plan.breaker.name!r} has opened")

    def may_fall_back(self, failure: Exception) -> bool:
        """Whether a fallback may answer in the place of `failure`; if so, this is told as an event.

        Not in the place of a mistake, which it would hide, nor of an unknown outcome, which must reach somebody who can
        look whether the write is there.
        """
        found = list(links(failure, self._before))
        if any(isinstance(link, CommitOutcomeUnknown) for link in found):
            return False
        refused = isinstance(failure, (CircuitOpen, BulkheadFull))
        if not refused and not self._wanted(failure):
            return False
        events.emit(events.FallbackUsed(self._plan.name, self._calls, type(failure).__name__))
        return True

    def _wanted(self, failure: Exception) -> object:
        try:
            return self._plan.on(failure)
        except Exception:  # must not take the place of the error that it was asked about
            logger.exception("`on` of operation %r failed; the call is not repeated", self._plan.name)
            return False

    def _give_up(self, reason: str, *, marked: bool = True) -> None:
        failure = self.failure
        assert failure is not None
        waits = ", ".join(f"{wait:.3f}" for wait in self._waits) or "none"
        note(
            failure,
            f"resilient_operation gave up on {self._plan.name}: {reason}. Calls: {self._calls}; waits in s: {waits}.",
        )
        if marked:
            mark(failure)
        events.emit(
            events.RetryGivenUp(self._plan.name, self._calls, reason, "failure", type(failure).__name__, None)
        )
