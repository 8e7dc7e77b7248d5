"""`database_retry` on coroutine functions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart import database_retry
from stalwart.database.watch import CallWatch

pytestmark = pytest.mark.usefixtures("django_db")


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function, and close the connections of the thread that its queries ran in."""

    async def closing() -> Any:
        try:
            return await main()
        finally:
            left = await sync_to_async(
                lambda: [w for each in connections.all() for w in each.execute_wrappers]
            )()
            await sync_to_async(connections.close_all)()
            assert not any(isinstance(one, CallWatch) for one in left)

    return asyncio.run(closing())


def test_lost_connection_is_repeated(postgres) -> None:
    """A coroutine function is called again after its session was terminated, and others run meanwhile."""
    calls = []

    @database_retry
    async def read() -> int:
        calls.append(1)
        if len(calls) == 1:
            await sync_to_async(lambda: connection.ensure_connection())()
            await asyncio.to_thread(postgres.terminate_backends, "library")
        return await Account.objects.acount()

    assert run(read) == 0
    assert len(calls) == 2


def test_server_restart_is_survived_without_blocking_the_loop(postgres) -> None:
    """While it waits for the server, the event loop goes on turning."""
    turns, calls = [], []

    @database_retry
    async def read() -> int:
        calls.append(1)
        return await Account.objects.acount()

    async def main() -> int:
        await asyncio.to_thread(postgres.kill)
        back = asyncio.create_task(restart())
        ticking = asyncio.create_task(tick())
        try:
            return await read()
        finally:
            ticking.cancel()
            await back

    async def restart() -> None:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(postgres.start)

    async def tick() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0.01)

    assert run(main) == 0
    assert len(calls) == 2
    assert len(turns) > 5


def test_committed_write_is_not_repeated(postgres) -> None:
    """A coroutine function that wrote in autocommit mode and then fails is not called again."""
    calls = []

    @database_retry
    async def write() -> None:
        calls.append(1)
        await Entry.objects.acreate(text="x")
        await asyncio.to_thread(postgres.terminate_backends, "library")
        await Account.objects.acount()

    with pytest.raises(OperationalError) as caught:
        run(write)
    assert len(calls) == 1
    assert "already committed" in caught.value.__notes__[0]
    assert Entry.objects.count() == 1


def test_writes_of_other_coroutines_do_not_count(postgres) -> None:
    """Coroutines share one connection; what another one committed does not keep this one from being repeated."""
    calls, wrote = [], asyncio.Event()

    @database_retry
    async def read() -> int:
        calls.append(1)
        if len(calls) == 1:
            await wrote.wait()
            await asyncio.to_thread(postgres.terminate_backends, "library")
        return await Entry.objects.acount()

    async def main() -> int:
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        while not calls:
            await asyncio.sleep(0.001)
        await Entry.objects.acreate(text="other")
        wrote.set()
        return await reading

    assert run(main) == 1
    assert len(calls) == 2


def test_nested_coroutines_share_what_was_committed(postgres) -> None:
    """A write that an inner decorated coroutine committed keeps the outer one from being repeated, too."""
    calls = []

    @database_retry
    async def inner() -> None:
        await Entry.objects.acreate(text="x")

    @database_retry
    async def outer() -> None:
        calls.append(1)
        await inner()
        await asyncio.to_thread(postgres.terminate_backends, "library")
        await Account.objects.acount()

    with pytest.raises(OperationalError):
        run(outer)
    assert len(calls) == 1
    assert Entry.objects.count() == 1


def test_atomic_in_a_thread_is_repeated(postgres) -> None:
    """A transaction that runs by sync_to_async and loses its session is made again, once."""
    calls = []

    def book() -> None:
        with transaction.atomic():
            Entry.objects.create(text="x")
            if len(calls) == 1:
                postgres.terminate_backends("library")
            Entry.objects.create(text="y")

    @database_retry
    async def write() -> None:
        calls.append(1)
        await sync_to_async(book)()

    run(write)
    assert len(calls) == 2
    assert Entry.objects.count() == 2


def test_cancellation_is_never_repeated() -> None:
    """A cancelled call ends and leaves nothing in the connections."""
    calls = []

    @database_retry(on=Exception)
    async def wait() -> None:
        calls.append(1)
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(wait())
        while not calls:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert len(calls) == 1


@pytest.mark.parametrize("call", [1, 2])
def test_a_cancellation_while_the_watch_is_put_in_place_leaves_none_behind(monkeypatch, call) -> None:
    """The thread of the ORM goes on when its caller is cancelled; a watch left there would see what strangers write."""
    enter, inside, gate, entered = CallWatch.__enter__, threading.Event(), threading.Event(), []

    def held(self: CallWatch) -> CallWatch:
        entered.append(enter(self))
        if len(entered) == call:
            inside.set()
            gate.wait(10)
        return self

    @database_retry(on=LookupError, delay=0)
    async def fails_once() -> None:
        if len(entered) == 1:
            raise LookupError

    async def main() -> None:
        task = asyncio.create_task(fails_once())
        while not inside.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(CallWatch, "__enter__", held)
    run(main)
    assert len(entered) == call


@override_settings(STALWART={"ENABLED": False})
def test_off_calls_straight_through() -> None:
    """Switched off, a coroutine function is awaited and nothing else."""
    calls = []

    @database_retry(on=LookupError, delay=0)
    async def fails() -> None:
        calls.append(1)
        raise LookupError

    with pytest.raises(LookupError):
        run(fails)
    assert len(calls) == 1
