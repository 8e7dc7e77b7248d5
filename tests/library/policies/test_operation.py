"""`resilient_operation` around functions."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import sys
import threading
import weakref

import pytest

from stalwart import events
from stalwart.exceptions import (
    BulkheadFull,
    CircuitOpen,
    CommitOutcomeUnknown,
    ConfigurationError,
    ReplayMismatch,
)
from stalwart.policies import registry
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.budget import RetryBudget
from stalwart.policies.deadline import ambient, remaining_time
from stalwart.policies.operation import resilient_operation
from stalwart.policies.phases import State


class Dependency:
    """Fails with the given errors in turn, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return args, kwargs


def operation(clock, max_retries=3, circuit_breaker=True, **options):
    defaults = {"name": "quotes", "clock": clock, "sleep": clock.sleep, "random": lambda: 0.5, "delay": 1.0}
    return resilient_operation(max_retries, circuit_breaker, **{**defaults, **options})


def always(error: BaseException | type[BaseException]):
    calls = [0]

    def function(*_args):
        calls[0] += 1
        raise error

    return function, calls


# Repeating.


def test_repeats_until_it_succeeds(clock) -> None:
    """Arguments and result pass through; waits are jittered and grow."""
    dependency = Dependency(OSError(), OSError())
    assert operation(clock)(dependency)(1, key=2) == ((1,), {"key": 2})
    assert dependency.calls == 3
    assert clock.slept == [0.5, 1.0]


def test_at_most_n_plus_one_calls_and_the_error_as_it_came(clock) -> None:
    """`max_retries=3` means four calls; the last error itself is raised, with a note on calls and waits."""
    errors = [OSError(i) for i in range(9)]
    dependency = Dependency(*errors)
    with pytest.raises(OSError) as caught:
        operation(clock)(dependency)()
    assert caught.value is errors[3]
    assert dependency.calls == 4
    assert caught.value.__context__ is None
    (note,) = caught.value.__notes__
    assert "max_retries=3 are used up. Calls: 4; waits in s: 0.500, 1.000, 2.000." in note


@pytest.mark.parametrize("decorate", [resilient_operation, resilient_operation()], ids=["bare", "called"])
def test_bare_and_called(decorate) -> None:
    """The decorator may be written with and without parentheses, and keeps name, docstring and signature."""

    @decorate
    def fetch(symbol: str) -> str:
        """Fetch it."""
        return symbol

    assert fetch("AAPL") == "AAPL"
    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch it.")
    name = f"{__name__}.test_bare_and_called.<locals>.fetch"
    assert name in CircuitBreaker.shared.all()
    assert name in RetryBudget.shared.all()


def test_methods(clock) -> None:
    """A decorated method gets its instance."""

    class Client:
        @operation(clock)
        def me(self, word="x"):
            return self, word

    client = Client()
    assert client.me(word="y") == (client, "y")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_base_exceptions_are_never_repeated_or_counted(clock, kind) -> None:
    """Ctrl-C passes at once, and the circuit does not hear of it; in a limited operation neither."""
    for options in ({}, {"timeout": 9.0}):
        function, calls = always(kind)
        with pytest.raises(kind):
            operation(clock, **options)(function)()
        assert calls == [1]
    assert CircuitBreaker("quotes").status().calls == 0
    assert ambient.get() is None


def test_an_interrupted_probe_gives_its_permit_back(clock) -> None:
    """Ctrl-C in a probe leaves its place to the next caller."""
    breaker = CircuitBreaker("quotes", clock=clock, minimum_calls=1, probes=1, random=lambda: 0.0)
    dependency = Dependency(OSError(), KeyboardInterrupt(), OSError(), KeyboardInterrupt())
    fetch = operation(clock, 0)(dependency)
    with pytest.raises(OSError):
        fetch()
    clock.advance(5)
    with pytest.raises(KeyboardInterrupt):
        fetch()
    assert breaker.state is State.HALF_OPEN
    with pytest.raises(OSError):
        fetch()
    clock.advance(10)
    with pytest.raises(KeyboardInterrupt):
        fetch()
    fetch()
    assert breaker.state is State.CLOSED


