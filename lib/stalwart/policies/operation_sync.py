"""`resilient_operation` around a function: the short way of a success, and the loop of everything else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from typing import Any

from stalwart.exceptions import CircuitOpen
from stalwart.policies.deadline import ambient
from stalwart.policies.phases import Permit
from stalwart.policies.plan import Course, Plan


def wrap(plan: Plan, function: Callable[..., Any]) -> Callable[..., Any]:
    """The wrapper, in the shortest form that the plan allows. It is written out in full where a call of a function of ours
    would cost as much as what that does: see benchmarks/policies.py.
    """
    return _wrap_limited(plan, function) if plan.limited else _wrap_plain(plan, function)


def _wrap_plain(plan: Plan, function: Callable[..., Any]) -> Callable[..., Any]:
    switch, breaker, budget, clock = plan.switch, plan.breaker, plan.budget, plan.breaker.clock
    name, may_raise = breaker.name, plan.fallback is None

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if switch.on is not True and (switch.on is False or not switch.ask()):
            # Without the test an empty dict would be copied in every call, a quarter of what a wrapper costs.
            return function(*args, **kwargs) if kwargs else function(*args)
        record = breaker.record
        if record is None:
            if breaker.lane is not None:
                return watched(args, kwargs)
            if may_raise and (wait := breaker.phase.until - clock()) > 0:
                raise CircuitOpen(name, wait)
            return admitted(plan, function, args, kwargs)
        try:
            result = function(*args, **kwargs) if kwargs else function(*args)
        except Exception as error:  # noqa: BLE001  raised again, or repeated
            failure = error
        else:
            record(0)
            if budget.low:
                budget.deposit()
            return result
        # Out of the except block on purpose: what comes now must not get this failure as its context.
        try:
            return again(plan, function, args, kwargs, ambient.get(), failure, breaker.permit_of(record), 0.0)
        finally:
            del failure  # its traceback holds this frame: a cycle

    def watched(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The same for a circuit that looks at the lengths of calls."""
        lane = breaker.lane
        if lane is None:
            return admitted(plan, function, args, kwargs)
        record, slow_seconds, phase = lane
        began = clock()
        try:
            result = function(*args, **kwargs) if kwargs else function(*args)
        except Exception as error:  # noqa: BLE001  raised again, or repeated
            failure = error
        else:
            seconds = clock() - began
            if seconds < slow_seconds:
                record(0)
            else:
                phase.succeeded(seconds)
            if budget.low:
                budget.deposit()
            return result
        try:
            return again(plan, function, args, kwargs, ambient.get(), failure, phase, clock() - began)
        finally:
            del failure

    return wrapper


def _wrap_limited(plan: Plan, function: Callable[..., Any]) -> Callable[..., Any]:
    switch, breaker, budget, clock = plan.switch, plan.breaker, plan.budget, plan.clock
    name, may_raise = breaker.name, plan.fallback is None
    now_ends, begin, end = ambient.get, ambient.set, ambient.reset
    span = min(each for each in (plan.timeout, plan.attempt_timeout) if each is not None)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if switch.on is not True and (switch.on is False or not switch.ask()):
            return function(*args, **kwargs) if kwargs else function(*args)
        lane = breaker.lane
        if lane is None:
            if may_raise and (wait := breaker.phase.until - breaker.clock()) > 0:
                raise CircuitOpen(name, wait)
            return admitted(plan, function, args, kwargs)
        record, slow_seconds, phase = lane
        began = clock()
        around, until = now_ends(), began + span
        token = begin(until if around is None or until < around else around)
        try:
            result = function(*args, **kwargs) if kwargs else function(*args)
        except Exception as error:  # noqa: BLE001  raised again, or repeated
            failure = error
        else:
            seconds = clock() - began
            if seconds < slow_seconds:
                record(0)
            else:
                phase.succeeded(seconds)
            if budget.low:
                budget.deposit()
            return result
        finally:
            end(token)
        try:
            return again(plan, function, args, kwargs, plan.ends(began), failure, phase, clock() - began)
        finally:
            del failure

    return wrapper


def admitted(plan: Plan, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A call that has to ask the circuit."""
    permit = plan.breaker.phase.enter()
    if isinstance(permit, CircuitOpen):
        return instead(plan, Course(plan, None), permit, args, kwargs)
    clock = plan.clock
    began = clock()
    token: Token[float | None] | None = None
    if plan.limited:
        token = ambient.set(plan.attempt_ends(began, plan.ends(began)))
    try:
        result = function(*args, **kwargs) if kwargs else function(*args)
    except Exception as error:  # noqa: BLE001  raised again, or repeated
        failure = error
    except BaseException:
        permit.released()
        raise
    else:
        permit.succeeded(clock() - began)
        if plan.budget.low:
            plan.budget.deposit()
        return result
    finally:
        if token is not None:
            ambient.reset(token)
    try:
        return again(plan, function, args, kwargs, plan.ends(began), failure, permit, clock() - began)
    finally:
        del failure


def again(
    plan: Plan,
    function: Callable[..., Any],
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
                return instead(plan, course, failure, args, kwargs)
            plan.sleep(wait)
            entered = plan.breaker.enter()
            if isinstance(entered, CircuitOpen):
                course.refused()
                return instead(plan, course, failure, args, kwargs)
            permit, began = entered, plan.clock()
            token = ambient.set(plan.attempt_ends(began, until))
            try:
                result = function(*args, **kwargs)
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
                ambient.reset(token)
    finally:
        course.failure = None
        del failure


def instead(
    plan: Plan, course: Course, failure: Exception, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """The fallback's answer, or the failure."""
    try:
        if plan.fallback is None or not course.may_fall_back(failure):
            raise failure
        try:
            raise failure  # noqa: TRY301  to be handled, see below
        except Exception:  # noqa: BLE001  so that the fallback finds it in sys.exception()
            return plan.fallback(*args, **kwargs)
    finally:
        del failure
