"""What `resilient_operation` and `CircuitBreaker` cost per call, beside a bare try/except wrapper and the peers.

    python -m pip install stamina tenacity pybreaker circuitbreaker backoff      # in an environment of its own
    python benchmarks/policies.py [rounds]

Arms are interleaved; the minimum of all rounds counts, since noise only adds, and the median stands beside it. Peers that are not
installed are named and left out. Exits with 1 when a ratio of minima misses its target.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import itertools
import logging
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

settings.configure(STALWART={})

from stalwart import django_conf  # noqa: E402  settings first
from stalwart.policies.switch import Switch  # noqa: E402
from stalwart.switches import CircuitBreaker, resilient_operation  # noqa: E402

PEERS = ("stamina", "tenacity", "pybreaker", "circuitbreaker", "backoff")
CALLS = 2_000

Arms = dict[str, Callable[..., Any]]


def answer(value: int) -> int:
    return value


async def answer_async(value: int) -> int:
    return value


class Down(Exception):
    pass


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:  # noqa: TRY203  the least that a wrapper which handles errors can be
            raise

    return wrapper


def bare_without_copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """The bare wrapper with the one saving that ours uses: an empty dict of keywords is not copied."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs) if kwargs else function(*args)
        except Exception:  # noqa: TRY203
            raise

    return wrapper


