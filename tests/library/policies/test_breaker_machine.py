"""The circuit breaker under any order of calls, results, lost calls and passing time."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from stalwart.exceptions import CircuitOpen
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.phases import Closed, State


class Machine(RuleBasedStateMachine):
    """A model that is told everything: which permits were given in which stay, and what they reported."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        CircuitBreaker.shared.clear()
        self.now = 0.0
        self.circuit = CircuitBreaker(
            "machine", clock=lambda: self.now, random=lambda: 0.0,
            window=5, minimum_calls=3, failure_rate=0.6, open_for=4.0, max_open_for=16.0, probes=3, lease=6.0, slow_seconds=2.0,
        )  # fmt: skip
        self.stay = self.circuit.phase
        self.window: list[tuple[bool, bool]] = []
        self.good = 0
        self.leases: dict[int, float] = {}
        self.opened_at = 0.0
        self.open_for = 4.0

    def teardown(self) -> None:
        CircuitBreaker.shared.clear()

    def _moved(self) -> None:
        """Follow the circuit to its new stay, and check that the move was due."""
        before, after = self.stay.state, self.circuit.state
        if self.circuit.phase is self.stay:
            return
        if after is State.OPEN:
            self.open_for = 4.0 if before is State.CLOSED else min(16.0, self.open_for * 2)
            self.opened_at = self.now
        assert (before, after) in {
            (State.CLOSED, State.OPEN),
            (State.OPEN, State.HALF_OPEN),
            (State.HALF_OPEN, State.OPEN),
            (State.HALF_OPEN, State.CLOSED),
        }
        self.stay, self.window, self.good, self.leases = self.circuit.phase, [], 0, {}

    @rule(target=permits)
    def enter(self):
        state, stay = self.circuit.state, self.stay
        permit = self.circuit.enter()
        refused = isinstance(permit, CircuitOpen)
        if state is State.CLOSED:
            assert permit is stay
        elif state is State.OPEN:
            assert refused == (self.now - self.opened_at < self.open_for)
            if not refused:
                self._moved()
                self.leases[id(permit)] = self.now + 6
        else:
            alive = sum(until > self.now for until in self.leases.values())
            assert refused == (alive >= min(1 + self.good, 3 - self.good))
            if not refused:
                self.leases[id(permit)] = self.now + 6
        if refused:
            assert permit.retry_after > 0
            return None
        return permit, self.stay

    @rule(given_permit=consumes(permits), end=st.sampled_from(["good", "bad", "slow", "released", "lost"]))
    def finish(self, given_permit, end) -> None:
        if given_permit is None or end == "lost":
            return
        permit, stay = given_permit
        current = stay is self.stay
        before = self.circuit.phase
        if end == "released":
            permit.released()
        elif end == "bad":
            permit.failed(0.0)
        else:
            permit.succeeded(3.0 if end == "slow" else 0.0)
        if not current:
            assert self.circuit.phase is before  # of an older stay: nothing moves
            return
        if stay.state is State.CLOSED:
            if end != "released":
                self.window = [*self.window, (end == "bad", end == "slow")][-5:]
            calls = len(self.window)
            failed, slow = (sum(pair[i] for pair in self.window) for i in (0, 1))
            trips = end in ("bad", "slow") and calls >= 3 and (failed >= 0.6 * calls or slow >= 0.5 * calls)
            assert (self.circuit.state is State.OPEN) == trips
        else:
            self.leases.pop(id(permit), None)
            self.good += end == "good"
            expected = {"bad": State.OPEN, "slow": State.OPEN}.get(
                end, State.CLOSED if self.good >= 3 else State.HALF_OPEN
            )
            assert self.circuit.state is expected
        self._moved()

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 7.0, 20.0]))
    def wait(self, seconds) -> None:
        self.now += seconds

    @invariant()
    def the_short_way_agrees(self) -> None:
        """`lane` is there exactly while calls need not ask; the window never holds more than its size."""
        assert (self.circuit.lane is not None) == isinstance(self.circuit.phase, Closed)
        assert self.circuit.record is None  # slow calls are looked at
        assert self.circuit.status().calls == (len(self.window) if self.circuit.state is State.CLOSED else 0)


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreaker = Machine.TestCase
TestBreaker.__doc__ = "For any history the circuit does what its model says."
