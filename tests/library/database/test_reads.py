"""Transparent reads against a real PostgreSQL: which reads run once more, and which never."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import NotSupportedError, OperationalError, connections, transaction
from django.db.backends.signals import connection_created
from django.db.models import Count, F, Func, IntegerField, Sum, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart import database_retry, resilient_transaction
from stalwart.database import reads
from stalwart.events import ConnectionRestored, ReadRetried, RetryGivenUp, RetryScheduled
from stalwart.policies.marker import is_marked

pytestmark = pytest.mark.usefixtures("django_db", "transparent")

connection: Any = connections["default"]  # itself: the proxy has a __dict__ of its own

ON = {"DATABASE": {"TRANSPARENT_READS": True}}


@pytest.fixture
def transparent(django_db: None) -> Iterator[None]:
    """The opt-in is on, and nothing of it stays on the connection."""
    connections.close_all()
    with override_settings(STALWART=ON):
        yield
    reads.detach(connection)
    assert "create_cursor" not in connection.__dict__


def open_session() -> int:
    connection.ensure_connection()
    pid: int = connection.connection.info.backend_pid
    return pid


def end_session(postgres) -> None:
    assert open_session() in postgres.terminate_backends("library")


def raw(sql: str, *params: object) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


READS: dict[str, Callable[[], object]] = {
    "get": lambda: Account.objects.get(name="a").value,
    "list": lambda: next(each.value for each in Account.objects.order_by("pk")),
    "count": lambda: Account.objects.count() and 7,
    "exists": lambda: Account.objects.filter(value__in=[7, 8]).exists() and 7,
    "aggregate": lambda: Account.objects.aggregate(all=Sum("value"))["all"],
    "annotated": lambda: Account.objects.annotate(low=Lower("name"), n=Count("pk")).get(low="a").value,
    "values": lambda: Account.objects.values_list("value", flat=True)[0],
    "refresh": lambda: Account.objects.get(name="a").refresh_from_db() or 7,
    "union": lambda: Account.objects.filter(pk=0).union(Account.objects.all())[0].value,
    "in bulk": lambda: next(iter(Account.objects.in_bulk().values())).value,
    "iterator": lambda: next(Account.objects.iterator()).value,
    "literal": lambda: Account.objects.annotate(x=F("value") + Value(1)).get().x - 1,
}


@pytest.mark.parametrize("read", READS)
def test_read_of_the_orm_runs_once_more(postgres, seen, read) -> None:
    """Whatever the ORM asks for, a session that the server ended costs nothing: the answer comes, on a new session."""
    Account.objects.create(name="a", value=7)
    before = open_session()
    end_session(postgres)
    assert READS[read]() == 7
    assert open_session() != before
    assert [type(event) for event in seen] == [ConnectionRestored, ReadRetried]
    assert (seen[1].operation, seen[1].alias, seen[1].code) == ("warehouse.Account", "default", "57P01")


@override_settings(STALWART={})
def test_off_the_error_is_raised(postgres) -> None:
    """Without the opt-in nothing is put on the connection, and the error is Django's."""
    connections.close_all()
    end_session(postgres)
    assert ours() == []
    with pytest.raises(OperationalError):
        Account.objects.count()


def ours() -> list[object]:
    return [each for each in connection.execute_wrappers if isinstance(each, reads.TransparentReads)]


@pytest.mark.parametrize(
    "switch", [{"TRANSPARENT_READS": False}, {"TRANSPARENT_READS": True, "ENABLED": False}]
)
def test_switched_off_at_run_time(postgres, switch) -> None:
    """The setting is looked at after the failure, too."""
    end_session(postgres)
    with override_settings(STALWART={"DATABASE": switch}), pytest.raises(OperationalError):
        Account.objects.count()