def bare_async(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except Exception:  # noqa: TRY203  the least that a wrapper which handles errors can be
            raise

    return wrapper


def raising() -> None:
    raise Down("the dependency is down")


def installed() -> dict[str, Any]:
    found = {}
    for name in PEERS:
        try:
            found[name] = importlib.import_module(name)
        except ImportError:
            print(f"  {name} is not installed and left out")
        else:
            print(f"  {name} {importlib.metadata.version(name)}")
    return found


def off() -> Switch:
    switch = Switch("off")
    switch.connect(lambda: False)
    return switch


def unconfigured() -> Switch:
    switch = Switch("unconfigured")
    switch.connect(lambda: None)
    return switch


def successes(peers: dict[str, Any]) -> Arms:
    CircuitBreaker("all", slow_seconds=1.0)
    CircuitBreaker("slow", slow_seconds=1.0)
    CircuitBreaker("time", window_seconds=30.0)
    arms: Arms = {
        "the function itself": answer,
        "bare try/except wrapper": bare(answer),
        "bare wrapper that does not copy an empty dict": bare_without_copy(answer),
        "resilient_operation: defaults": resilient_operation(answer),
        "resilient_operation: no budget": resilient_operation(budget=False)(answer),
        "resilient_operation: budget, slow calls, deadline": resilient_operation(name="all", timeout=5.0)(
            answer
        ),
        "resilient_operation: slow calls": resilient_operation(name="slow")(answer),
        "resilient_operation: window of seconds": resilient_operation(name="time")(answer),
        "resilient_operation: switched off": resilient_operation(switch=off())(answer),
        "resilient_operation: Django not configured": resilient_operation(switch=unconfigured())(answer),
        "CircuitBreaker as decorator": CircuitBreaker("decorator")(answer),
    }
    if stamina := peers.get("stamina"):
        arms["stamina.retry"] = stamina.retry(on=Down, attempts=4)(answer)
    if tenacity := peers.get("tenacity"):
        arms["tenacity.retry"] = tenacity.retry(stop=tenacity.stop_after_attempt(4))(answer)
    if backoff := peers.get("backoff"):
        arms["backoff.on_exception"] = backoff.on_exception(backoff.expo, Down, max_tries=4)(answer)
    if circuitbreaker := peers.get("circuitbreaker"):
        arms["circuitbreaker.circuit"] = circuitbreaker.circuit(answer)
    if pybreaker := peers.get("pybreaker"):
        arms["pybreaker.CircuitBreaker"] = pybreaker.CircuitBreaker()(answer)
    if "stamina" in peers and "pybreaker" in peers:
        arms["stamina(pybreaker)"] = stamina.retry(on=Down, attempts=4)(pybreaker.CircuitBreaker()(answer))
    return arms


def refusals(peers: dict[str, Any]) -> Arms:
    CircuitBreaker("open", open_for=3600.0, max_open_for=3600.0, minimum_calls=1)
    ours = resilient_operation(0, name="open", budget=False)(raising)
    arms: Arms = {
        "raise and catch": raising,
        "bare wrapper, raise and catch": bare(raising),
        "resilient_operation: open circuit": ours,
        "CircuitBreaker as decorator: open": CircuitBreaker("open")(raising),
    }
    opened = [ours]
    if circuitbreaker := peers.get("circuitbreaker"):
        arms["circuitbreaker: open"] = circuitbreaker.circuit(raising, recovery_timeout=3600)
        opened += [arms["circuitbreaker: open"]] * 6
    if pybreaker := peers.get("pybreaker"):
        arms["pybreaker: open"] = pybreaker.CircuitBreaker(reset_timeout=3600)(raising)
        opened += [arms["pybreaker: open"]] * 6
    for function in opened:
        with contextlib.suppress(Exception):
            function()
    return arms


def asynchronous(peers: dict[str, Any]) -> Arms:
    arms: Arms = {
        "the coroutine function itself": answer_async,
        "bare try/except wrapper": bare_async(answer_async),
        "resilient_operation: defaults": resilient_operation(name="async")(answer_async),
        "resilient_operation: deadline": resilient_operation(name="async", timeout=5.0)(answer_async),
        "resilient_operation: switched off": resilient_operation(name="async", switch=off())(answer_async),
    }
    if stamina := peers.get("stamina"):
        arms["stamina.retry"] = stamina.retry(on=Down, attempts=4)(answer_async)
    if tenacity := peers.get("tenacity"):
        arms["tenacity.retry"] = tenacity.retry(stop=tenacity.stop_after_attempt(4))(answer_async)
    if backoff := peers.get("backoff"):
        arms["backoff.on_exception"] = backoff.on_exception(backoff.expo, Down, max_tries=4)(answer_async)
    if circuitbreaker := peers.get("circuitbreaker"):
        arms["circuitbreaker.circuit"] = circuitbreaker.circuit(answer_async)
    return arms


def time_success(function: Callable[[int], object]) -> float:
    began = time.perf_counter()
    for _ in itertools.repeat(None, CALLS):
        function(1)
    return time.perf_counter() - began


def time_keyword(function: Callable[..., object]) -> float:
    began = time.perf_counter()
    for _ in itertools.repeat(None, CALLS):
        function(value=1)
    return time.perf_counter() - began


def time_refusal(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in itertools.repeat(None, CALLS):
        try:  # noqa: SIM105  suppress() would cost more than what is measured
            function()
        except Exception:  # noqa: BLE001
            pass
    return time.perf_counter() - began


def time_async(function: Callable[[int], Awaitable[object]]) -> float:
    async def loop() -> float:
        began = time.perf_counter()
        for _ in itertools.repeat(None, CALLS):
            await function(1)
        return time.perf_counter() - began

    return asyncio.run(loop())


def measure(
    title: str, arms: Arms, timer: Callable[[Any], float], rounds: int, base: str
) -> dict[str, float]:
    """Print a table; the ratio of each arm's minimum to that of `base`."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, function in arms.items():
            taken[name].append(timer(function) / CALLS * 1e9)
    floor, middle = min(taken[base]), statistics.median(taken[base])
    print(
        f"\n{title}; {rounds} rounds of {CALLS} calls\n{'min ns':>9} {'median':>9} {'x min':>7} {'x median':>9}"
    )
    for name, values in taken.items():
        low, mid = min(values), statistics.median(values)
        print(f"{low:9.0f} {mid:9.0f} {low / floor:7.2f} {mid / middle:9.2f}  {name}")
    return {name: min(values) / floor for name, values in taken.items()}


def main(rounds: int) -> int:
    logging.disable(logging.CRITICAL)
    assert django_conf.current().errors.enabled
    print(f"Python {sys.version.split()[0]}; peers:")
    peers = installed()
    good = measure("A call that succeeds", successes(peers), time_success, rounds, "bare try/except wrapper")
    refused = measure("A call that is refused", refusals(peers), time_refusal, rounds, "raise and catch")
    by_keyword = {
        "bare try/except wrapper": bare(answer),
        "resilient_operation: defaults": resilient_operation(name="keyword")(answer),
        "resilient_operation: switched off": resilient_operation(name="keyword", switch=off())(answer),
    }
    measure(
        "A call with a keyword argument that succeeds",
        by_keyword,
        time_keyword,
        rounds,
        "bare try/except wrapper",
    )
    measure(
        "A coroutine that succeeds",
        asynchronous(peers),
        time_async,
        max(5, rounds // 4),
        "bare try/except wrapper",
    )
    print("\ntargets, as ratios of minima")
    missed = 0
    for name, ratio, target in (
        ("happy path, defaults", good["resilient_operation: defaults"], 2.5),
        ("with budget, slow calls, deadline", good["resilient_operation: budget, slow calls, deadline"], 4.0),
        ("switched off", good["resilient_operation: switched off"], 1.3),
        ("refused by an open circuit", refused["resilient_operation: open circuit"], 2.0),
    ):
        missed += ratio > target
        print(f"  {'met   ' if ratio <= target else 'MISSED'} {ratio:5.2f} <= {target}  {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 61))
