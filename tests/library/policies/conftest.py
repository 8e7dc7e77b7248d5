"""A clock that the test turns, and policies that nobody else has named."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest


class Clock:
    """Monotonic seconds; `sleep` passes at once and is remembered."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def held() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """`with held(lock):` another thread holds the lock."""

    @contextlib.contextmanager
    def hold(lock) -> Iterator[None]:
        taken, release = threading.Event(), threading.Event()

        def holder() -> None:
            with lock:
                taken.set()
                release.wait(30)

        thread = threading.Thread(target=holder)
        thread.start()
        assert taken.wait(10)
        try:
            yield
        finally:
            release.set()
            thread.join(10)

    return hold