def test_an_interrupted_repeat_gives_its_permit_back(clock) -> None:
    """So does Ctrl-C in a repeat that became a probe because the wait outlasted the open time."""
    breaker = CircuitBreaker("quotes", clock=clock, minimum_calls=1, open_for=0.1, random=lambda: 0.0)
    with pytest.raises(KeyboardInterrupt):
        operation(clock)(Dependency(OSError(), KeyboardInterrupt()))()
    assert breaker.state is State.HALF_OPEN
    assert not isinstance(breaker.enter(), CircuitOpen)
    assert ambient.get() is None


@pytest.mark.parametrize("kind", [TypeError, AttributeError, KeyError, AssertionError, NotImplementedError])
def test_mistakes_are_not_repeated(clock, kind) -> None:
    """An error of the calling code would only come again; it is neither repeated nor counted nor replaced."""
    function, calls = always(kind)
    with pytest.raises(kind):
        operation(clock, fallback=lambda: pytest.fail("hidden"))(function)()
    assert calls == [1]
    assert CircuitBreaker("quotes").status().calls == 0


@pytest.mark.parametrize(
    "error", [CommitOutcomeUnknown("default"), ReplayMismatch("SELECT", 1), CircuitOpen("x", 1.0), BulkheadFull("x", 1)], ids=repr
)  # fmt: skip
def test_our_own_errors_are_never_repeated(clock, error) -> None:
    """Not even with `on=Exception`, nor when somebody wrapped them: a write could be doubled."""

    def wrapped():
        raise OSError("application's own") from error

    for function in (always(error)[0], wrapped):
        with pytest.raises(Exception):  # noqa: B017  which one is not the point
            operation(clock, on=Exception)(function)()
    assert clock.slept == []


def test_only_the_named_errors_are_repeated(clock) -> None:
    """`on` takes one type, several, or a function."""
    for on in (
        ConnectionError,
        (ConnectionError, KeyError),
        lambda error: isinstance(error, ConnectionError),
    ):
        function, calls = always(ValueError)
        with pytest.raises(ValueError):
            operation(clock, on=on, circuit_breaker=False)(function)()
        assert calls == [1]
        function, calls = always(ConnectionResetError)
        with pytest.raises(ConnectionResetError):
            operation(clock, on=on, circuit_breaker=False)(function)()
        assert calls == [4]


def test_a_server_may_ask_for_a_longer_wait(clock) -> None:
    """The number that `on` returns is waited at least, but a wrong one cannot park the caller."""
    dependency = Dependency(OSError(), OSError(), OSError())
    asked = iter([3.0, 0.1, 3600.0])
    operation(clock, on=lambda error: next(asked))(dependency)()
    assert clock.slept == [3.0, 1.0, 7.0]


def test_an_on_that_fails_does_not_hide_the_error(clock, caplog) -> None:
    """The caller gets the dependency's error, the log that of the function."""
    with pytest.raises(OSError):
        operation(clock, on=lambda error: 1 / 0)(always(OSError)[0])()
    assert "`on` of operation" in caplog.text


@pytest.mark.parametrize(
    ("objection", "calls_made", "told"),
    [
        (lambda error: "it may have written", 1, "it may have written"),
        (lambda error: 1 / 0, 1, "'test' could not be asked"),
        (lambda error: None, 2, "used up"),
    ],
    ids=["objects", "fails", "agrees"],
)
def test_a_part_can_object_to_a_repeat(clock, objection, calls_made, told) -> None:
    """A part that knows of an effect of the failed call keeps every layer from repeating it; in doubt it is not repeated."""
    undo = registry.objections.register("test", objection)
    function, calls = always(OSError)
    try:
        with pytest.raises(OSError) as caught:
            operation(clock, 1, name="outer")(operation(clock, 1)(function))()
    finally:
        undo()
    assert calls == [calls_made]
    assert told in caught.value.__notes__[0]


# Nesting.


def test_three_nested_layers_make_four_calls(clock) -> None:
    """Only the innermost layer repeats: not 64 calls."""
    function, calls = always(OSError)
    nested = operation(clock)(operation(clock, name="b")(operation(clock, name="c")(function)))
    with pytest.raises(OSError) as caught:
        nested()
    assert calls == [4]
    assert len(caught.value.__notes__) == 1


def test_nested_three_by_three(clock) -> None:
    """Two layers of `max_retries=2` make three calls."""
    function, calls = always(OSError)
    with pytest.raises(OSError):
        operation(clock, 2)(operation(clock, 2)(function))()
    assert calls == [3]


