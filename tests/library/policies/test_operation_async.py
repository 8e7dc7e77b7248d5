"""`resilient_operation` around coroutine functions."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from stalwart.exceptions import CircuitOpen
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.deadline import remaining_time
from stalwart.policies.operation import resilient_operation
from stalwart.policies.phases import State


def operation(clock, max_retries=3, circuit_breaker=True, **options):
    defaults = {
        "name": "quotes",
        "clock": clock,
        "sleep": clock.sleep_async,
        "random": lambda: 0.5,
        "delay": 1.0,
    }
    return resilient_operation(max_retries, circuit_breaker, **{**defaults, **options})


def dependency(*errors):
    left, calls = list(errors), []

    async def fetch(*args, **kwargs):
        calls.append(1)
        await asyncio.sleep(0)
        if left:
            raise left.pop(0)
        return args, kwargs

    return fetch, calls


def test_repeats_until_it_succeeds(clock) -> None:
    """A decorated coroutine function is one, and repeats like a function."""
    fetch, calls = dependency(OSError(), OSError())
    decorated = operation(clock)(fetch)
    assert inspect.iscoroutinefunction(decorated)
    assert asyncio.run(decorated(1, key=2)) == ((1,), {"key": 2})
    assert (len(calls), clock.slept) == (3, [0.5, 1.0])


def test_at_most_n_plus_one_calls_when_nested(clock) -> None:
    """Only the innermost of nested layers repeats, also through a task group."""
    fetch, calls = dependency(*[OSError() for _ in range(99)])
    inner = operation(clock, name="inner")(fetch)

    @operation(clock)
    async def outer():
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())

    with pytest.raises(ExceptionGroup):
        asyncio.run(outer())
    assert len(calls) == 4


def test_cancellation_is_neutral_and_never_repeated(clock) -> None:
    """A cancelled call ends at once, the circuit does not hear of it, and a cancelled probe frees its place."""
    breaker = CircuitBreaker("quotes", clock=clock, minimum_calls=1, probes=1, random=lambda: 0.0)
    hang, calls = [True], []

    @operation(clock, 0)
    async def fetch():
        calls.append(1)
        if hang[0]:
            await asyncio.Event().wait()

    async def cancelled() -> None:
        task = asyncio.create_task(fetch())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert breaker.status().calls == 0
    breaker.enter().failed(0)
    clock.advance(5)
    asyncio.run(cancelled())
    assert (breaker.state, len(calls)) == (State.HALF_OPEN, 2)
    hang[0] = False
    asyncio.run(fetch())
    assert breaker.state is State.CLOSED


def test_a_cancelled_repeat_gives_its_permit_back(clock) -> None:
    """A repeat that became a probe, because the wait outlasted the open time, frees its place when it is cancelled."""
    breaker = CircuitBreaker("quotes", clock=clock, minimum_calls=1, open_for=0.1, random=lambda: 0.0)
    fetch, calls = dependency(OSError(), asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(operation(clock)(fetch)())
    assert (breaker.state, len(calls)) == (State.HALF_OPEN, 2)
    assert not isinstance(breaker.enter(), CircuitOpen)


@pytest.mark.parametrize("options", [{"timeout": 0.01}, {"attempt_timeout": 0.01}])
def test_a_hanging_call_is_cancelled_at_its_limit(clock, options) -> None:
    """Here limits are enforced: the hanging call ends with TimeoutError and counts as a failure."""

    @operation(clock, 0, **options)
    async def fetch():
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(fetch(), 10))
    assert CircuitBreaker("quotes").status().failure_rate == 1


def test_each_attempt_has_its_own_limit(clock) -> None:
    """After an attempt that hung, the next one has time again."""
    calls = []

    @operation(clock, attempt_timeout=0.01)
    async def fetch():
        calls.append(remaining_time(clock))
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "done"

    assert asyncio.run(fetch()) == "done"
    assert calls == [pytest.approx(0.01), pytest.approx(0.01)]


def test_no_wait_is_begun_that_does_not_fit(clock) -> None:
    """The deadline counts for coroutines as for functions."""
    fetch, calls = dependency(*[OSError() for _ in range(99)])
    with pytest.raises(OSError):
        asyncio.run(operation(clock, 10, delay=2.0, timeout=3.0)(fetch)())
    assert (len(calls), clock.slept) == (2, [1.0])


@pytest.mark.parametrize("asynchronous", [False, True])
def test_fallbacks_of_either_kind(clock, asynchronous) -> None:
    """A fallback may be a function or a coroutine function; it answers refusals too."""

    async def cached_async(word):
        return word.lower()

    fetch, calls = dependency(*[OSError() for _ in range(99)])
    call = operation(clock, 0, fallback=cached_async if asynchronous else str.lower)(fetch)
    assert asyncio.run(call("A")) == "a"
    CircuitBreaker("quotes").force_open()
    assert asyncio.run(call("A")) == "a"
    assert len(calls) == 1


def test_refusals_and_slow_calls(clock) -> None:
    """The circuit refuses coroutines, and sees that they are slow."""
    CircuitBreaker("quotes", clock=clock, slow_seconds=2.0, minimum_calls=2)

    @operation(clock)
    async def fetch():
        clock.advance(2)

    async def use() -> None:
        await fetch()
        await fetch()
        with pytest.raises(CircuitOpen):
            await fetch()

    asyncio.run(use())


def test_a_circuit_that_opens_during_the_wait(clock) -> None:
    """The repeat is not made, and the error is the one that was seen."""

    async def sleep(_):
        CircuitBreaker("quotes").force_open()

    fetch, calls = dependency(OSError("seen"), OSError())
    with pytest.raises(OSError, match="seen"):
        asyncio.run(operation(clock, sleep=sleep)(fetch)())
    assert len(calls) == 1


def test_objects_with_an_asynchronous_call(clock) -> None:
    """An object whose __call__ is a coroutine function is awaited, not taken for done when it returns."""
    fetch, calls = dependency(OSError())

    class Client:
        async def __call__(self):
            return await fetch()

    asyncio.run(operation(clock)(Client())())
    assert len(calls) == 2


def test_many_tasks_meet_inside(clock) -> None:
    """Nothing is held while a task awaits."""

    async def use() -> int:
        barrier = asyncio.Barrier(50)
        call = operation(clock)(barrier.wait)
        return len(await asyncio.gather(*(call() for _ in range(50))))

    assert asyncio.run(use()) == 50
