"""`resilient_operation`: retry, circuit breaker, retry budget and deadline in one wrapper."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random as _random
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast, overload

from stalwart.exceptions import ConfigurationError
from stalwart.policies import operation_async, operation_sync
from stalwart.policies.backoff import Backoff
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.budget import UNLIMITED, RetryBudget
from stalwart.policies.faults import Kinds, matcher
from stalwart.policies.finite import is_finite
from stalwart.policies.plan import Plan
from stalwart.policies.switch import ERRORS, Switch

P = ParamSpec("P")
R = TypeVar("R")


@overload
def resilient_operation(max_retries: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def resilient_operation(
    max_retries: int = 3,
    circuit_breaker: bool | CircuitBreaker = True,
    *,
    name: str | None = None,
    timeout: float | None = None,
    attempt_timeout: float | None = None,
    budget: bool | RetryBudget = True,
    on: Kinds | None = None,
    fallback: Callable[..., Any] | None = None,
    delay: float = 0.05,
    backoff: float = 2.0,
    max_delay: float = 20.0,
    switch: Switch = ERRORS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] | None = None,
    random: Callable[[], float] = _random.random,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def resilient_operation(
    max_retries: int | Callable[..., Any] = 3,
    circuit_breaker: bool | CircuitBreaker = True,
    *,
    name: str | None = None,
    timeout: float | None = None,
    attempt_timeout: float | None = None,
    budget: bool | RetryBudget = True,
    on: Kinds | None = None,
    fallback: Callable[..., Any] | None = None,
    delay: float = 0.05,
    backoff: float = 2.0,
    max_delay: float = 20.0,
    switch: Switch = ERRORS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] | None = None,
    random: Callable[[], float] = _random.random,
) -> Any:
    """Decorator, with or without arguments, for functions and coroutine functions that call something which can fail.

    A call that fails is made again after a jittered wait, at most `max_retries` times, while the dependency's circuit is closed,
    its retry budget pays and the time allows. **It must bear being made twice**: name in `on` the errors after which
    that is so. When there is no further call, the error is raised as it came, with a note on calls and waits.

    * Of nested layers only the innermost repeats (also with `database_retry`), so there are `max_retries + 1` calls in all.
    * Errors of Stalwart itself are never repeated: a refusal would only be met again, and a repeat could double a write
      whose outcome is unknown. Neither are `BaseException`s that are no `Exception` (cancellation, Ctrl-C); they do not
      count for the circuit either.
    * Every call counts for the circuit by itself, the repeats too.
    * A function that returns something lazy (a queryset, an awaitable, a generator) is done, for this decorator, when it
      returns; generator functions are refused.

    Args:
        max_retries: repeats at most.
        circuit_breaker: True for `CircuitBreaker(name)`, False for none, or a circuit.
        name: of the dependency, shared by all that name it. Without one, the function's own dotted name.
        timeout: seconds for all calls and waits together. No wait is begun that does not fit. A coroutine is cancelled at
            the end of it, a function cannot be: it reads `stalwart.policies.deadline.remaining_time()`.
        attempt_timeout: the same for one call.
        budget: True for `RetryBudget(name)`, False for none, or a budget.
        on: what is repeated: exception types, or a function that gets the error and returns a truth value or the least
            number of seconds to wait (a Retry-After; at most 5 s more than would be waited anyway). By default every
            `Exception` but mistakes of the calling code (`stalwart.policies.faults.MISTAKES`).
        fallback: answers, with the same arguments, when the circuit refuses or when an error of `on` would be raised. The
            error is in `sys.exception()`. For a coroutine function it may be either kind.
        delay: seconds; the first wait is drawn from 0 to this.
        backoff: growth of that upper end from one wait to the next, at least 1.
        max_delay: seconds; upper end of any wait.
        switch, clock, sleep, random: for the parts of the library, and for tests.

    Raises:
        CircuitOpen: instead of a first call.
        ConfigurationError: for a number that makes no sense, or something else than exception types in `on`.
        TypeError: for what cannot be decorated.
    """
    if callable(max_retries):
        return resilient_operation()(max_retries)
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ConfigurationError(f"max_retries is {max_retries!r}; use a whole number, 0 or more")
    for argument, value in (("timeout", timeout), ("attempt_timeout", attempt_timeout)):
        if value is not None and not (is_finite(value) and value > 0):
            raise ConfigurationError(f"{argument} is {value!r}; use a finite number of seconds above 0")
    waits = Backoff(base=delay, multiplier=backoff, cap=max_delay)
    wanted = matcher(on, "on")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        refuse_what_cannot_be_repeated(function)
        dotted = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
        asynchronous = _is_async(function)
        plan = Plan(
            name=dotted,
            max_retries=max_retries,
            breaker=_breaker(circuit_breaker, name or dotted),
            budget=_budget(budget, name or dotted),
            on=wanted,
            backoff=waits,
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            fallback=fallback,
            switch=switch,
            clock=clock,
            sleep=sleep or (asyncio.sleep if asynchronous else time.sleep),
            random=random,
        )
        wrap = operation_async.wrap if asynchronous else operation_sync.wrap
        return cast("Callable[P, R]", wrap(plan, cast("Callable[..., Any]", function)))

    return decorate


def _breaker(wanted: bool | CircuitBreaker, name: str) -> CircuitBreaker:
    if isinstance(wanted, CircuitBreaker):
        return wanted
    if not isinstance(wanted, bool):
        raise ConfigurationError(f"circuit_breaker is {wanted!r}; use True, False or a CircuitBreaker")
    return CircuitBreaker(name) if wanted else CircuitBreaker.absent()


def _budget(wanted: bool | RetryBudget, name: str) -> RetryBudget:
    if isinstance(wanted, RetryBudget):
        return wanted
    if not isinstance(wanted, bool):
        raise ConfigurationError(f"budget is {wanted!r}; use True, False or a RetryBudget")
    return RetryBudget(name) if wanted else UNLIMITED


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  its kind is asked, not whether it is there
    )


def refuse_what_cannot_be_repeated(function: object) -> None:
    """Raise TypeError for what is no function, or yields."""
    if isinstance(function, (staticmethod, classmethod)):
        raise TypeError(
            f"resilient_operation got a {type(function).__name__}; write @resilient_operation below it, not above"
        )
    if isinstance(function, type) or not callable(function):
        raise TypeError(
            f"resilient_operation decorates functions, not {function!r}; decorate the method that does the call"
        )
    inner = function.func if isinstance(function, functools.partial) else function
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(
            f"{getattr(inner, '__qualname__', inner)} is a generator: what it has yielded cannot be taken back, so it cannot "
            "be repeated. Decorate a function that returns a list."
        )
