"""The bulkhead."""

from __future__ import annotations

import asyncio
import threading

import pytest

from stalwart.exceptions import BulkheadFull
from stalwart.policies.bulkhead import Bulkhead
from stalwart.policies.limiter import Aimd


def test_lets_so_many_in_and_refuses_the_rest_at_once() -> None:
    """Nobody queues: of twenty callers four are inside, and sixteen know it at once."""
    bulkhead, start, hold = Bulkhead("quotes", 4), threading.Barrier(20), threading.Event()
    inside, refused = [], []

    @bulkhead
    def call() -> None:
        inside.append(1)
        hold.wait(10)

    def caller() -> None:
        start.wait(10)
        try:
            call()
        except BulkheadFull as error:
            refused.append((error.name, error.limit))
            if len(refused) == 16:
                hold.set()

    threads = [threading.Thread(target=caller) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(inside) == 4
    assert set(refused) == {("quotes", 4)}
    assert (bulkhead.in_flight, bulkhead.refused) == (0, 16)


@pytest.mark.parametrize("error", [OSError(), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_a_place_comes_back_however_the_call_ends(error) -> None:
    """Errors, interruption and cancellation give it back."""
    bulkhead = Bulkhead("quotes", 1)
    for _ in range(3):
        with pytest.raises(type(error)), bulkhead.enter():
            raise error
    assert bulkhead.in_flight == 0


def test_coroutines() -> None:
    """Decorated coroutine functions hold their place while they await; a cancelled one gives it back."""
    bulkhead = Bulkhead("quotes", 2)

    @bulkhead
    async def call(hold: asyncio.Event) -> None:
        async with Bulkhead("inner", 1).enter():
            await hold.wait()

    async def use() -> None:
        hold = asyncio.Event()
        tasks = [asyncio.create_task(call(hold)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFull):
            await call(hold)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert bulkhead.in_flight == 1
        hold.set()
        await tasks[1]

    asyncio.run(use())
    assert bulkhead.in_flight == 0


def test_a_limit_that_learns(clock) -> None:
    """Time-outs shrink it, other errors and interruptions teach it nothing, successes grow it when it is used."""
    bulkhead = Bulkhead("quotes", Aimd(2.0, maximum=4.0), clock=clock)
    for error in (OSError(), KeyboardInterrupt(), TypeError()):
        with pytest.raises(type(error)), bulkhead.enter():
            raise error
    assert bulkhead.limit.value == 2
    with pytest.raises(TimeoutError), bulkhead.enter():
        raise TimeoutError
    assert bulkhead.limit.value == 1.8
    with bulkhead.enter():
        clock.advance(1)
    assert bulkhead.limit.value > 1.8


def test_a_slot_is_for_one_call() -> None:
    """A slot that is entered twice at once says so, rather than lose a place."""
    slot = Bulkhead("quotes", 5).enter()
    with slot, pytest.raises(RuntimeError, match="is in use"), slot:
        pass
    with slot:
        pass
