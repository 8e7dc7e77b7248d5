"""The worker by itself, without a kernel."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from workbench.magics.worker import Worker


class Thing:
    pass


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def test_it_is_one_daemon_thread_that_ends(worker: Worker) -> None:
    """The same for every call, another one than ours, and gone when it is closed; a call from inside runs at once."""
    first, second = worker.run(threading.current_thread), worker.run(threading.current_thread)
    assert first is second is not threading.current_thread()
    assert first.daemon
    assert worker.run(lambda: worker.run(threading.current_thread)) is first
    worker.close()
    assert not first.is_alive()


def test_it_lets_go_of_calls_values_and_errors(worker: Worker) -> None:
    """While it waits for the next call, nothing of the last one is alive."""

    def give(thing: Thing) -> Thing:
        return thing

    def fail(thing: Thing) -> None:
        raise RuntimeError(thing)

    thing = Thing()
    kept = weakref.ref(thing)
    assert worker.run(functools.partial(give, thing)) is thing
    with pytest.raises(RuntimeError) as raised:
        worker.run(functools.partial(fail, thing))
    del thing, raised
    gc.collect()
    assert kept() is None


def test_an_error_is_the_calls_own(worker: Worker) -> None:
    """The very object that was raised there, whatever kind it is; and the thread goes on."""
    error = SystemExit(3)

    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as raised:
        worker.run(fail)
    assert raised.value is error
    assert worker.run(lambda: 5) == 5