@pytest.mark.parametrize("how", ["cause", "context", "group"])
def test_wrapping_does_not_hide_that_it_was_repeated(clock, how) -> None:
    """A layer in between that raises another error, or a group, does not make the outer one begin anew."""
    function, calls = always(OSError)
    inner = operation(clock)(function)

    @operation(clock, name="outer")
    def outer():
        try:
            inner()
        except OSError as error:
            if how == "cause":
                raise RuntimeError from error
            if how == "context":
                raise RuntimeError  # noqa: B904  the context is the point
            raise ExceptionGroup("several", [error]) from None

    with pytest.raises((RuntimeError, ExceptionGroup)):
        outer()
    assert calls == [4]


def test_an_inner_layer_that_does_not_repeat_leaves_it_to_the_outer(clock) -> None:
    """With `max_retries=0`, or for errors that it does not repeat, the inner layer marks nothing."""
    function, calls = always(OSError)
    with pytest.raises(OSError):
        operation(clock)(operation(clock, 0)(function))()
    assert calls == [4]


def test_what_the_caller_was_handling_does_not_count(clock) -> None:
    """A call in an `except` block of an error that was given up on is repeated like any other."""
    with pytest.raises(OSError):
        operation(clock)(always(OSError)[0])()
    dependency = Dependency(OSError())
    try:
        operation(clock)(always(OSError)[0])()
    except OSError:
        operation(clock, name="second")(dependency)()
    assert dependency.calls == 2


def test_database_retry_knows_the_mark_and_gives_it(clock) -> None:
    """The two decorators share one mark, so that either may be the outer one."""
    from stalwart.database import failed_call
    from stalwart.policies import marker

    assert failed_call.mark is marker.mark
    assert failed_call.GIVEN_UP == marker.GIVEN_UP
    error = OSError()
    marker.mark(error)
    function, calls = always(error)
    with pytest.raises(OSError):
        operation(clock)(function)()
    assert calls == [1]


def test_exceptions_that_cannot_be_changed(clock) -> None:
    """A frozen exception is raised and marked all the same, only without a note."""

    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    function, calls = always(Frozen(1))
    with contextlib.suppress(Frozen):
        operation(clock)(operation(clock, name="inner")(function))()
    assert calls == [4]


# The circuit.


def test_each_call_counts_and_an_open_circuit_ends_the_repeats(clock) -> None:
    """When the circuit opens, no further wait is begun; the dependency's own error is raised, not the refusal."""
    breaker = CircuitBreaker("quotes", clock=clock, minimum_calls=2)
    function, calls = always(OSError)
    with pytest.raises(OSError) as caught:
        operation(clock)(function)()
    assert calls == [2]
    assert len(clock.slept) == 1
    assert "circuit 'quotes' has opened" in caught.value.__notes__[0]
    assert breaker.state is State.OPEN


def test_a_refusal_is_not_repeated(clock) -> None:
    """An open circuit costs the caller one exception, no waits."""
    CircuitBreaker("quotes").force_open()
    function, calls = always(OSError)
    for options in ({}, {"timeout": 5.0}):
        with pytest.raises(CircuitOpen):
            operation(clock, **options)(function)()
    assert (calls, clock.slept) == ([0], [])


def test_a_circuit_that_opens_during_the_wait(clock) -> None:
    """The repeat is not made, its price is given back, and the error is the one that was seen."""
    breaker = CircuitBreaker("quotes")

    def sleep(_):
        assert RetryBudget("quotes").tokens == 486
        breaker.force_open()

    function, calls = always(OSError)
    with pytest.raises(OSError):
        operation(clock, sleep=sleep)(function)()
    assert calls == [1]
    assert RetryBudget("quotes").tokens == 500


def test_slow_successes_open_the_circuit_of_an_operation(clock) -> None:
    """The length of a call is measured when the circuit looks at it, with and without a deadline."""
    for name, options in (("a", {}), ("b", {"timeout": 100.0})):
        CircuitBreaker(name, clock=clock, slow_seconds=2.0, minimum_calls=4)
        call = operation(clock, name=name, **options)(clock.advance)
        for _ in range(4):
            call(2.0)
        assert CircuitBreaker(name).state is State.OPEN
        with pytest.raises(CircuitOpen):
            call(2.0)


