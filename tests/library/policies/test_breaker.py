"""The circuit breaker: when it opens, whom it lets through, what it forgets."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
import threading
import traceback

import pytest

from stalwart import events
from stalwart.exceptions import BulkheadFull, CircuitOpen, CommitOutcomeUnknown, ConfigurationError
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.phases import State


def circuit(clock, name="quotes", **options) -> CircuitBreaker:
    settings = {
        "window": 10,
        "minimum_calls": 4,
        "failure_rate": 0.5,
        "open_for": 5.0,
        "probes": 2,
        "lease": 10.0,
    }
    return CircuitBreaker(name, clock=clock, random=lambda: 0.0, **{**settings, **options})


def fail(breaker: CircuitBreaker, times: int = 1, error: BaseException | None = None) -> None:
    error = error or OSError("down")
    for _ in range(times):
        with pytest.raises(type(error)), breaker.guard():
            raise error


def succeed(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with breaker.guard():
            pass


def opened(clock, **options) -> CircuitBreaker:
    breaker = circuit(clock, **options)
    fail(breaker, 4)
    assert breaker.state is State.OPEN
    return breaker


# Opening.


def test_opens_at_the_rate_and_not_before_the_minimum(clock) -> None:
    """A rate is judged from the minimum of calls on; successes in between do not reset it."""
    breaker = circuit(clock)
    fail(breaker, 3)
    assert breaker.state is State.CLOSED
    succeed(breaker, 4)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_stays_closed_below_the_rate(clock) -> None:
    """One failure in three calls, for ever, does not open a circuit of 50 %."""
    breaker = circuit(clock)
    for _ in range(50):
        succeed(breaker, 2)
        fail(breaker)
    assert breaker.state is State.CLOSED
    assert breaker.status().failure_rate == pytest.approx(0.3, abs=0.11)


def test_opens_for_slow_calls(clock) -> None:
    """A dependency that answers, but too slowly, is left alone as well."""
    breaker = circuit(clock, slow_seconds=2.0, slow_rate=0.5)
    for seconds in (0.1, 0.1, 2.0, 3.0):
        with breaker.guard():
            clock.advance(seconds)
    assert breaker.state is State.OPEN


def test_a_window_of_seconds_forgets(clock) -> None:
    """With a window of time, yesterday's failures do not count."""
    breaker = circuit(clock, window_seconds=30.0)
    fail(breaker, 3)
    clock.advance(40)
    fail(breaker)
    assert breaker.state is State.CLOSED
    fail(breaker, 3)
    assert breaker.state is State.OPEN


# Refusing.


def test_refuses_while_open_and_says_for_how_long(clock) -> None:
    """The refusal carries the name and the seconds until the next probe; the function is not called."""
    breaker = opened(clock)
    clock.advance(2)
    with pytest.raises(CircuitOpen) as caught:
        breaker.call(pytest.fail, "was called")
    assert (caught.value.name, caught.value.retry_after) == ("quotes", 3.0)
    assert breaker.status().retry_after == 3.0


def test_ten_thousand_refusals_have_short_tracebacks(clock) -> None:
    """Each refusal is a fresh exception: a shared one would gather the frames of everybody who met it."""
    breaker = opened(clock)
    decorated = breaker(lambda: None)
    seen = set()
    for _ in range(10_000):
        try:
            decorated()
        except CircuitOpen as refusal:
            seen.add(len(traceback.extract_tb(refusal.__traceback__)))
            last = refusal
    assert seen == {2}
    with pytest.raises(CircuitOpen) as caught:
        decorated()
    assert caught.value is not last


# Probing.


def test_closes_after_good_probes(clock) -> None:
    """After the open time one call at a time is let through; enough good ones close it with an empty window."""
    breaker = opened(clock)
    clock.advance(5)
    succeed(breaker)
    assert breaker.state is State.HALF_OPEN
    succeed(breaker)
    assert breaker.state is State.CLOSED
    assert breaker.status().calls == 0


