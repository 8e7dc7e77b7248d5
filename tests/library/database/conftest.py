"""The default database with a pool, or with connections that persist; and threads that keep theirs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections

from stalwart.database import health, probe


class Keeper:
    """A thread that runs what it is given, one thing after the other, on connections of its own."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def start(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Begin; what is returned waits for the end."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._work.put((function, answer))

        def result() -> Any:
            value = answer.get(timeout=30)
            if isinstance(value, BaseException):
                raise value
            return value

        return result

    def __call__(self, function: Callable[[], Any]) -> Any:
        return self.start(function)()

    def end(self, *, closing: bool = True) -> None:
        """Let the thread end, which keeps no connection open unless that is asked for."""
        if self._thread.is_alive():
            if closing:
                self(connections.close_all)
            self._work.put(None)
            self._thread.join(30)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            function, answer = work
            try:
                answer.put(function())
            except BaseException as error:
                answer.put(error)
            del work, function, answer


@pytest.fixture
def keepers() -> Iterator[Callable[[], Keeper]]:
    """Makes such threads."""
    made: list[Keeper] = []

    def make() -> Keeper:
        made.append(Keeper())
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture
def configure(django_db: None) -> Iterator[Callable[..., None]]:
    """Give the default database other settings (`CONN_MAX_AGE=None`, `pool={...}`) for one test."""
    settings = connection.settings_dict
    before = {**settings, "OPTIONS": dict(settings["OPTIONS"])}

    def change(**values: Any) -> None:
        connection.close()
        for name, value in values.items():
            (settings if name.isupper() else settings["OPTIONS"])[name] = value

    yield change
    connection.close()
    pool = health.pools().pop("default", None)
    if pool is not None:
        pool.close()
    settings.update(before)


@pytest.fixture(autouse=True)
def _no_old_reading() -> Iterator[None]:
    probe.renew()
    yield
    probe.renew()


def pid() -> int:
    """Of the back end that the calling thread's connection leads to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
