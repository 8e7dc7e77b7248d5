"""One call under `database_retry`: the loop in its synchronous and its asynchronous form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from stalwart.database.failed_call import FailedCall
from stalwart.database.retry_plan import RetryPlan
from stalwart.database.watch import CallWatch, entered, watched

R = TypeVar("R")


def call(
    plan: RetryPlan, name: str, function: Callable[..., R], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> R:
    """Make a synchronous call under the plan."""
    watch = plan.watch(name)
    if watch is None:
        return function(*args, **kwargs)
    state: FailedCall | None = None
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
            state = state or FailedCall(plan, name)
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
    watch = await entered(partial(_begin, plan, name))
    if watch is None:
        return await function(*args, **kwargs)
    state: FailedCall | None = None
    while True:
        try:
            result = await watched(watch, function, args, kwargs)
        except Exception as error:  # noqa: BLE001  told apart below; what is not ours is raised again
            failure = error
        else:
            _succeeded(plan, state)
            return result
        try:
            state = state or FailedCall(plan, name)
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
        watch = await entered(CallWatch(watch.connections, shared=True).enter)


def _succeeded(plan: RetryPlan, state: FailedCall | None) -> None:
    if state is not None:
        state.succeeded()
    elif plan.budget.low:
        plan.budget.deposit()


def _begin(plan: RetryPlan, name: str, begun: list[CallWatch]) -> CallWatch | None:
    watch = plan.watch(name, shared=True)
    return None if watch is None else watch.enter(begun)