@pytest.mark.parametrize("fault", ["kill backend", "kill server"])
def test_crash_is_survived(postgres, seen, fault) -> None:
    """A crash of the session's process, or of the whole server, which is away for a while: the read waits for it."""
    Account.objects.create(name="a", value=7)
    back = threading.Timer(0.3, postgres.start)
    if fault == "kill backend":
        postgres.kill_backend(open_session())
    else:
        postgres.kill()
        back.start()
    try:
        assert Account.objects.get().value == 7
    finally:
        if fault == "kill server":
            back.join()
    assert any(isinstance(event, ReadRetried) for event in seen)


def test_running_statement_is_run_again(postgres, poll) -> None:
    """A session that ends while its read is waiting for a lock: the read waits for it again."""
    Account.objects.create(name="a", value=7)
    open_session()
    with postgres.connect("library") as admin:
        admin.autocommit = False
        admin.execute("LOCK TABLE warehouse_account")

        def terminate() -> None:
            with postgres.connect("library") as other:
                poll(
                    lambda: other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT%warehouse_account%'"
                    ).fetchall()
                )
            admin.rollback()

        thread = threading.Thread(target=terminate)
        thread.start()
        try:
            assert Account.objects.get().value == 7
        finally:
            thread.join()


NOT_READS: dict[str, Callable[[], object]] = {
    "create": lambda: Entry.objects.create(text="x"),
    "update": lambda: Account.objects.update(value=8),
    "delete": lambda: Account.objects.filter(name="b").delete(),
    "raw query": lambda: list(Account.objects.raw("SELECT * FROM warehouse_account")),
    "cursor": lambda: raw("SELECT 1"),
    "own function": lambda: list(Account.objects.annotate(x=Func(function="txid_current", output_field=IntegerField()))),
    "raw expression": lambda: list(
        Account.objects.annotate(x=RawSQL("nextval('warehouse_entry_id_seq')", (), IntegerField()))
    ),
    "function of a schema": lambda: list(Account.objects.extra(select={"x": "public.count(1)"})),
    "advisory lock": lambda: list(Account.objects.extra(select={"x": "pg_advisory_lock(1)"})),
    "explain analyze": lambda: Account.objects.all().explain(analyze=True),
}  # fmt: skip


@pytest.mark.parametrize("statement", NOT_READS)
def test_everything_else_is_refused(postgres, seen, statement) -> None:
    """Writes, the caller's own SQL, and functions that are not known: the error is Django's, unmarked, and nothing ran twice."""
    Account.objects.create(name="a", value=7)
    end_session(postgres)
    with pytest.raises(OperationalError) as caught:
        NOT_READS[statement]()
    assert not is_marked(caught.value)
    assert seen == []
    if statement != "delete":  # that one has a transaction, and Django reconnects when it leaves it
        assert connection.connection.closed


def test_function_of_the_caller_runs_once(postgres) -> None:
    """What a function does outside its transaction stays done: a sequence is moved on once, not twice."""
    raw("CREATE SEQUENCE tickets")
    try:
        [[first]] = raw("SELECT nextval('tickets')")
        Account.objects.create(name="a")

        def cut(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
            execute(sql, params, many, context)
            end_session(postgres)
            with connection.wrap_database_errors:
                context["cursor"].cursor.execute("SELECT 1")  # the statement is done, its answer is lost

        drawn = Account.objects.annotate(
            x=Func(Value("tickets"), function="nextval", output_field=IntegerField())
        )
        with connection.execute_wrapper(cut), pytest.raises(OperationalError):
            list(drawn)
        connection.close()
        assert raw("SELECT nextval('tickets')") == [(first + 2,)]
    finally:
        raw("DROP SEQUENCE tickets")


@pytest.mark.parametrize("block", [transaction.atomic, resilient_transaction])
def test_inside_a_transaction_it_keeps_out(postgres, seen, block) -> None:
    """In a plain block the error is raised; a resilient one has its own way."""
    Account.objects.create(name="a", value=7)
    with contextlib.ExitStack() as stack:
        if block is transaction.atomic:
            stack.enter_context(pytest.raises(OperationalError))
        with block():
            Account.objects.count()
            end_session(postgres)
            assert Account.objects.get().value == 7
    assert not any(isinstance(event, ReadRetried) for event in seen)


def test_transaction_of_ones_own_is_left_alone(postgres) -> None:
    """Neither with autocommit off nor after a BEGIN of the caller's, of which Django knows nothing."""
    open_session()
    transaction.set_autocommit(False)
    try:
        Account.objects.count()
        end_session(postgres)
        with pytest.raises(OperationalError):
            Account.objects.count()
    finally:
        connection.close()
    raw("BEGIN")
    end_session(postgres)
    with pytest.raises(OperationalError) as caught:
        Account.objects.count()
    assert "a transaction command of its own" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "setting",
    [
        "SET search_path = 'pg_catalog'",
        "SET app.tenant = '5'",
        "SELECT set_config('app.tenant', '5', false)",
        "SELECT pg_advisory_lock(5)",
        "LISTEN news",
    ],
)
def test_session_that_held_something_is_not_replaced(postgres, setting) -> None:
    """A read may mean something else without it: the error is raised, says why, and nothing is on a new session by chance."""
    raw(setting)
    end_session(postgres)
    with pytest.raises(OperationalError) as caught:
        Account.objects.count()
    assert "did not run it again: the lost session held" in caught.value.__notes__[0]
    with pytest.raises(OperationalError):
        Account.objects.count()
    connection.close()
    end_session(postgres)
    assert Account.objects.count() == 0  # the next session is free again