def test_a_failed_probe_opens_it_for_longer(clock) -> None:
    """The open time doubles with each failed probe up to its end, and begins anew once the circuit has closed."""
    breaker = opened(clock, max_open_for=15.0)
    times = []
    for _ in range(4):
        times.append(breaker.status().retry_after)
        clock.advance(times[-1])
        fail(breaker)
    assert times == [5, 10, 15, 15]
    clock.advance(15)
    succeed(breaker, 2)
    fail(breaker, 4)
    assert breaker.status().retry_after == 5


def test_twenty_threads_at_half_open_and_one_probe(clock) -> None:
    """However many callers come at the moment when the open time ends, one is let through."""
    breaker = opened(clock)
    clock.advance(5)
    start, hold, inside, refused = threading.Barrier(20), threading.Event(), [], []

    def caller() -> None:
        start.wait(10)
        try:
            with breaker.guard():
                inside.append(1)
                hold.wait(10)
        except CircuitOpen:
            refused.append(1)
            if len(refused) == 19:
                hold.set()

    threads = [threading.Thread(target=caller) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(inside), len(refused)) == (1, 19)


def test_the_number_of_probes_grows_with_their_success(clock) -> None:
    """A dependency that has just come back is not met by everybody at once."""
    breaker = opened(clock, probes=4)
    clock.advance(5)

    def admitted() -> list:
        return [p for p in (breaker.enter() for _ in range(9)) if not isinstance(p, CircuitOpen)]

    first = admitted()
    assert len(first) == 1
    first[0].succeeded(0)
    second = admitted()
    assert len(second) == 2
    for permit in second:
        permit.succeeded(0)
    assert len(admitted()) == 1  # three are done, one is missing


def test_a_lost_probe_does_not_wedge_it(clock) -> None:
    """A probe that never comes back loses its place after the lease, and somebody else closes the circuit."""
    breaker = opened(clock, probes=1)
    clock.advance(5)
    lost = breaker.enter()
    assert isinstance(breaker.enter(), CircuitOpen)
    assert breaker.enter().retry_after == 10
    clock.advance(10)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    lost.failed(15)
    assert breaker.state is State.CLOSED
    assert breaker.status().calls == 0


def test_a_slow_probe_opens_it_again(clock) -> None:
    """A dependency that still is slow has not recovered."""
    breaker = opened(clock, slow_seconds=1.0)
    clock.advance(5)
    with breaker.guard():
        clock.advance(2)
    assert breaker.state is State.OPEN


# Results that come late.


@pytest.mark.parametrize("end", ["succeeded", "failed", "released"])
def test_results_from_before_it_opened_are_dropped(clock, end) -> None:
    """A call that began before the trip neither closes an open circuit, nor counts as a probe, nor frees a probe's place."""
    breaker = circuit(clock)
    late = [breaker.enter() for _ in range(4)]
    fail(breaker, 4)
    getattr(late[0], end)(*([] if end == "released" else [1.0]))
    assert breaker.state is State.OPEN
    clock.advance(5)
    probe = breaker.enter()
    getattr(late[1], end)(*([] if end == "released" else [1.0]))
    assert breaker.state is State.HALF_OPEN
    assert isinstance(breaker.enter(), CircuitOpen)
    probe.succeeded(0)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    for permit in late[2:]:
        getattr(permit, end)(*([] if end == "released" else [1.0]))
    assert breaker.status().calls == 0


def test_late_results_of_decorated_calls_are_dropped_too(clock) -> None:
    """The short way of the decorator knows its generation as well."""
    breaker = circuit(clock)

    @breaker
    def call(last: bool) -> None:
        if last:
            fail(breaker, 4)
            clock.advance(5)
            succeed(breaker, 2)
        raise OSError("late")

    with pytest.raises(OSError):
        call(True)
    assert breaker.state is State.CLOSED
    assert breaker.status().calls == 0


