"""The phases that a circuit goes through; each object is one stay in a state, and its identity is the generation stamp.

Each says in `free` whether it lets every call through, and in `until` up to which moment it refuses every call: the short way
of a wrapper goes by these and asks `enter` for a permit in the other cases only.

A permit belongs to the phase that gave it. Its result counts only while the circuit is still in that very phase, so a call that
began before the circuit opened can neither close it again nor use up a probe.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from stalwart.exceptions import CircuitOpen
from stalwart.policies.window import FAILED, FAILED_SLOWLY, FINE, SLOW, CountWindow, TimeWindow, Totals

if TYPE_CHECKING:
    from stalwart.policies.breaker import CircuitBreaker

NOTHING = Totals(0, 0, 0)


class State(StrEnum):
    """The states of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced-open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics-only"


class Permit(Protocol):
    """The leave to make one call. Exactly one of its methods is called when the call is over."""

    def succeeded(self, seconds: float) -> None:
        """The dependency answered within that time."""

    def failed(self, seconds: float) -> None:
        """The dependency failed after that time."""

    def released(self) -> None:
        """Nothing was learnt: cancelled, interrupted, or the caller's own mistake."""


class _Stale:
    """The permit of a call whose phase is over: its result is dropped."""

    __slots__ = ()

    def succeeded(self, seconds: float) -> None:
        """Dropped."""

    def failed(self, seconds: float) -> None:
        """Dropped."""

    def released(self) -> None:
        """Nothing to give back."""


STALE = _Stale()
_discard: Callable[[int], object] = deque[int](maxlen=0).append


class Closed:
    """Every call is let through and recorded; its own permit for all of them. Also the metrics-only state."""

    __slots__ = ("_circuit", "record", "slow_seconds", "state", "window")
    free: Literal[True] = True
    until = -math.inf

    def __init__(self, circuit: CircuitBreaker, state: State = State.CLOSED) -> None:
        settings = circuit.settings
        self._circuit = circuit
        self.state = state
        self.window: CountWindow | TimeWindow
        if settings.window_seconds is None:
            self.window = CountWindow(settings.window)
        else:
            self.window = TimeWindow(settings.window_seconds, circuit.clock)
        self.record: Callable[[int], object] = self.window.record
        self.slow_seconds = math.inf if settings.slow_seconds is None else settings.slow_seconds

    def enter(self) -> Permit:
        """Always a permit."""
        return self

    def succeeded(self, seconds: float) -> None:
        """Record; a slow success can open the circuit."""
        if seconds < self.slow_seconds:
            self.record(FINE)
        else:
            self.record(SLOW)
            self._judge()

    def failed(self, seconds: float) -> None:
        """Record and judge."""
        self.record(FAILED if seconds < self.slow_seconds else FAILED_SLOWLY)
        self._judge()

    def released(self) -> None:
        """No outcome."""

    def _judge(self) -> None:
        settings, totals = self._circuit.settings, self.window.totals()
        if totals.calls < settings.minimum_calls:
            return
        if totals.failed >= settings.failure_rate * totals.calls:
            reason = f"{totals.failed} of {totals.calls} calls failed"
        elif totals.slow >= settings.slow_rate * totals.calls and self.slow_seconds < math.inf:
            reason = f"{totals.slow} of {totals.calls} calls took {self.slow_seconds:g} s or more"
        else:
            return
        self._circuit.tell(self._circuit.trip(self, reason, totals))


class Disabled(_Stale):
    """Every call is let through, nothing is recorded."""

    __slots__ = ()
    free: Literal[True] = True
    until = -math.inf
    slow_seconds = math.inf
    state = State.DISABLED
    record = staticmethod(_discard)

    def enter(self) -> Permit:
        """Always a permit."""
        return self


class ForcedOpen:
    """Every call is refused until somebody says otherwise."""

    __slots__ = ("_name",)
    free: Literal[False] = False
    until = math.inf
    state = State.FORCED_OPEN
    record = None

    def __init__(self, circuit: CircuitBreaker) -> None:
        self._name = circuit.name

    def enter(self) -> CircuitOpen:
        """Always a refusal."""
        return CircuitOpen(self._name, math.inf)


class Open:
    """Every call is refused until the time is up; then the first caller becomes a probe."""

    __slots__ = ("_circuit", "_clock", "_name", "until")
    free: Literal[False] = False
    state = State.OPEN
    record = None

    def __init__(self, circuit: CircuitBreaker, open_for: float) -> None:
        self._circuit = circuit
        self._name = circuit.name
        self._clock = circuit.clock
        self.until = circuit.clock() + open_for

    def enter(self) -> Permit | CircuitOpen:
        """A refusal, or a probe's permit."""
        wait = self.until - self._clock()
        if wait > 0:
            # A fresh exception each time: a shared one would gather the traceback of everybody who raised it.
            return CircuitOpen(self._name, wait)
        return self._circuit.probing(self).enter()


class Lease:
    """The permit of a probe. When its time is up, its place is given to somebody else; its own result still counts."""

    __slots__ = ("_phase", "until")

    def __init__(self, phase: HalfOpen, until: float) -> None:
        self._phase = phase
        self.until = until

    def succeeded(self, seconds: float) -> None:
        """Nearer to closed; a slow success is none, for a dependency that is still slow."""
        self._phase.ended(self, seconds < self._phase.slow_seconds)

    def failed(self, seconds: float) -> None:
        """Open again."""
        self._phase.ended(self, False)

    def released(self) -> None:
        """Give the place back."""
        self._phase.ended(self, None)


class HalfOpen:
    """A few calls are let through to see whether the dependency is back."""

    __slots__ = ("_circuit", "_done", "_leases", "slow_seconds")
    free: Literal[False] = False
    until = -math.inf
    state = State.HALF_OPEN
    record = None

    def __init__(self, circuit: CircuitBreaker) -> None:
        slow = circuit.settings.slow_seconds
        self.slow_seconds = math.inf if slow is None else slow
        self._circuit = circuit
        self._done = 0
        self._leases: list[Lease] = []

    def enter(self) -> Permit | CircuitOpen:
        """A lease if a place is free, else a refusal."""
        circuit = self._circuit
        with circuit.lock:
            phase = circuit.phase
            if phase is self:
                now = circuit.clock()
                self._leases = [lease for lease in self._leases if lease.until > now]
                if len(self._leases) < min(1 + self._done, circuit.settings.probes - self._done):
                    lease = Lease(self, now + circuit.settings.lease)
                    self._leases.append(lease)
                    return lease
                return CircuitOpen(circuit.name, min(each.until for each in self._leases) - now)
        return phase.enter()

    def ended(self, lease: Lease, good: bool | None) -> None:
        """A probe is over: good, bad, or None when nothing was learnt."""
        circuit = self._circuit
        with circuit.lock:
            if circuit.phase is not self:
                return  # of an earlier time: another probe has decided since
            if lease in self._leases:
                self._leases.remove(lease)
            self._done += good is True
            # In the same breath: nobody may come in between the last good probe and the closing.
            if good is False:
                change = circuit.trip(self, "a probe failed", NOTHING)
            elif self._done >= circuit.settings.probes:
                change = circuit.close(self)
            else:
                return
        circuit.tell(change)


Phase: TypeAlias = Closed | Disabled | ForcedOpen | Open | HalfOpen