def test_setting_made_past_django_is_noticed(postgres, seen, configure) -> None:
    """A setting of the driver's own cursor shows in what the server reports: refused, marked, and left as Django would."""
    configure(CONN_MAX_AGE=None)
    open_session()
    connection.connection.execute("SET TimeZone = 'Europe/Rome'")
    end_session(postgres)
    with pytest.raises(OperationalError) as caught:
        Account.objects.count()
    assert "settings of its own (TimeZone)" in caught.value.__notes__[0]
    assert is_marked(caught.value)
    assert isinstance(seen[-1], RetryGivenUp)
    assert connection.connection.closed
    connection.close_if_unusable_or_obsolete()  # what the end of a request does
    assert Account.objects.count() == 0


def test_settings_of_every_session_do_no_harm(postgres) -> None:
    """What a receiver of connection_created sets is there again, so the read runs again."""

    def configure(sender: object, connection: Any, **_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET app.tenant = '5'")

    connections.close_all()
    connection_created.connect(configure)
    try:
        open_session()
        end_session(postgres)
        assert Account.objects.count() == 0
        assert raw("SELECT current_setting('app.tenant')") == [("5",)]
    finally:
        connection_created.disconnect(configure)


def test_backend_that_prepares_its_cursors_is_asked_for_one(postgres, monkeypatch) -> None:
    """The second run has a cursor that the backend has made, as multi-tenant ones do to set their search_path."""
    made, used = [], []
    plain = type(connection)._cursor

    def prepared(self: Any, name: str | None = None) -> Any:
        cursor = plain(self, name)
        made.append(cursor.cursor)
        return cursor

    def note(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        used.append(context["cursor"].cursor)
        return execute(sql, params, many, context)

    end_session(postgres)
    monkeypatch.setattr(type(connection), "_cursor", prepared)
    with connection.execute_wrapper(note):
        assert Account.objects.count() == 0
    assert used[0] is not used[-1]
    assert used[-1] in made


@pytest.mark.parametrize("way", ["noticed", "closed"])
def test_connection_that_is_known_to_be_closed(postgres, seen, way) -> None:
    """The driver refuses a cursor: because an earlier statement met the loss, or because its connection was closed."""
    Account.objects.create(name="a", value=7)
    open_session()
    if way == "noticed":
        end_session(postgres)
        with pytest.raises(OperationalError):
            raw("SELECT 1")
    else:
        connection.connection.close()
    assert connection.connection.closed
    assert Account.objects.get().value == 7
    assert [type(event) for event in seen] == [ConnectionRestored, ReadRetried]
    assert raw("SELECT 1") == [(1,)]


def test_other_refusals_of_a_cursor_are_the_callers(monkeypatch) -> None:
    """The driver refuses a cursor on a connection that is well: that is an error of its own, and the session stays."""
    before = open_session()

    def refuse(self: Any, name: str | None = None) -> Any:
        raise self.Database.NotSupportedError("no cursors today")

    monkeypatch.setattr(type(connection), "create_cursor", refuse)
    with pytest.raises(NotSupportedError):
        Account.objects.count()
    monkeypatch.undo()
    assert open_session() == before


def test_closed_connection_is_not_opened_for_the_callers_own_sql() -> None:
    """What is no read of the ORM meets the closed connection as ever."""
    open_session()
    connection.connection.close()
    for statement in ("cursor", "raw query", "create", "own function"):
        with pytest.raises(OperationalError, match="the connection is closed"):
            NOT_READS[statement]()
    assert Account.objects.count() == 0
    assert Entry.objects.count() == 0


def test_rows_of_a_half_read_iterator_are_not_read_again(postgres) -> None:
    """A server-side cursor whose rows were begun to be consumed ends with the error."""
    Account.objects.bulk_create(Account(name=str(n)) for n in range(10))
    rows = Account.objects.iterator(chunk_size=3)
    got = [next(rows)]
    end_session(postgres)
    with pytest.raises(OperationalError):
        got.extend(rows)
    assert 1 <= len(got) <= 6


def test_second_run_of_an_iterator_is_on_a_server_side_cursor_too(postgres) -> None:
    """A table too large for the memory stays on the server in the second run as well."""
    Account.objects.create(name="a", value=7)
    names = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        names.append(getattr(context["cursor"].cursor, "name", None))
        return execute(sql, params, many, context)

    end_session(postgres)
    with connection.execute_wrapper(note):
        assert [each.value for each in Account.objects.iterator()] == [7]
    assert len([name for name in names if name is not None]) == 2


@override_settings(STALWART={"DATABASE": {"TRANSPARENT_READS": True, "RECONNECT_WITHIN": 0.2}})
def test_server_that_stays_away_ends_in_one_wait(postgres, seen) -> None:
    """Given up within RECONNECT_WITHIN, and marked, so that database_retry around it neither calls nor waits again."""
    open_session()
    postgres.kill()
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        return Account.objects.count()

    with pytest.raises(OperationalError) as caught:
        read()
    assert len(calls) == 1
    assert is_marked(caught.value)
    assert "transparent_reads gave up: no usable connection to 'default'" in caught.value.__notes__[0]
    assert [type(event) for event in seen] == [RetryGivenUp]


def test_second_loss_is_the_last(postgres, seen) -> None:
    """The second run is lost, too: two runs, and database_retry does not begin anew."""
    runs, calls = [], []

    def cut(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if "warehouse_account" in sql:
            runs.append(1)
            end_session(postgres)
        return execute(sql, params, many, context)

    @database_retry
    def read() -> int:
        calls.append(1)
        return Account.objects.count()

    open_session()
    with connection.execute_wrapper(cut), pytest.raises(OperationalError) as caught:
        read()
    assert (len(runs), len(calls)) == (2, 1)
    assert "the second run" in caught.value.__notes__[0]
    assert is_marked(caught.value)


def test_refused_read_is_left_to_database_retry(postgres, seen) -> None:
    """What is not ours to run again, database_retry calls again: the caller has said that it may."""
    calls = []

    @database_retry
    def read() -> list[Any]:
        calls.append(1)
        return raw("SELECT 7")

    open_session()
    end_session(postgres)
    assert read() == [(7,)]
    assert len(calls) == 2
    assert any(isinstance(event, RetryScheduled) for event in seen)


def test_a_loss_that_was_made_good_excuses_nothing(postgres, monkeypatch) -> None:
    """After a read that ran again, a loss while leaving a committed block is no loss before it: nothing is written twice.

    The watch of database_retry takes a connection that it has seen lost for the reason why a block could not be left.
    """
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        end_session(postgres)
        Account.objects.count()
        with transaction.atomic():
            Entry.objects.create(text="x")

            def fail(*args: Any, **kwargs: Any) -> None:
                # COMMIT is done; Django puts autocommit back on, and meets a session that is gone.
                monkeypatch.undo()
                end_session(postgres)
                with connection.wrap_database_errors:
                    connection.connection.execute("SELECT 1")

            monkeypatch.setattr(connection, "_set_autocommit", fail)

    with pytest.raises(OperationalError):
        write()
    connection.close()
    assert Entry.objects.count() == 1
    assert len(calls) == 1


def test_writes_around_a_read_that_ran_again_are_seen(postgres) -> None:
    """database_retry knows of the write before it as ever, and does not make the call again."""
    calls = []

    @database_retry
    def work() -> None:
        calls.append(1)
        Entry.objects.create(text="x")
        end_session(postgres)
        assert Account.objects.count() == 0
        end_session(postgres)
        raw("SELECT 1")

    with pytest.raises(OperationalError) as caught:
        work()
    assert len(calls) == 1
    assert "already committed" in caught.value.__notes__[0]
    connection.close()
    assert Entry.objects.count() == 1


def test_asynchronous_orm(postgres, seen) -> None:
    """Its statements run in a thread, where the same holds."""

    async def main() -> int:
        try:
            await Account.objects.acreate(name="a", value=7)
            await asyncio.to_thread(postgres.terminate_backends, "library")
            return (await Account.objects.aget()).value
        finally:
            await sync_to_async(lambda: reads.detach(connections["default"]))()
            await sync_to_async(connections.close_all)()

    assert asyncio.run(main()) == 7
    assert any(isinstance(event, ReadRetried) for event in seen)


def test_debug_cursor(postgres) -> None:
    """With DEBUG, statements pass through Django's debug cursor, and the log holds the read."""
    logger = logging.getLogger("django.db.backends")
    level = logger.level
    connection.force_debug_cursor = True
    logger.setLevel(logging.WARNING)
    try:
        end_session(postgres)
        connection.queries_log.clear()
        assert Account.objects.count() == 0
        assert len([entry for entry in connection.queries_log if "COUNT" in entry["sql"]]) == 1
    finally:
        connection.force_debug_cursor = False
        logger.setLevel(level)


@pytest.mark.parametrize("place", [0, 1], ids=["outside", "inside"])
def test_wrapper_of_the_caller_is_seen_through(postgres, place) -> None:
    """An execute wrapper of somebody else changes nothing; what was there first sees both runs, so it can time each."""
    runs = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if "COUNT" in sql:
            runs.append(1)
        return execute(sql, params, many, context)

    connection.execute_wrappers.append(wrapper)
    try:
        open_session()
        if place == 0:
            connection.execute_wrappers.remove(wrapper)
            connection.execute_wrappers.insert(0, wrapper)
        end_session(postgres)
        assert Account.objects.count() == 0
    finally:
        connection.execute_wrappers.remove(wrapper)
    assert len(runs) == 1 + place


def test_read_after_a_write_waits_for_a_primary(postgres, seen) -> None:
    """The session was on a primary: one that takes no writes does not count as usable."""
    open_session()
    with postgres.connect() as admin:
        admin.execute("ALTER DATABASE library SET default_transaction_read_only = on")

    def promote() -> None:
        with postgres.connect() as admin:
            admin.execute("ALTER DATABASE library RESET default_transaction_read_only")

    back = threading.Timer(0.3, promote)
    end_session(postgres)
    back.start()
    try:
        assert Account.objects.count() == 0
    finally:
        back.join()
    assert raw("SHOW default_transaction_read_only") == [("off",)]
    assert next(event for event in seen if isinstance(event, ConnectionRestored)).attempts > 1


def test_attach_is_idempotent_and_detach_takes_all_away() -> None:
    """Reconnects do not pile wrappers up."""
    for _ in range(3):
        connection.close()
        open_session()
    assert len(ours()) == 1
    reads.detach(connection)
    assert ours() == []
    assert "create_cursor" not in connection.__dict__
    reads.detach(connection)
