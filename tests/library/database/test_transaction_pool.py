"""`resilient_transaction` on Django's own connection pool: lost sessions go, good ones come back as they were handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from warehouse.models import Account, Entry

from stalwart import resilient_transaction
from stalwart.events import CommitResolved, TransactionReplayed
from stalwart.exceptions import ReplayMismatch
from workbench.servers.proxy import Proxy

pytestmark = pytest.mark.usefixtures("django_db")

SIZE = 4


@pytest.fixture
def pooled(configure: Callable[..., None]) -> None:
    """The default database with a pool, one request after the other on whatever connection it hands out."""
    configure(CONN_MAX_AGE=0, pool={"min_size": SIZE, "max_size": SIZE, "timeout": 20})


@pytest.fixture
def proxy(postgres, configure) -> Iterator[Proxy]:
    """The same behind a proxy."""
    with Proxy((postgres.host, postgres.port)) as running:
        configure(PORT=running.port, CONN_MAX_AGE=0, pool={"min_size": 2, "max_size": 2, "timeout": 20})
        yield running
        running.clear()
        connection.close()
        connection.close_pool()
        connections["default"].settings_dict["PORT"] = postgres.port


def terminate(postgres) -> None:
    connection.ensure_connection()
    assert connection.connection.info.backend_pid in postgres.terminate_backends("library")


def all_of_the_pool() -> list[Any]:
    """Each of its connections once, looked at and given back."""
    connection.close()
    connection.pool.open()
    taken = [connection.pool.getconn(timeout=20) for _ in range(connection.pool.max_size)]
    for each in taken:
        connection.pool.putconn(each)
    return taken


def show(name: str) -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return cursor.fetchone()[0]


def test_several_kills_in_one_block(postgres, pooled, seen) -> None:
    """Each kill takes every session of the pool; the block goes on with new ones, and its keys hold."""
    entries = []
    with resilient_transaction():
        for number in range(3):
            entries.append(Entry.objects.create(text=str(number)))
            terminate(postgres)
    connection.close()
    assert list(Entry.objects.order_by("id").values_list("id", "text")) == [
        (entry.pk, entry.text) for entry in entries
    ]
    assert [type(event) for event in seen].count(TransactionReplayed) == 3


def test_a_server_that_restarted_under_a_full_pool(postgres, pooled, seen) -> None:
    """All the connections that wait in the pool are dead: one loss, one replay, whatever number of them is handed out."""
    assert len({id(each) for each in all_of_the_pool()}) == SIZE
    with resilient_transaction():
        first = Entry.objects.create(text="first")
        postgres.kill()
        postgres.start()
        Entry.objects.create(text="second")
    connection.close()
    assert Entry.objects.get(text="first").pk == first.pk
    assert Entry.objects.count() == 2
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_a_full_pool_of_dead_connections_before_the_block(postgres, pooled) -> None:
    """The server restarted between two requests: every one of the next blocks gets through."""
    all_of_the_pool()
    postgres.kill()
    postgres.start()

    def request(number: int) -> None:
        try:
            with resilient_transaction():
                Entry.objects.create(text=str(number))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(SIZE) as threads:
        list(threads.map(request, range(2 * SIZE)))
    assert sorted(Entry.objects.values_list("text", flat=True)) == [str(number) for number in range(2 * SIZE)]


@pytest.mark.parametrize("end", ["commit", "rollback", "replay", "mismatch"])
def test_the_level_does_not_go_back_to_the_pool(postgres, pooled, end) -> None:
    """However the block ends, whoever gets its session next has the level of the settings."""
    Account.objects.create(name="a", value=1)
    connection.close()

    def work() -> None:
        with resilient_transaction(isolation="serializable"):
            Account.objects.get(name="a")
            Entry.objects.create(text="x")
            if end in ("replay", "mismatch"):
                terminate(postgres)
                if end == "mismatch":
                    with postgres.connect("library") as other:
                        other.execute("UPDATE warehouse_account SET value = 2")
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('transaction_isolation')")
                assert cursor.fetchone() == ("serializable",)
            if end == "rollback":
                raise ZeroDivisionError

    if end in ("rollback", "mismatch"):
        with pytest.raises((ZeroDivisionError, ReplayMismatch)):
            work()
    else:
        work()
    connection.close()
    for each in all_of_the_pool():
        assert each.isolation_level is None
        assert each.autocommit
    assert show("transaction_isolation") == "read committed"


@pytest.mark.parametrize("done", [True, False], ids=["done", "never arrived"])
def test_a_lost_commit_reply_is_resolved(proxy, seen, done) -> None:
    """The question is asked on another connection of the pool, and the row is there once."""
    with resilient_transaction():
        Entry.objects.create(text="x")
        if done:
            proxy.add("cut_after_message", message="CommandComplete", tag="COMMIT", before_forwarding=True)
        else:
            proxy.add("cut_after_message", message="Query", sql_prefix="COMMIT", stream="upstream", before_forwarding=True)  # fmt: skip
    proxy.clear()
    connection.close()
    assert Entry.objects.count() == 1
    assert [event.committed for event in seen if isinstance(event, CommitResolved)] == [done]


def test_a_reset_of_all_connections(proxy, seen) -> None:
    """Those in use and those that wait are reset at once; the block notices nothing."""
    all_of_the_pool()
    with resilient_transaction():
        entry = Entry.objects.create(text="x")
        assert proxy.reset_all()
        Entry.objects.create(text="y")
    connection.close()
    assert Entry.objects.get(text="x").pk == entry.pk
    assert Entry.objects.count() == 2
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_the_session_of_a_finished_block_is_handed_out_again(postgres, pooled) -> None:
    """Nothing of ours makes the pool throw a good connection away."""
    before = {each.info.backend_pid for each in all_of_the_pool()}
    for _ in range(SIZE):
        with resilient_transaction(isolation="repeatable read"):
            Entry.objects.create(text="x")
        connection.close()
    assert {each.info.backend_pid for each in all_of_the_pool()} == before
