"""`Bulkhead`: at most so many calls of a dependency at once, and a refusal at once instead of a queue without bound."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from stalwart.exceptions import BulkheadFull
from stalwart.policies.faults import says_nothing
from stalwart.policies.limiter import Fixed, Limit

P = ParamSpec("P")
R = TypeVar("R")


class Bulkhead:
    """Keeps one slow dependency from taking all threads or connections of the process.

    Use it as a decorator, or around a block: `with bulkhead.enter():`, also `async with`. Nobody waits in it, so it can be
    used in an event loop as well as in threads.

    Args:
        name: of the dependency, for the error.
        limit: calls at once, a number or a `Limit` that learns.
        clock: for tests; seconds of a monotonic clock.
    """

    def __init__(self, name: str, limit: int | Limit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.limit: Limit = Fixed(limit) if isinstance(limit, int) else limit
        self.clock = clock
        self.in_flight = 0
        self.refused = 0
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<Bulkhead {self.name!r} {self.in_flight} of {self.limit.value:.1f}>"

    def enter(self) -> Slot:
        """A context manager for one call.

        Raises:
            BulkheadFull: by entering it, when the limit is reached.
        """
        return Slot(self)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or coroutine function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                with Slot(self):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", async_wrapper)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with Slot(self):
                return function(*args, **kwargs)

        return wrapper

    def take(self) -> int:
        """Take a place; how many are taken now.

        Raises:
            BulkheadFull: when the limit is reached.
        """
        with self._lock:
            limit = max(1, int(self.limit.value))
            if self.in_flight < limit:
                self.in_flight += 1
                return self.in_flight
            self.refused += 1
        raise BulkheadFull(self.name, limit)

    def give_back(self, seconds: float, in_flight: int, *, dropped: bool | None) -> None:
        """The call is over. `dropped` is None when it says nothing about the dependency."""
        with self._lock:
            self.in_flight -= 1
            if dropped is not None:
                self.limit.learn(seconds, in_flight, dropped=dropped)


class Slot:
    """One place in a bulkhead."""

    __slots__ = ("_began", "_bulkhead", "_in_flight")

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead
        self._in_flight = 0
        self._began = 0.0

    def __enter__(self) -> None:
        if self._in_flight:
            raise RuntimeError(
                f"this slot of bulkhead {self._bulkhead.name!r} is in use; call enter() for every call"
            )
        self._in_flight = self._bulkhead.take()
        self._began = self._bulkhead.clock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        in_flight, self._in_flight = self._in_flight, 0
        dropped: bool | None = None
        if error is None:
            dropped = False
        elif isinstance(error, Exception) and not says_nothing(error):
            # An error that came at once is an answer and says nothing of a load; a time-out is what overload looks like.
            dropped = True if isinstance(error, TimeoutError) else None
        self._bulkhead.give_back(self._bulkhead.clock() - self._began, in_flight, dropped=dropped)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
