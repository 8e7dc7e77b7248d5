"""`kill_connection_at`: plain Django fails by the server's own error, Stalwart survives or says what it cannot know."""

from __future__ import annotations

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import OperationalError, connection, transaction
from warehouse.models import Account, Entry

from stalwart import database_retry, resilient_transaction
from stalwart.events import RetryGivenUp, SlowQuery, TransactionReplayed
from stalwart.exceptions import CommitOutcomeUnknown, ConfigurationError
from stalwart.testing import FaultDidNotBite, kill_connection_at


def order() -> None:
    """Three statements: read with a lock, insert, update."""
    account = Account.objects.select_for_update().get(name="a")
    Entry.objects.create(text="x")
    Account.objects.filter(pk=account.pk).update(value=account.value + 1)


def written() -> tuple[int, int]:
    return Account.objects.get(name="a").value, Entry.objects.count()


@pytest.fixture(autouse=True)
def _account(_nothing_is_left) -> None:
    Account.objects.create(name="a", value=1)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_plain_django_fails_at_every_statement(number) -> None:
    """The server's own 57P01 reaches the code, nothing is written, and the test can look at the database at once."""
    with pytest.raises(OperationalError) as caught, kill_connection_at(number) as fault, transaction.atomic():
        order()
    assert caught.value.__cause__.sqlstate == "57P01"
    assert fault.bites == 1
    assert written() == (1, 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_resilient_transaction_survives_at_every_statement(seen, number, when) -> None:
    """Whether the statement was done or not, its transaction is replayed, once."""
    with kill_connection_at(number, when=when), resilient_transaction():
        order()
    assert written() == (2, 1)
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_database_retry_survives() -> None:
    """The function runs again, and reads afresh."""
    calls = []

    @database_retry(delay=0)
    def place() -> None:
        calls.append(1)
        with transaction.atomic():
            order()

    with kill_connection_at("INSERT"):
        place()
    assert (len(calls), written()) == (2, (2, 1))


def test_a_write_whose_reply_is_lost_is_done() -> None:
    """Outside transactions: plain Django says "lost", the row is there, and a repeat would double it."""
    with (
        pytest.raises(OperationalError, match="server closed the connection"),
        kill_connection_at("INSERT", when="after"),
    ):
        Entry.objects.create(text="x")
    assert Entry.objects.count() == 1


def test_database_retry_does_not_guess(seen) -> None:
    """The same under database_retry: CommitOutcomeUnknown, and one row."""
    write = database_retry(delay=0)(lambda: Entry.objects.create(text="x"))
    with pytest.raises(CommitOutcomeUnknown), kill_connection_at("INSERT", when="after"):
        write()
    assert Entry.objects.count() == 1


def test_a_large_reply_is_lost_whole() -> None:
    """A result that no buffer holds: the server can be done only when somebody takes it."""
    with (
        pytest.raises(OperationalError),
        kill_connection_at("generate_series", when="after"),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT repeat('x', 1000) FROM generate_series(1, 30000)")


def test_replays_are_hit_as_well(seen) -> None:
    """Each time that the statement is sent, also by a replay: in the end the block gives up, and nothing is written."""
    with (
        pytest.raises(OperationalError),
        kill_connection_at(2, times=None) as fault,
        resilient_transaction(max_retries=2),
    ):
        order()
    assert fault.bites == 3
    # On a busy machine a statement may be slow as well, and that is told after it.
    assert isinstance([event for event in seen if not isinstance(event, SlowQuery)][-1], RetryGivenUp)
    assert written() == (1, 0)


@pytest.mark.parametrize(
    "which",
    [
        'UPDATE "warehouse',
        re.compile(r"UPDATE\b.*\bSET"),
        lambda sql: sql.startswith("UPDATE ") or "; UPDATE " in sql,
    ],
    ids=["text", "expression", "function"],
)
def test_several_times_by_any_description(which) -> None:
    """Two bites are two lost sessions, and the third attempt gets through."""
    with kill_connection_at(which, times=2) as fault, resilient_transaction():
        order()
    assert fault.bites == 2
    assert written() == (2, 1)


def test_a_fault_that_does_not_bite_fails_the_test() -> None:
    """The error says what was sent instead, by its text and not by its values."""
    with pytest.raises(FaultDidNotBite) as caught, kill_connection_at("DELETE"):
        Entry.objects.create(text="a secret")
    assert "0 of 1" in str(caught.value)
    assert 'INSERT INTO "warehouse_entry"' in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(FaultDidNotBite, match="no statement number 4; 3 were counted"), kill_connection_at(4):
        order_in_a_transaction()


def order_in_a_transaction() -> None:
    with transaction.atomic():
        order()


def test_a_failing_assertion_is_not_masked() -> None:
    """An error of the block goes on as it is, with a note that the fault has not bitten."""
    with pytest.raises(AssertionError, match="mine") as caught, kill_connection_at("DELETE"):
        raise AssertionError("mine")
    assert "0 of 1" in caught.value.__notes__[0]


def test_a_fault_may_begin_inside_a_block() -> None:
    """Only what comes after its beginning is counted."""
    with resilient_transaction():
        Entry.objects.create(text="first")
        with kill_connection_at(1):
            Entry.objects.create(text="second")
    assert list(Entry.objects.order_by("id").values_list("text", flat=True)) == ["first", "second"]


def test_savepoints_count_and_commit_does_not() -> None:
    """The numbers are those of assertNumQueries: in a nested atomic, the second statement is the INSERT."""
    with kill_connection_at(2) as fault, resilient_transaction():
        with transaction.atomic():
            Entry.objects.create(text="x")
        assert fault.bites == 1
    assert Entry.objects.count() == 1


def test_other_threads_are_reached() -> None:
    """Code under test that runs in a thread has a connection of its own."""
    with ThreadPoolExecutor(1) as pool, kill_connection_at("INSERT") as fault:
        pool.submit(resilient_order_in_a_thread).result()
    assert fault.bites == 1
    assert written() == (2, 1)


def resilient_order_in_a_thread() -> None:
    try:
        with resilient_transaction():
            order()
    finally:
        connection.close()


def test_asynchronous_code_is_reached() -> None:
    """A coroutine under database_retry, whose queries run in a thread."""

    @database_retry(delay=0)
    async def place() -> None:
        await sync_to_async(order_in_a_transaction)()

    async def test() -> None:
        with kill_connection_at("INSERT"):
            await place()

    async_to_sync(test)()
    assert written() == (2, 1)


def test_server_side_cursors_are_reached() -> None:
    """iterator() declares its cursor with a statement of its own."""
    with pytest.raises(OperationalError), kill_connection_at("warehouse_account"), transaction.atomic():
        list(Account.objects.iterator())


def test_server_side_binding_makes_no_difference(monkeypatch) -> None:
    """The extended protocol: the statement is done, and its reply is lost."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "server_side_binding", True)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", 0)
    connection.close()
    with pytest.raises(OperationalError), kill_connection_at("INSERT", when="after"):
        Entry.objects.create(text="x")
    assert Entry.objects.count() == 1


def test_pooled_connections_are_reached(monkeypatch) -> None:
    """The pool hands the block another connection."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", {"min_size": 1, "max_size": 2})
    try:
        with kill_connection_at("INSERT"), resilient_transaction():
            order()
        assert written() == (2, 1)
    finally:
        connection.close()
        connection.close_pool()


def test_executemany_cannot_lose_its_reply() -> None:
    """Which of its statements would be meant? It says so, also to code that swallows the error."""
    with (
        pytest.raises(ConfigurationError, match="executemany"),
        kill_connection_at("INSERT", when="after"),
        connection.cursor() as cursor,
        contextlib.suppress(Exception),
    ):
        cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", [("x",), ("y",)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"statement": 0}, "statement is 0"),
        ({"statement": True}, "statement is True"),
        ({"statement": ""}, "statement is ''"),
        ({"statement": 1, "when": "later"}, "when is 'later'"),
        ({"statement": 1, "times": 0}, "times is 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message) -> None:
    """At once, by name and value."""
    with pytest.raises(ConfigurationError, match=message):
        kill_connection_at(**arguments)