def test_failures_and_quick_successes_with_slow_calls(clock) -> None:
    """A circuit that looks at lengths counts failures and quick successes as any other."""
    for name, options in (("a", {}), ("b", {"timeout": 100.0})):
        CircuitBreaker(name, clock=clock, slow_seconds=2.0, minimum_calls=10)
        dependency = Dependency(OSError())
        operation(clock, name=name, **options)(dependency)()
        status = CircuitBreaker(name).status()
        assert (status.calls, status.failure_rate, status.slow_rate) == (2, 0.5, 0)


def test_recovers_through_probes(clock) -> None:
    """After the open time an operation's calls are the probes, with and without a deadline."""
    for name, options in (("a", {}), ("b", {"timeout": 100.0})):
        CircuitBreaker(name, clock=clock, minimum_calls=1, random=lambda: 0.0)
        dependency = Dependency(OSError())
        call = operation(clock, 0, name=name, **options)(dependency)
        with pytest.raises(OSError):
            call()
        clock.advance(5)
        for _ in range(3):
            call()
        assert CircuitBreaker(name).state is State.CLOSED


def test_without_a_circuit(clock) -> None:
    """`circuit_breaker=False` names no circuit and never refuses."""
    function, calls = always(OSError)
    call = operation(clock, 0, False)(function)
    for _ in range(50):
        with pytest.raises(OSError):
            call()
    assert calls == [50]
    assert CircuitBreaker.shared.all() == {}


# Budget.


def test_a_retried_success_costs_nothing_in_the_end(clock) -> None:
    """The price of the retry that succeeded is given back; those that failed stay paid; a first-try success earns one."""
    operation(clock)(Dependency(OSError(), OSError()))()
    budget = RetryBudget("quotes")
    assert budget.tokens == 500 - 14
    operation(clock)(Dependency())()
    assert budget.tokens == 500 - 13
    operation(clock, timeout=5.0)(Dependency())()
    assert budget.tokens == 500 - 12


def test_an_empty_budget_ends_the_repeats_of_every_call_site(clock) -> None:
    """The error is raised as it came, with the budget's name; nested layers do not go round it."""
    while RetryBudget("quotes").debit():
        pass
    function, calls = always(OSError)
    with pytest.raises(OSError) as caught:
        operation(clock, name="outer")(operation(clock)(function))()
    assert calls == [1]
    assert "retry budget of 'quotes' is used up" in caught.value.__notes__[0]


# Time.


def test_no_wait_is_begun_that_does_not_fit(clock) -> None:
    """With 0.3 s, the wall time is at most 0.3 s and one call; the note says why."""
    function, calls = always(OSError)
    began = clock.now
    with pytest.raises(OSError) as caught:
        operation(clock, 10, delay=0.2, timeout=0.3)(function)()
    assert clock.now - began <= 0.3
    assert calls == [2]
    assert "does not fit into its time" in caught.value.__notes__[0]


def test_the_time_that_is_left_reaches_the_function(clock) -> None:
    """A function can hand what is left of its operation's time to its client; a nested operation has no more than that."""
    seen = []

    def look(advance=0.0):
        clock.advance(advance)
        seen.append(remaining_time(clock))

    inner = operation(clock, name="inner", timeout=100.0)(look)
    operation(clock, timeout=8.0)(lambda: (look(), clock.advance(3.0), inner()))()
    operation(clock, timeout=8.0, attempt_timeout=2.0)(look)()
    operation(clock, attempt_timeout=2.0)(look)(3.0)
    look()
    assert seen == [8.0, 5.0, 2.0, 0.0, None]


def test_a_nested_operation_keeps_to_the_outer_time(clock) -> None:
    """An inner layer without a limit of its own does not sleep past the outer one's."""
    function, calls = always(OSError)
    inner = operation(clock, 10, name="inner", delay=4.0)(function)
    with pytest.raises(OSError):
        operation(clock, timeout=5.0)(inner)()
    assert calls == [2]
    assert clock.slept == [2.0]


def test_each_attempt_has_its_own_time(clock) -> None:
    """Repeats get a fresh time for the attempt, within the total."""
    seen = []

    def look():
        seen.append(remaining_time(clock))
        clock.advance(1.0)
        raise OSError

    with pytest.raises(OSError):
        operation(clock, timeout=5.0, attempt_timeout=3.0, delay=1.0)(look)()
    assert seen == [3.0, 3.0, 1.5]


# Fallback.


