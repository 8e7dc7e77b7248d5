"""`Failover`: a primary and its fallbacks, each with a circuit of its own; the first healthy one is called."""

from __future__ import annotations

import random as _random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from stalwart import events
from stalwart.exceptions import CircuitOpen, CommitOutcomeUnknown, ConfigurationError, StalwartError
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.faults import Kinds, matcher
from stalwart.policies.finite import is_finite
from stalwart.policies.marker import links, note
from stalwart.policies.phases import Permit
from stalwart.policies.registry import objection_to
from stalwart.policies.switch import ERRORS, Switch

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FailoverStatus:
    """A failover as it is now.

    Attributes:
        name: of the failover.
        active: name of the target that calls prefer.
        targets: state of the circuit of each target, in order, by name; "suspect" for one that does not answer at present.
    """

    name: str
    active: str
    targets: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict."""
        return {"name": self.name, "active": self.active, "targets": dict(self.targets)}


class Failover(Generic[T]):
    """Calls go to the first target that is healthy, and back to the primary when that has healed.

    ::

        quotes = Failover("quotes", {"main": "https://a.example", "spare": "https://b.example"})
        quotes.run(lambda base: requests.get(f"{base}/AAPL", timeout=2))

    Health is seen in the calls themselves; no thread, no extra traffic. A target goes out of use after two failures among its
    latest four calls, or as soon as a call of it has been under way for `suspect_after`: a target that hangs would else be
    noticed only at the end of somebody's time-out. A call that failed goes on to the next target at once. After `retry_after` seconds, one
    call at a time tries a failed target again, and two good ones bring it back.

    Args:
        name: of the service; its circuits are `CircuitBreaker("name:target")`.
        targets: in order of preference, the primary first; by name, or a sequence (named "0", "1", ...). Callables,
            addresses, database aliases: whatever the function given to `run` wants.
        on: errors after which the next target is tried; by default every `Exception` but mistakes of the calling code. A
            `CommitOutcomeUnknown` never is: a second target would write a second time; nor is any error of which a part of the
            library knows that something was done all the same.
        repeat: False when a call must not be made twice: then an error is raised, and only later calls switch.
        retry_after: seconds until a failed target is tried again; grows by half with each try, to five times as much.
        suspect_after: seconds; must be longer than any call that is in order. None switches this off.
        switch, clock, random: for the parts of the library, and for tests.

    Raises:
        ConfigurationError: without a target, or for a number that makes no sense.
    """

    def __init__(
        self,
        name: str,
        targets: Mapping[str, T] | Sequence[T],
        *,
        on: Kinds | None = None,
        repeat: bool = True,
        retry_after: float = 1.0,
        suspect_after: float | None = 0.75,
        switch: Switch = ERRORS,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        named = targets if isinstance(targets, Mapping) else {str(i): each for i, each in enumerate(targets)}
        if not named:
            raise ConfigurationError(f"failover {name!r} has no target; give at least the primary")
        if suspect_after is not None and not (is_finite(suspect_after) and suspect_after > 0):
            raise ConfigurationError(f"suspect_after is {suspect_after!r}; use seconds above 0, or None")
        self.name = name
        self._wanted = matcher(on, "on")
        self._repeat = repeat
        self._suspect_after = suspect_after
        self._switch = switch
        self._clock = clock
        self._lock = threading.RLock()
        self._targets = [
            _Target(
                key,
                value,
                CircuitBreaker(
                    f"{name}:{key}",
                    clock=clock,
                    random=random,
                    window=4,
                    minimum_calls=2,
                    failure_rate=0.5,
                    open_for=retry_after,
                    growth=1.5,
                    max_open_for=5 * retry_after,
                    probes=2,
                ),
            )
            for key, value in named.items()
        ]
        self._active = self._targets[0]

    def __repr__(self) -> str:
        return f"<Failover {self.name!r} active={self.active!r}>"

    @property
    def active(self) -> str:
        """Name of the target that calls prefer at present."""
        return self._active.name

    def status(self) -> FailoverStatus:
        """The failover as it is now."""
        states = {
            each.name: "suspect"
            if each.circuit.phase.free and self._suspect(each)
            else str(each.circuit.state)
            for each in self._targets
        }
        return FailoverStatus(self.name, self.active, states)

    def run(self, function: Callable[[T], R]) -> R:
        """Call `function` with the first healthy target, and with the next ones while it fails.

        Raises:
            CircuitOpen: when every target is out of use; nothing was called.
            Exception: the last target's own error, when no further one is there or the error is not one to go on after.
        """
        if self._switch.on is not True and not self._switch.ask():
            return function(self._targets[0].value)
        attempt = _Attempt(self)
        for target in attempt:
            try:
                with attempt:
                    return function(target.value)
            except Exception as error:  # noqa: BLE001  raised again, or the next target is tried
                attempt.failed(error)
        raise attempt.verdict()

    async def run_async(self, function: Callable[[T], Awaitable[R]]) -> R:
        """The same for a coroutine function."""
        if self._switch.on is not True and not self._switch.ask():
            return await function(self._targets[0].value)
        attempt = _Attempt(self)
        for target in attempt:
            try:
                with attempt:
                    return await function(target.value)
            except Exception as error:  # noqa: BLE001  raised again, or the next target is tried
                attempt.failed(error)
        raise attempt.verdict()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """For targets that are functions: call the first healthy one. With coroutine functions, await the result."""
        if any(not callable(each.value) for each in self._targets):
            raise TypeError(
                f"the targets of failover {self.name!r} are no functions; use run(function), which gets the target"
            )
        from inspect import iscoroutinefunction

        if iscoroutinefunction(self._targets[0].value):
            return self.run_async(
                lambda target: cast("Callable[..., Awaitable[Any]]", target)(*args, **kwargs)
            )
        return self.run(lambda target: cast("Callable[..., Any]", target)(*args, **kwargs))

    def _suspect(self, target: _Target[T]) -> bool:
        if self._suspect_after is None:
            return False
        with self._lock:
            began = next(iter(target.under_way.values()), None)  # the oldest: a dict keeps its order
        return began is not None and self._clock() - began >= self._suspect_after

    def _prefer(self) -> None:
        """See whether another target is the first healthy one now."""
        best = next((t for t in self._targets if t.circuit.phase.free and not self._suspect(t)), None)
        if best is None:
            return
        with self._lock:
            before, self._active = self._active, best
        if before is not best:
            events.emit(events.TargetChanged(self.name, before.name, best.name, best is self._targets[0]))


class _Target(Generic[T]):
    __slots__ = ("circuit", "name", "under_way", "value")

    def __init__(self, name: str, value: T, circuit: CircuitBreaker) -> None:
        self.name = name
        self.value = value
        self.circuit = circuit
        self.under_way: dict[object, float] = {}


class _Attempt(Generic[T]):
    """One run: an iterator over the targets that let it in, and the context of the call to the present one."""

    def __init__(self, failover: Failover[T]) -> None:
        self._failover = failover
        self._target = failover._targets[0]
        self._permit: Permit | None = None
        self._error: Exception | None = None
        self._retry_after = float("inf")

    def __iter__(self) -> Iterator[_Target[T]]:
        owner = self._failover
        suspects = [target for target in owner._targets if owner._suspect(target)]
        # A suspect may only be slow, so it is better than nothing.
        for target in [*(t for t in owner._targets if t not in suspects), *suspects]:
            entered = target.circuit.enter()
            if isinstance(entered, CircuitOpen):
                self._retry_after = min(self._retry_after, entered.retry_after)
                continue
            self._target, self._permit = target, entered
            yield target

    def __enter__(self) -> None:
        with self._failover._lock:
            self._target.under_way[self] = self._failover._clock()
        self._failover._prefer()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        owner, permit = self._failover, self._permit
        assert permit is not None
        with owner._lock:
            seconds = owner._clock() - self._target.under_way.pop(self)
        if error is None:
            permit.succeeded(seconds)
        elif isinstance(error, Exception):
            self._target.circuit.settle(permit, error, seconds)
        else:
            permit.released()
        owner._prefer()

    def failed(self, error: Exception) -> None:
        """Returns when the next target is to be tried; else raises the error."""
        owner = self._failover
        if any(isinstance(link, CommitOutcomeUnknown) for link in links(error)):
            raise error
        # A refusal (an open circuit, a full bulkhead) means that nothing was called there, so it may always go on.
        refused = isinstance(error, StalwartError) and not isinstance(error, ConfigurationError)
        if not refused and not (owner._repeat and owner._wanted(error)):
            raise error
        if not refused and (objection := objection_to(error)) is not None:
            note(error, f"failover {owner.name!r} did not go on to another target: {objection}.")
            raise error
        self._error = error

    def verdict(self) -> Exception:
        """What to raise when no target is left."""
        error, self._error = self._error, None  # it holds the frames that hold this
        return CircuitOpen(self._failover.name, self._retry_after) if error is None else error