# What counts.


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), GeneratorExit(), SystemExit(), asyncio.CancelledError()], ids=repr
)
def test_interruptions_are_neutral_and_give_the_permit_back(clock, error) -> None:
    """What is no `Exception` is not the dependency's doing, and a cancelled probe frees its place."""
    breaker = circuit(clock)
    fail(breaker, 20, error)
    assert breaker.status().calls == 0
    fail(breaker, 4)
    clock.advance(5)
    fail(breaker, 3, error)
    assert breaker.state is State.HALF_OPEN
    succeed(breaker, 2)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    "error", [TypeError(), KeyError(), CircuitOpen("other", 1.0), BulkheadFull("other", 1)], ids=repr
)
def test_mistakes_and_refusals_are_neutral(clock, error) -> None:
    """A mistake of the caller, or a refusal by another policy, says nothing about the dependency."""
    breaker = circuit(clock)
    fail(breaker, 20, error)
    assert breaker.status().calls == 0


def test_an_unknown_outcome_is_a_failure(clock) -> None:
    """A connection that was lost during COMMIT was lost."""
    breaker = circuit(clock)
    fail(breaker, 4, CommitOutcomeUnknown("default"))
    assert breaker.state is State.OPEN


def test_other_errors_count_as_answers(clock) -> None:
    """With `counts`, an error that is not named there is an answer: 404s must not make a rate of 100 % of rare failures."""
    breaker = circuit(clock, counts=ConnectionError)
    fail(breaker, 4, ValueError("not found"))
    fail(breaker, 1, ConnectionError())
    assert breaker.state is State.CLOSED
    assert breaker.status().failure_rate == 0.2


def test_a_counts_that_fails_does_not_hide_the_error(clock, caplog) -> None:
    """The caller gets the dependency's error, the log that of the function, and the call counts as failed."""
    breaker = circuit(clock, counts=lambda error: 1 / 0)
    fail(breaker, 1, OSError("down"))
    assert breaker.status().failure_rate == 1
    assert "`counts` of circuit 'quotes' failed" in caplog.text


# By hand.


def test_forced_states(clock) -> None:
    """Forced open refuses everybody, disabled records nothing, metrics-only never refuses; reset closes."""
    breaker = circuit(clock)
    breaker.force_open()
    clock.advance(1e6)
    with pytest.raises(CircuitOpen, match="forced open"):
        succeed(breaker)
    breaker.disable()
    fail(breaker, 50)
    assert (breaker.state, breaker.status().calls) == (State.DISABLED, 0)
    breaker.metrics_only()
    fail(breaker, 50)
    assert breaker.state is State.METRICS_ONLY
    breaker.reset()
    succeed(breaker)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("state", ["disable", "metrics_only", "force_open"])
def test_decorated_functions_see_forced_states(clock, state) -> None:
    """The decorator's short way goes by the state of the moment."""
    breaker = circuit(clock)
    decorated = breaker(lambda: "done")
    assert decorated() == "done"
    getattr(breaker, state)()
    if state == "force_open":
        with pytest.raises(CircuitOpen):
            decorated()
    else:
        assert decorated() == "done"
    breaker.reset()
    assert decorated() == "done"


def test_metrics_only_tells_once_per_window(clock, seen) -> None:
    """A watching circuit sends one event when it would have opened, then fills a new window."""
    breaker = circuit(clock)
    breaker.metrics_only()
    fail(breaker, 8)
    told = [event for event in seen if event.reason.startswith("would have opened")]
    assert len(told) == 2
    assert told[0].calls == 4


# Events and locks.


def test_each_change_is_an_event_in_order(clock, seen) -> None:
    """A listener can follow the circuit from its events alone."""
    breaker = opened(clock)
    clock.advance(5)
    succeed(breaker, 2)
    assert all(isinstance(event, events.CircuitChanged) for event in seen)
    assert [(event.number, event.before, event.after) for event in seen] == [
        (1, "closed", "open"),
        (2, "open", "half-open"),
        (3, "half-open", "closed"),
    ]
    assert (seen[0].operation, seen[0].calls, seen[0].failure_rate, seen[0].open_for) == (
        "quotes",
        4,
        1.0,
        5.0,
    )
    assert seen[0].as_dict()["reason"] == "4 of 4 calls failed"


