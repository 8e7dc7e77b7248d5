"""`resilient_operation` around a coroutine function; line by line the asynchronous half of `operation_sync`.

Here a limit of time is enforced: the call is cancelled at its end and counts as failed with `TimeoutError`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from stalwart.exceptions import CircuitOpen
from stalwart.policies.deadline import ambient
from stalwart.policies.phases import Permit
from stalwart.policies.plan import Course, Plan


def wrap(plan: Plan, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The wrapper, a coroutine function."""
    switch, breaker, budget, limited = plan.switch, plan.breaker, plan.budget, plan.limited

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if switch.on is not True and (switch.on is False or not switch.ask()):
            return await function(*args, **kwargs)
        if limited or (record := breaker.record) is None:
            return await timed(plan, function, args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  raised again, or repeated
            failure = error
        else:
            record(0)
            if budget.low:
                budget.deposit()
            return result
        try:
            permit = breaker.permit_of(record)
            return await again(plan, function, args, kwargs, ambient.get(), failure, permit, 0.0)
        finally:
            del failure  # its traceback holds this frame: a cycle

    return wrapper


async def timed(
    plan: Plan, function: Callable[..., Awaitable[Any]], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """A call whose length matters, or whose circuit may refuse it."""
    permit = plan.breaker.phase.enter()
    if isinstance(permit, CircuitOpen):
        return await instead(plan, Course(plan, None), permit, args, kwargs)
    began = plan.clock()
    until = plan.ends(began)
    try:
        result = await within(plan, began, until, function, args, kwargs)
    except Exception as error:  # noqa: BLE001  raised again, or repeated
        failure = error
    except BaseException:
        permit.released()
        raise
    else:
        permit.succeeded(plan.clock() - began)
        if plan.budget.low:
            plan.budget.deposit()
        return result
    try:
        return await again(plan, function, args, kwargs, until, failure, permit, plan.clock() - began)
    finally:
        del failure


async def within(
    plan: Plan,
    began: float,
    until: float | None,
    function: Callable[..., Awaitable[Any]],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """One call, cancelled when the operation's own time is up."""
    ends = plan.attempt_ends(began, until)
    if not plan.limited or ends is None:
        return await function(*args, **kwargs)
    token = ambient.set(ends)
    try:
        async with asyncio.timeout(max(0.0, ends - began)):
            return await function(*args, **kwargs)
    finally:
        ambient.reset(token)


async def again(
    plan: Plan,
    function: Callable[..., Awaitable[Any]],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    until: float | None,
    failure: Exception,
    permit: Permit,
    seconds: float,
) -> Any:
    """What comes after a first call that failed: repeats, the fallback, or the failure."""
    course = Course(plan, until)
    try:
        while True:
            plan.breaker.settle(permit, failure, seconds)
            wait = course.after(failure)
            if wait is None:
                return await instead(plan, course, failure, args, kwargs)
            await plan.sleep(wait)
            entered = plan.breaker.enter()
            if isinstance(entered, CircuitOpen):
                course.refused()
                return await instead(plan, course, failure, args, kwargs)
            permit, began = entered, plan.clock()
            try:
                result = await within(plan, began, until, function, args, kwargs)
            except Exception as error:  # noqa: BLE001  raised again, or repeated
                failure, seconds = error, plan.clock() - began
            except BaseException:
                permit.released()
                raise
            else:
                permit.succeeded(plan.clock() - began)
                course.succeeded()
                return result
    finally:
        course.failure = None
        del failure


async def instead(
    plan: Plan, course: Course, failure: Exception, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """The fallback's answer, or the failure."""
    try:
        if plan.fallback is None or not course.may_fall_back(failure):
            raise failure
        try:
            raise failure  # noqa: TRY301  to be handled, see below
        except Exception:  # noqa: BLE001  so that the fallback finds it in sys.exception()
            answer = plan.fallback(*args, **kwargs)
            return await answer if inspect.isawaitable(answer) else answer
    finally:
        del failure
