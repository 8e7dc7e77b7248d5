"""`CircuitBreaker`: stop calling a dependency that fails or is slow, and find out when it is back."""

from __future__ import annotations

import logging
import random as _random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, Unpack

from stalwart import events
from stalwart.exceptions import CircuitOpen, ConfigurationError
from stalwart.policies.circuit_settings import BreakerOptions, BreakerSettings
from stalwart.policies.circuit_sharing import CircuitSharing
from stalwart.policies.faults import matcher, says_nothing
from stalwart.policies.guard import Guard
from stalwart.policies.phases import (
    NOTHING,
    STALE,
    Closed,
    Disabled,
    ForcedOpen,
    HalfOpen,
    Open,
    Permit,
    Phase,
    State,
)
from stalwart.policies.shared import Shared
from stalwart.policies.switch import ERRORS, Switch
from stalwart.policies.window import Totals

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("stalwart.policies")


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """A circuit as it is now.

    Attributes:
        name: of the circuit.
        state: word of `State`.
        calls: in the window; 0 where none is kept.
        failure_rate, slow_rate: their shares, 0 to 1.
        retry_after: seconds until the next probe, 0 when calls are let through.
        changes: how often the state changed.
    """

    name: str
    state: str
    calls: int
    failure_rate: float
    slow_rate: float
    retry_after: float
    changes: int

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict."""
        return asdict(self)


class CircuitBreaker:
    """`CircuitBreaker("quotes")` is the same circuit wherever it is written in this process.

    Use it as a decorator (`@CircuitBreaker("quotes")`), around a block (`with CircuitBreaker("quotes").guard():`, also
    `async with`), for one call (`.call(function, ...)`), or through `resilient_operation(name="quotes")`.

    No lock is held while the caller's code or a listener runs, and on the way of a successful call there is none at all. Changes of
    state are sent as `stalwart.events.CircuitChanged`.

    Args:
        name: of the dependency.
        clock, random: for tests; seconds of a monotonic clock, numbers in [0, 1).
        sharing: where processes tell each other of changes, see `CircuitSharing`.
        options: see `BreakerSettings`. Give them in one place; elsewhere only name the circuit.

    Raises:
        ConfigurationError: for options that cannot work, or other ones than this circuit was given before.

    Attributes:
        settings: what it goes by.
        phase: the present stay in a state.
        record: in a phase that lets every call through without looking at its length, what takes the outcome of
            one (0 for success); else None. The fused wrapper of `resilient_operation` goes by it.
        lane: in a phase that lets every call through: what takes an outcome, the length in seconds from which on
            `phase.succeeded` must be told instead, and the phase; else None. One attribute, since three would be read
            in three different moments.
    """

    shared: ClassVar[Shared[CircuitBreaker]] = Shared("circuit breaker")

    name: str
    settings: BreakerSettings
    clock: Callable[[], float]
    lock: threading.RLock
    phase: Phase
    record: Callable[[int], object] | None
    lane: tuple[Callable[[int], object], float, Closed | Disabled] | None
    switch: Switch
    _jitter: Callable[[], float]
    _sharing: CircuitSharing | None
    _counts: Callable[[Exception], object]
    _configured: bool
    _trips: int
    _changes: int

    def __new__(
        cls,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
        sharing: CircuitSharing | None = None,
        **options: Unpack[BreakerOptions],
    ) -> Self:
        found = cls.shared.get(name, lambda: cls._make(name, clock, random))
        assert isinstance(found, cls)
        if sharing is not None:
            found._sharing = sharing
        if options:
            found._configure(BreakerSettings(**options))
        return found

    @classmethod
    def _make(cls, name: str, clock: Callable[[], float], random: Callable[[], float]) -> Self:
        circuit = object.__new__(cls)
        circuit.name = name
        circuit.clock = clock
        # Re-entrant: a signal handler, or a finaliser that the collector runs, may come to the same circuit in between.
        circuit.lock = threading.RLock()
        circuit.switch = ERRORS
        circuit._jitter = random
        circuit._sharing = None
        circuit._configured = False
        circuit._trips = circuit._changes = 0
        circuit._apply(BreakerSettings())
        circuit._put(Closed(circuit))
        return circuit

    @classmethod
    def absent(cls) -> Self:
        """A circuit for those who want none: nameless, disabled, shared with nobody."""
        circuit = cls._make("absent", time.monotonic, _random.random)
        circuit._put(Disabled())
        return circuit

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)  # by name: a copy, or one in another process, is that place's circuit

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or coroutine function, without retries."""
        from stalwart.policies.operation import resilient_operation  # it builds upon this module

        return resilient_operation(0, self, budget=False)(function)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function under the circuit.

        Raises:
            CircuitOpen: instead of the call.
        """
        with self.guard():
            return function(*args, **kwargs)

    def guard(self) -> Guard:
        """A context manager, also asynchronous, for one pass through a block; entering it raises `CircuitOpen`."""
        return Guard(self)

    @property
    def state(self) -> State:
        """The state; "open" until the first call after the open time, which makes it "half-open"."""
        return self.phase.state

    def status(self) -> CircuitStatus:
        """The circuit as it is now."""
        phase = self.phase
        totals = phase.window.totals() if isinstance(phase, Closed) else NOTHING
        wait = max(0.0, phase.until - self.clock()) if isinstance(phase, Open) else 0.0
        if isinstance(phase, ForcedOpen):
            wait = float("inf")
        rates = _rates(totals)
        return CircuitStatus(self.name, str(phase.state), totals.calls, *rates, wait, self._changes)

    def force_open(self) -> None:
        """Refuse every call until `reset()`."""
        self._force(ForcedOpen(self))

    def disable(self) -> None:
        """Let every call through and record nothing until `reset()`."""
        self._force(Disabled())

    def metrics_only(self) -> None:
        """Let every call through, record, and send an event when it would have opened, until `reset()`."""
        self._force(Closed(self, State.METRICS_ONLY))

    def reset(self) -> None:
        """Close it, with an empty window."""
        self._force(Closed(self))

    def adopt(self, state: State, open_for: float = 0.0) -> None:
        """Follow another process: open for so many seconds, or closed. Forced, disabled and watching circuits stay so."""
        phase = self.phase
        if state is State.OPEN and isinstance(phase, Closed) and phase.state is State.CLOSED:
            after, reason = Open(self, open_for), "another process opened it"
            self.tell(self._change(phase, after, reason, open_for=open_for), everybody=False)
        elif state is State.CLOSED and isinstance(phase, (Open, HalfOpen)):
            self.tell(self._change(phase, Closed(self), "another process closed it"), everybody=False)

    # What phases, guards and operations call.

    def enter(self) -> Permit | CircuitOpen:
        """A permit for one call, or the refusal, to be raised. A permit must be settled."""
        return self.phase.enter()

    def permit_of(self, record: Callable[[int], object]) -> Permit:
        """The permit that goes with a `record` taken earlier; one that drops the result if that phase is over."""
        phase = self.phase
        return phase if phase.record is record and isinstance(phase, (Closed, Disabled)) else STALE

    def settle(self, permit: Permit, error: Exception, seconds: float) -> None:
        """A call ended in `error`: a failure, an answer, or nothing that the dependency is to blame for."""
        if says_nothing(error):
            permit.released()
            return
        try:
            failure = self._counts(error)
        except Exception:  # must not take the place of the error that it was asked about
            logger.exception("`counts` of circuit %r failed; the call counts as a failure", self.name)
            failure = True
        if failure:
            permit.failed(seconds)
        else:
            permit.succeeded(seconds)

    def trip(self, phase: Closed | HalfOpen, reason: str, totals: Totals) -> events.CircuitChanged | None:
        """`phase` has found that calls should stop. Returns what is to be told, once no lock is held."""
        if phase.state is State.METRICS_ONLY:
            # A fresh window: told once per window, not with every failure.
            return self._change(
                phase, Closed(self, State.METRICS_ONLY), f"would have opened: {reason}", totals
            )
        settings = self.settings
        with self.lock:
            grown = settings.open_for * settings.growth ** min(self._trips, 64)
            # Up to a tenth longer, so that the processes of a site do not all probe at the same moment.
            open_for = min(settings.max_open_for, grown) * (1 + self._jitter() / 10)
            change = self._change(phase, Open(self, open_for), reason, totals, open_for)
            self._trips += change is not None
        return change

    def close(self, phase: HalfOpen) -> events.CircuitChanged | None:
        """Enough probes were good. Returns what is to be told, once no lock is held."""
        with self.lock:
            change = self._change(phase, Closed(self), f"{self.settings.probes} probes succeeded")
            if change is not None:
                self._trips = 0
        return change

    def tell(self, change: events.CircuitChanged | None, *, everybody: bool = True) -> None:
        """Send a change to the listeners of this process, and to the others. Without any lock."""
        if change is None:
            return
        events.emit(change)
        if everybody and self._sharing is not None:
            try:
                self._sharing.publish(change)
            except Exception:
                logger.exception("the sharing of circuit %r failed; other processes do not know", self.name)

    def probing(self, phase: Open) -> Phase:
        """The open time is over: the phase in which probes are let through, or `phase` when another process has the probe."""
        if self._sharing is not None:
            lease = self.settings.lease
            try:
                mine = self._sharing.may_probe(self.name, lease)
            except Exception:  # a store that is down must not keep the circuit open
                logger.exception("the sharing of circuit %r failed; this process probes by itself", self.name)
                mine = True
            if not mine:
                phase.until = self.clock() + lease
                return phase
        self.tell(self._change(phase, HalfOpen(self), "the open time is over"))
        return self.phase

    def _force(self, after: Phase) -> None:
        with self.lock:
            change = self._change(self.phase, after, "by hand")
            self._trips = 0
        self.tell(change)

    def _change(
        self, before: Phase, after: Phase, reason: str, totals: Totals = NOTHING, open_for: float | None = None
    ) -> events.CircuitChanged | None:  # fmt: skip
        """Go from phase to phase; None when `before` is over already, so that of many who ask one does it."""
        with self.lock:
            if self.phase is not before:
                return None
            self._put(after)
            self._changes += 1
            return events.CircuitChanged(
                self.name, self._changes, str(before.state), str(after.state), reason, totals.calls, *_rates(totals), open_for
            )  # fmt: skip

    def _put(self, phase: Phase) -> None:
        self.phase = phase
        self.lane = (phase.record, phase.slow_seconds, phase) if phase.free else None
        self.record = None if self.settings.slow_seconds is not None else phase.record

    def _apply(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self._counts = matcher(settings.counts, "counts")

    def _configure(self, settings: BreakerSettings) -> None:
        with self.lock:
            if self._configured and settings != self.settings:
                raise ConfigurationError(
                    f"circuit {self.name!r} already has {self.settings}, and now {settings} is asked for; "
                    "configure it in one place and elsewhere only name it"
                )
            if not self._configured:
                # It may have been named, even used, before the module that configures it was imported.
                self._apply(settings)
                self._configured = True
                state = self.phase.state
                self._put(Closed(self, state) if isinstance(self.phase, Closed) else self.phase)


def _rates(totals: Totals) -> tuple[float, float]:
    calls = max(1, totals.calls)
    return totals.failed / calls, totals.slow / calls