def test_listeners_may_use_the_circuit(clock) -> None:
    """No lock is held while events are sent: a listener that asks, or calls through, does not wait for itself."""
    breaker, states = circuit(clock), []

    def listener(event: events.Event) -> None:
        states.append(breaker.status().state)
        with pytest.raises(CircuitOpen):
            breaker.call(int)

    undo = events.subscribe(listener)
    try:
        fail(breaker, 4)
    finally:
        undo()
    assert states == ["open"]


def test_four_threads_are_inside_at_once(clock) -> None:
    """No lock is held around the caller's code: all four meet in the call, which a serialised breaker could not have."""
    breaker, meeting = circuit(clock), threading.Barrier(4)
    decorated = breaker(lambda: meeting.wait(10))
    threads = [threading.Thread(target=decorated) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert not meeting.broken
    assert breaker.status().failure_rate == 0


def test_the_lock_is_not_taken_by_a_success(clock, held) -> None:
    """A call that succeeds passes while somebody else holds the circuit's lock."""
    breaker = circuit(clock)
    decorated = breaker(lambda: "done")
    with held(breaker.lock):
        assert decorated() == "done"
        succeed(breaker)


def test_a_signal_handler_may_come_in_between(clock) -> None:
    """Code that interrupts the circuit in its critical section, in the same thread, does not wait for itself."""
    breaker = opened(clock)
    clock.advance(5)
    with breaker.lock:
        succeed(breaker, 2)
    assert breaker.state is State.CLOSED


def test_one_of_many_failing_threads_trips_it(clock, seen) -> None:
    """Failures at the same moment open the circuit once."""
    breaker, start = circuit(clock), threading.Barrier(8)

    def caller() -> None:
        permit = breaker.enter()
        start.wait(10)
        permit.failed(0)

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [event.after for event in seen] == ["open"]


@pytest.mark.parametrize(
    "options", [{}, {"window_seconds": 0.01, "slow_seconds": 5.0}], ids=["count", "time"]
)
def test_threads_that_hammer_it_see_only_their_own_errors(options) -> None:
    """While it opens, probes and closes hundreds of times under eight threads, a caller gets its error or a refusal."""
    breaker = CircuitBreaker("hammered", window=20, open_for=1e-6, max_open_for=1e-6, lease=1e-6, **options)
    call = breaker(lambda number: number % 3 and 1 / 0)
    surprises: list[BaseException] = []

    def caller(offset: int) -> None:
        for number in range(800):
            try:
                call(number + offset)
            except (ZeroDivisionError, CircuitOpen):
                pass
            except BaseException as error:
                surprises.append(error)

    threads = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    assert surprises == []
    assert breaker.status().changes > 100


# Names and settings.


def test_is_shared_by_name(clock) -> None:
    """Two places that name a dependency have one circuit."""
    assert CircuitBreaker("quotes") is CircuitBreaker("quotes")
    assert CircuitBreaker("quotes") is not CircuitBreaker("mail")
    CircuitBreaker("quotes").force_open()
    with pytest.raises(CircuitOpen):
        CircuitBreaker("quotes").call(int)


def test_the_order_of_naming_and_configuring_does_not_matter(clock) -> None:
    """A decorator imported before the module that configures the circuit gets these settings all the same."""
    early = CircuitBreaker("quotes", clock=clock)
    decorated = early(lambda: 1 / 0 if clock.now > 1000 else "fine")
    assert decorated() == "fine"
    assert CircuitBreaker("quotes", minimum_calls=1) is early
    clock.advance(1)
    with pytest.raises(ZeroDivisionError):
        decorated()
    assert early.state is State.OPEN
    with pytest.raises(ConfigurationError, match="already has"):
        CircuitBreaker("quotes", minimum_calls=2)


def test_copies_are_the_same_circuit() -> None:
    """A circuit is copied and pickled by its name, as settings and task arguments are."""
    breaker = CircuitBreaker("quotes")
    assert copy.deepcopy({"circuit": breaker})["circuit"] is breaker
    assert pickle.loads(pickle.dumps(breaker)) is breaker


@pytest.mark.parametrize(
    "options",
    [
        {"failure_rate": 0},
        {"slow_rate": 1.5},
        {"minimum_calls": 101},
        {"window": True},
        {"open_for": float("inf")},
        {"lease": 0},
        {"open_for": "1"},
        {"growth": 0.5},
        {"counts": KeyboardInterrupt},
    ],
    ids=str,
)
def test_settings_without_sense_are_refused(options) -> None:
    """A circuit that could never open, never close, or would count Ctrl-C is refused with the value."""
    with pytest.raises(ConfigurationError):
        CircuitBreaker("quotes", **options)


def test_a_guard_is_for_one_pass(clock) -> None:
    """A guard that is entered twice at once says so, rather than lose a permit."""
    guard = circuit(clock).guard()
    with guard, pytest.raises(RuntimeError, match="is in use"), guard:
        pass
    with guard:
        pass


def test_async_guard(clock) -> None:
    """The guard works around asynchronous blocks."""
    breaker = circuit(clock)

    async def use() -> None:
        for _ in range(4):
            with pytest.raises(OSError):
                async with breaker.guard():
                    raise OSError
        with pytest.raises(CircuitOpen):
            async with breaker.guard():
                pass

    asyncio.run(use())


# The seam for several processes.


class Store:
    def __init__(self, may_probe=True, fails=False) -> None:
        self.published, self.asked, self._may_probe, self._fails = [], [], may_probe, fails

    def publish(self, change) -> None:
        if self._fails:
            raise OSError("store is down")
        self.published.append(change.after)

    def may_probe(self, name, lease) -> bool:
        self.asked.append((name, lease))
        if self._fails:
            raise OSError("store is down")
        return self._may_probe


def test_changes_are_published_and_a_new_process_publishes_nothing(clock) -> None:
    """A restart cannot close what others hold open: only changes go out."""
    store = Store()
    breaker = circuit(clock, sharing=store)
    succeed(breaker, 3)
    assert store.published == []
    fail(breaker, 3)
    clock.advance(5)
    succeed(breaker, 2)
    assert store.published == ["open", "half-open", "closed"]
    assert store.asked == [("quotes", 10.0)]


def test_one_process_is_elected_to_probe(clock) -> None:
    """The others stay open, and ask again after a lease, not with every call."""
    store = Store(may_probe=False)
    breaker = circuit(clock, sharing=store)
    fail(breaker, 4)
    clock.advance(5)
    for _ in range(3):
        with pytest.raises(CircuitOpen):
            succeed(breaker)
    assert len(store.asked) == 1
    clock.advance(10)
    with pytest.raises(CircuitOpen):
        succeed(breaker)
    assert len(store.asked) == 2


def test_a_store_that_is_down_changes_nothing(clock, caplog) -> None:
    """The circuit goes on alone, and the log says so."""
    breaker = circuit(clock, sharing=Store(fails=True))
    fail(breaker, 4)
    clock.advance(5)
    succeed(breaker, 2)
    assert breaker.state is State.CLOSED
    assert caplog.text.count("sharing of circuit 'quotes' failed") == 4


def test_follows_other_processes_without_telling_them_back(clock) -> None:
    """What another process found is taken over, but not against a human's word."""
    store = Store()
    breaker = circuit(clock, sharing=store)
    breaker.adopt(State.OPEN, 7)
    assert breaker.status().retry_after == 7
    breaker.adopt(State.CLOSED)
    assert breaker.state is State.CLOSED
    assert store.published == []
    breaker.disable()
    breaker.adopt(State.OPEN, 7)
    assert breaker.state is State.DISABLED
