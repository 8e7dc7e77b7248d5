"""`database_retry`: make a call again when its database failed in a way that passes."""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast, overload

from stalwart.database.codes import ErrorClass
from stalwart.database.retry_call import call, call_async
from stalwart.database.retry_plan import RetryPlan
from stalwart.exceptions import ConfigurationError
from stalwart.policies.backoff import Backoff
from stalwart.policies.budget import RetryBudget

P = ParamSpec("P")
R = TypeVar("R")

On: TypeAlias = type[Exception] | ErrorClass | Iterable["type[Exception] | ErrorClass"]


@overload
def database_retry(max_retries: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def database_retry(
    max_retries: int = 3,
    delay: float = 0.05,
    backoff: float = 2.0,
    *,
    max_delay: float = 2.0,
    using: str | Iterable[str] | None = None,
    on: On = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def database_retry(
    max_retries: int | Callable[..., Any] = 3,
    delay: float = 0.05,
    backoff: float = 2.0,
    *,
    max_delay: float = 2.0,
    using: str | Iterable[str] | None = None,
    on: On = (),
) -> Any:
    """Decorator, with or without arguments, for functions and coroutine functions that use Django's databases.

    A call is made again after a deadlock or serialization failure, a lock that was not to be had, a lost connection, a
    demoted primary, or a server that is full, and only if it had no lasting effect yet. After a lost connection the
    repeat first waits for a usable one, by jittered connect attempts for up to
    `STALWART["DATABASE"]["RECONNECT_WITHIN"]` seconds (4) per decorated call; these attempts are not calls.

    **COMMIT** is not guessed. On PostgreSQL with psycopg 3 the transaction's id is learnt with its first write, in the same
    message, and when the reply to COMMIT is lost, a new connection asks the server: what is committed ends as if the reply
    had come, what is not is repeated. What cannot be found out is raised as `CommitOutcomeUnknown`.

    While a repeat waits, a connection from a pool goes back to it, unless the session holds a cursor, an advisory lock or
    a temporary table.

    Waits that were in vain open a circuit ("database:<alias>"): in a long outage calls then try once and fail, instead of
    holding every thread for 4 s; `CircuitBreaker("database:default", ...)` sets when. Repeats after an overload that the server
    has answered (53xxx) are paid for by a budget that all call sites with the same `using` share; others wait or are cheap.

    It is never repeated

    * when something that the call wrote is already committed, be it by an inner `atomic` block or a statement in
      autocommit mode, also when an `on_commit` hook failed after the commit;
    * when a write in autocommit mode lost its connection, or a COMMIT that cannot be settled as above (another database,
      a transaction that nobody saw writing): it is done or not, and that is raised as `CommitOutcomeUnknown`. A COMMIT that
      the server refused with a code was surely not done and counts as any other error. Writes are told from reads by the
      statement's first word (`SELECT`, `SHOW`, ... read; `WITH` reads unless a changing word is in it). A SELECT whose
      function writes, COPY and statements on a raw driver connection are not seen as writes: give such a function an
      `atomic` block of its own, and nothing beside it;
    * after a statement timeout, and for errors that are no database errors.

    Inside an outer transaction a repeat cannot succeed, so there the call is refused, before it begins:
    `RetryInsideTransaction`. Two cases pass straight through instead: inside another layer of ours, which repeats the
    whole (a decorated function's own block, a resilient transaction), and in Django's `TestCase`.

    When the repeats are used up, the database's error is raised as it came, with a note on calls and waits. The function
    must not hand out something lazy: a queryset that is evaluated by the caller is evaluated outside the decorator.

    Args:
        max_retries: repeats at most, so `max_retries + 1` calls. Of nested decorators only the innermost repeats.
        delay: seconds; the first wait is drawn from 0 to this.
        backoff: growth of that upper end from one wait to the next, at least 1.
        max_delay: seconds; upper end of any wait.
        using: alias or aliases of the databases that the function works with; None means all that are configured.
        on: exception types (not only database ones) or classes of errors to repeat for as well, e.g.
            `ErrorClass.CONDITIONAL` for a unique key that another transaction took first.

    Raises:
        TypeError: (when decorating) for something that is no function, and for generators, whose rows are already
            with the caller when the database fails; use `QuerysetMemoryOptimizer.chunk_queryset`, which can resume.
        ConfigurationError: (when decorating) for arguments that make no sense.
        CommitOutcomeUnknown: (when calling) see above.
        RetryInsideTransaction: (when calling) see above.
    """
    if not isinstance(max_retries, int):
        return database_retry()(max_retries)
    if isinstance(max_retries, bool) or max_retries < 0:
        raise ConfigurationError(f"max_retries is {max_retries!r}; use a whole number, 0 or more")
    types, classes = _split(on)
    aliases = None if using is None else _aliases(using)
    plan = RetryPlan(
        max_retries=max_retries,
        backoff=Backoff(base=delay, multiplier=backoff, cap=max_delay),
        aliases=aliases,
        on_types=types,
        on_classes=classes,
        random=random.random,
        clock=time.monotonic,
        sleep=time.sleep,
        budget=RetryBudget(":".join(("database", *sorted(aliases or ())))),
    )

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        _refuse_what_cannot_be_repeated(function)
        name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
        if inspect.iscoroutinefunction(function):
            coroutine_function = cast("Callable[..., Awaitable[Any]]", function)

            @functools.wraps(function)
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                return await call_async(plan, name, coroutine_function, args, kwargs)

            return cast("Callable[P, R]", async_wrapper)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return call(plan, name, function, args, kwargs)

        return wrapper

    return decorate


def _aliases(using: str | Iterable[str]) -> tuple[str, ...]:
    aliases = (using,) if isinstance(using, str) or not isinstance(using, Iterable) else tuple(using)
    if not aliases or not all(isinstance(each, str) for each in aliases):
        raise ConfigurationError(f"using is {using!r}; use an alias of settings.DATABASES, or some of them")
    return aliases


def _split(on: On) -> tuple[tuple[type[Exception], ...], frozenset[ErrorClass]]:
    several = isinstance(on, Iterable) and not isinstance(on, (type, str))
    entries: tuple[Any, ...] = tuple(cast("Iterable[Any]", on)) if several else (on,)
    for entry in entries:
        if not isinstance(entry, ErrorClass) and not (
            isinstance(entry, type) and issubclass(entry, Exception)
        ):
            raise ConfigurationError(f"on holds {entry!r}; use exception types and members of ErrorClass")
    types = tuple(entry for entry in entries if isinstance(entry, type))
    return types, frozenset(entry for entry in entries if isinstance(entry, ErrorClass))


def _refuse_what_cannot_be_repeated(function: object) -> None:
    if isinstance(function, (staticmethod, classmethod)):
        raise TypeError(
            f"database_retry got a {type(function).__name__}; write @database_retry below it, not above"
        )
    if isinstance(function, type) or not callable(function):
        raise TypeError(
            f"database_retry decorates functions, not {function!r}; decorate the method that uses the database"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{getattr(function, '__qualname__', function)} is a generator: what it has yielded cannot be taken back, so it cannot be repeated. "
            "Decorate a function that returns a list, or iterate with QuerysetMemoryOptimizer.chunk_queryset."
        )