def test_the_fallback_answers_for_refusals_and_failures(clock) -> None:
    """It gets the same arguments and finds the error in sys.exception(); an event tells of it."""
    found = []

    def fallback(symbol):
        found.append(type(sys.exception()))
        return symbol.lower()

    fetch = operation(clock, 0, fallback=fallback)(always(ConnectionError)[0])
    assert fetch("AAPL") == "aapl"
    CircuitBreaker("quotes").force_open()
    assert fetch("AAPL") == "aapl"
    assert found == [ConnectionError, CircuitOpen]


def test_the_fallback_answers_after_an_inner_layer_gave_up(clock) -> None:
    """Marked as given up is not marked as hopeless: the outer layer's fallback is still the answer."""
    inner = operation(clock, name="inner")(always(OSError)[0])
    assert operation(clock, fallback=lambda: "cached")(inner)() == "cached"


def test_the_fallback_does_not_hide_an_unknown_outcome(clock) -> None:
    """Nor errors that `on` leaves out: both must reach somebody."""
    for error, on in ((CommitOutcomeUnknown("default"), Exception), (ValueError("no such symbol"), OSError)):
        with pytest.raises(type(error)):
            operation(clock, on=on, fallback=lambda: "cached")(always(error)[0])()


def test_a_fallback_that_fails_raises_its_own_error(clock) -> None:
    """With the original failure as its context."""

    def fallback():
        raise LookupError("not cached")

    with pytest.raises(LookupError) as caught:
        operation(clock, 0, fallback=fallback)(always(OSError)[0])()
    assert isinstance(caught.value.__context__, OSError)


# What cannot be decorated.


def test_generators_are_refused() -> None:
    """What was yielded cannot be taken back."""

    def rows():
        yield 1

    async def rows_async():
        yield 1

    for function in (rows, rows_async, functools.partial(rows)):
        with pytest.raises(TypeError, match="is a generator"):
            resilient_operation(function)


@pytest.mark.parametrize("thing", [staticmethod(len), classmethod(len), int, 7], ids=repr)
def test_other_things_are_refused(thing) -> None:
    """The message says what to decorate instead."""
    with pytest.raises(TypeError, match="resilient_operation"):
        resilient_operation()(thing)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((-1,), {}),
        ((True,), {}),
        ((2.5,), {}),
        ((), {"timeout": 0}),
        ((), {"attempt_timeout": float("inf")}),
        ((), {"on": KeyboardInterrupt}),
        ((), {"on": 7}),
        ((), {"delay": -1}),
        ((), {"delay": "1"}),
        ((), {"timeout": "1"}),
        ((), {"circuit_breaker": "quotes"}),
        ((), {"budget": 3}),
    ],
)
def test_arguments_without_sense_are_refused(arguments, options) -> None:
    """At decoration time, not at three in the morning."""
    with pytest.raises((ConfigurationError, TypeError)):
        resilient_operation(*arguments, **options)(lambda: None)


# Events, cycles, threads.


def test_events_tell_the_story(clock, seen) -> None:
    """One event per wait and one for giving up; a success at the first try sends none."""
    operation(clock)(Dependency())()
    assert seen == []
    with pytest.raises(OSError):
        operation(clock, 1)(always(OSError)[0])()
    assert [type(event) for event in seen] == [events.RetryScheduled, events.RetryGivenUp]
    assert (seen[0].wait, seen[0].error, seen[1].calls) == (0.5, "OSError", 2)


@pytest.mark.parametrize("options", [{}, {"timeout": 9.0}], ids=["plain", "limited"])
def test_failures_leave_no_reference_cycle(clock, options) -> None:
    """What the failed call held is freed when the caller is done with the error, without the garbage collector."""

    class Big:
        pass

    def fails():
        big = Big()
        held.append(weakref.ref(big))
        raise OSError

    held: list[weakref.ref] = []
    gc.disable()
    try:
        with contextlib.suppress(OSError):
            operation(clock, 1, **options)(fails)()
        operation(clock, 0, fallback=int, **options)(fails)()
        assert [ref() for ref in held] == [None] * 3
    finally:
        gc.enable()


def test_threads_share_an_operation(clock) -> None:
    """Calls of many threads do not mix up their failures."""
    start, results = threading.Barrier(8), []

    @operation(clock, 1, circuit_breaker=False, sleep=lambda _: None)
    def fetch(number, failed):
        if not failed:
            failed.append(1)
            raise OSError(number)
        return number

    def caller(number):
        start.wait(10)
        results.append(fetch(number, []))

    threads = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(results) == list(range(8))
