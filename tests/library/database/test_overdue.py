# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""Replies that never come: a real proxy reads everything, acknowledges it, and throws it away."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart import database_retry, events, resilient_transaction
from stalwart.database import overdue, reply_limit, reply_within, server_session, silence, wiring
from stalwart.database.classification import classify
from stalwart.database.codes import ErrorClass
from stalwart.events import CommitResolved, ConnectionRestored, ReplyOverdue, TransactionReplayed
from stalwart.exceptions import ConfigurationError
from stalwart.policies.deadline import Deadline
from workbench.servers.proxy import Proxy

pytestmark = pytest.mark.usefixtures("django_db")

LIMIT = 0.4
SLACK = 2.0  # the machine may be busy; without the limit it is for ever
HANGS = 30.0
WITH_LIMIT = {"DATABASE": {"SLOW_QUERY": 0.0, "REPLY_WITHIN": LIMIT, "RECONNECT_WITHIN": 15.0}}


@pytest.fixture(scope="module")
def shared_proxy(postgres) -> Iterator[Proxy]:
    with Proxy((postgres.host, postgres.port)) as running:
        yield running


@pytest.fixture
def proxy(shared_proxy, postgres) -> Iterator[Proxy]:
    """A proxy that the default database is reached through. What hangs is reset in the end, so that its test fails."""
    settings = connections.settings["default"]
    connection.close()
    settings["PORT"] = shared_proxy.port
    late = threading.Timer(HANGS, shared_proxy.reset_all)
    late.start()
    yield shared_proxy
    late.cancel()
    late.join()
    shared_proxy.clear()
    connections["default"].close()
    settings["PORT"] = postgres.port


@pytest.fixture
def pooled(proxy) -> Iterator[dict[str, Any]]:
    """The default database with Django's pool; its options can be changed until it is first used."""
    settings, pool = connections.settings["default"], {"min_size": 1, "max_size": 1, "timeout": 15.0}
    before = settings["OPTIONS"]
    settings["OPTIONS"] = {**before, "pool": pool}
    yield pool
    connection.close()
    connection.close_pool()
    settings["OPTIONS"] = before


def swallow(proxy: Proxy, **how: Any) -> None:
    proxy.add("blackhole", **{"stream": "both", **how})


def in_threads(*functions: Callable[[], object]) -> list[threading.Thread]:
    """Run each in a thread of its own, whose connections are closed in the end; they have been started."""

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def healed_after(proxy: Proxy, what: str) -> Callable[[], None]:
    """Have the proxy pass everything on again as soon as such a reply was overdue; the function ends that."""

    def heal(event: object) -> None:
        if isinstance(event, ReplyOverdue) and event.what == what:
            proxy.clear()

    return events.subscribe(heal)


def execute() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def execute_many() -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", [["x"], ["y"]])


def send_much() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT length(%s)", ["x" * 30_000_000])


def copy_in() -> None:
    with connection.cursor() as cursor, cursor.copy("COPY warehouse_entry (text) FROM STDIN") as copy:
        copy.write("x\n")


def copy_out() -> None:
    with connection.cursor() as cursor, cursor.copy("COPY (SELECT pg_sleep(60)) TO STDOUT") as copy:
        list(copy)


def stream() -> None:
    with connection.cursor() as cursor:
        list(cursor.stream("SELECT pg_sleep(60)"))


# -- statements --------------------------------------------------------------------------------------------------------


@override_settings(STALWART=WITH_LIMIT)
@pytest.mark.parametrize(
    ("statement", "mode"),
    [(each, "discard") for each in (execute, execute_many, send_much, copy_in, copy_out, stream)]
    + [(execute, "stop"), (send_much, "stop")],
)
def test_a_statement_into_silence_is_a_lost_connection(proxy, seen, statement, mode) -> None:
    """It ends soon after the limit, and our classification takes it for what it is; the next connection is well."""
    execute()
    swallow(proxy, mode=mode)
    began = time.monotonic()
    with pytest.raises((OperationalError, psycopg.OperationalError)) as caught:
        statement()
    assert LIMIT < time.monotonic() - began < LIMIT + SLACK
    known = classify(caught.value)
    assert (known.error_class, known.connection_lost, known.unsent) == (ErrorClass.CONNECTION, True, False)
    assert connection.connection.closed
    assert seen == [ReplyOverdue("waiting for a reply", "default", LIMIT, "a statement")]
    proxy.clear()
    connection.close()
    execute()


@override_settings(STALWART=WITH_LIMIT)
def test_rows_of_a_server_side_cursor_can_be_overdue(proxy, seen) -> None:
    """`iterator()` meets it in the middle of its rows."""
    Entry.objects.bulk_create(Entry(text=str(number)) for number in range(50))
    read = []
    with pytest.raises(OperationalError) as caught, transaction.atomic():
        for entry in Entry.objects.order_by("id").iterator(chunk_size=20):
            read.append(entry.text)
            if len(read) == 20:
                swallow(proxy)
    assert len(read) == 20
    assert classify(caught.value).connection_lost
    assert seen[0].what == "fetching rows"


@override_settings(STALWART=WITH_LIMIT)
@pytest.mark.parametrize("what", ["COMMIT", "ROLLBACK"])
def test_the_end_of_a_transaction_can_be_overdue(proxy, seen, what) -> None:
    """Both wait for the server."""
    connection.ensure_connection()
    connection.set_autocommit(False)
    try:
        Entry.objects.create(text="x")
        swallow(proxy)
        with pytest.raises(OperationalError) as caught:
            connection.commit() if what == "COMMIT" else connection.rollback()
    finally:
        connection.close()
    assert classify(caught.value).connection_lost
    assert [event.what for event in seen] == [what]


@override_settings(STALWART=WITH_LIMIT)
def test_a_health_check_can_be_overdue(proxy, seen) -> None:
    """`is_usable` says no instead of nothing."""
    execute()
    swallow(proxy)
    assert not connection.is_usable()
    assert [event.what for event in seen] == ["a statement"]


@override_settings(STALWART=WITH_LIMIT)
def test_many_threads_each_have_their_own_clock(proxy, seen) -> None:
    """Six connections that are silent at once all end."""
    errors: list[OperationalError] = []
    ready = threading.Barrier(7, timeout=HANGS)

    def work() -> None:
        execute()
        ready.wait()
        ready.wait()
        try:
            execute()
        except OperationalError as error:
            errors.append(error)

    threads = in_threads(*[work] * 6)
    ready.wait()
    swallow(proxy)
    ready.wait()
    for thread in threads:
        thread.join(HANGS)
    assert len(errors) == len(seen) == 6


def test_without_the_setting_it_hangs(proxy, poll) -> None:
    """The fault is real: beside one with a limit, a statement without one goes on waiting; so it does where the part is off."""
    ended: dict[str, BaseException] = {}
    ready = threading.Barrier(4, timeout=HANGS)

    def work(name: str, seconds: float | None) -> None:
        with reply_within(seconds):
            execute()
            ready.wait()
            ready.wait()
            try:
                execute()
            except OperationalError as error:
                ended[name] = error

    threads = in_threads(
        lambda: work("plain", None), lambda: work("limited", LIMIT), lambda: work("longer", 100.0)
    )
    ready.wait()
    swallow(proxy)
    ready.wait()
    threads[1].join(HANGS)
    assert list(ended) == ["limited"]
    assert threads[0].is_alive()
    assert threads[2].is_alive()
    assert proxy.reset_all() >= 2
    for thread in threads:
        thread.join(HANGS)
    assert len(ended) == 3


def test_nothing_acts_while_the_part_is_off(postgres) -> None:
    """Neither the setting nor a block has an effect, and taken away it leaves psycopg's own class."""
    with override_settings(STALWART={"DATABASE": {"REPLY_WITHIN": 1.0}}):
        assert reply_limit.limit("default") == 1.0
    with (
        override_settings(STALWART={"DATABASE": {"REPLY_WITHIN": 1.0, "ENABLED": False}}),
        reply_within(2.0),
    ):
        assert reply_limit.limit("default") == 0.0
    execute()
    assert type(connection.connection) is silence.watched(psycopg.Connection, "default")
    try:
        wiring.disconnect()
        assert type(connection.connection) is psycopg.Connection
        connection.close()
        execute()
        assert type(connection.connection) is psycopg.Connection
    finally:
        wiring.connect()
    assert type(connection.connection) is silence.watched(psycopg.Connection, "default")


def test_a_block_needs_no_installed_app(proxy, seen) -> None:
    """`reply_within` sees to its connection itself, the login included."""
    try:
        wiring.disconnect()
        connection.close()
        swallow(proxy)
        with pytest.raises(OperationalError), reply_within(LIMIT):
            execute()
    finally:
        wiring.connect()
    assert [event.what for event in seen] == ["logging in"]


# -- silence, not duration ---------------------------------------------------------------------------------------------

FLOWING = "SELECT repeat('x', 100000), pg_sleep(0.1) FROM generate_series(1, 15)"


@override_settings(STALWART={"DATABASE": {"SLOW_QUERY": 0.0, "REPLY_WITHIN": 0.8}})
@pytest.mark.parametrize("how", ["rows", "copy", "stream", "notices"])
def test_what_keeps_coming_is_not_overdue(postgres, seen, how) -> None:
    """A result that takes longer than the limit, but is never silent for so long, is not cut."""
    began = time.monotonic()
    with connection.cursor() as cursor:
        if how == "rows":
            cursor.execute(FLOWING)
            assert len(cursor.fetchall()) == 15
        elif how == "copy":
            with cursor.copy(f"COPY ({FLOWING}) TO STDOUT") as copy:
                assert sum(len(piece) for piece in copy) > 1_500_000
        elif how == "stream":
            assert sum(1 for _ in cursor.stream(FLOWING)) == 15
        else:
            cursor.execute(
                "DO 'BEGIN FOR i IN 1..15 LOOP RAISE NOTICE ''x''; PERFORM pg_sleep(0.1); END LOOP; END'"
            )
    assert time.monotonic() - began > 1.4
    assert seen == []


@override_settings(STALWART=WITH_LIMIT)
def test_a_long_statement_is_ended_unless_a_block_allows_it(postgres, seen) -> None:
    """A healthy statement that is silent for too long is ended; this is what `reply_within` is for."""
    with reply_within(30), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [LIMIT * 2.5])
    with reply_within(None), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [LIMIT * 2.5])
    assert seen == []
    with pytest.raises(OperationalError, match=r"reply_within\(\)"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(10)")
    assert len(seen) == 1
    connection.close()


@override_settings(STALWART=WITH_LIMIT)
def test_who_listens_is_owed_nothing(postgres, seen) -> None:
    """A connection that waits for notifications may wait longer than the limit."""
    with connection.cursor() as cursor:
        cursor.execute("LISTEN something")
    assert list(connection.connection.notifies(timeout=LIMIT * 3)) == []
    assert seen == []
    execute()


@pytest.mark.parametrize("after", ["ready", "nothing"])
def test_a_process_that_was_stopped_looks_once_more(monkeypatch, seen, after) -> None:
    """After a pause the reply may lie in the socket: only a look that began after the limit counts."""
    now = [100.0]
    monkeypatch.setattr(silence, "monotonic", lambda: now[0])

    def reply() -> Iterator[int]:
        while not (yield 1):
            pass
        return "the reply"

    waiting = silence._attentive(reply(), 1.0, "default", None)
    next(waiting)
    for now[0] in (
        100.1,
        100.9,
        130.0,
    ):  # the last look began at 100.9 and found nothing, then the process stood still
        waiting.send(0)
    if after == "ready":
        with pytest.raises(StopIteration) as caught:
            waiting.send(1)
        assert caught.value.value == "the reply"
    else:
        now[0] = 130.1
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            waiting.send(0)


# -- logging in --------------------------------------------------------------------------------------------------------


@override_settings(STALWART=WITH_LIMIT)
def test_a_login_into_silence_ends_and_leaves_no_socket(proxy, seen, poll) -> None:
    """Also the very first one of a thread; its socket is closed at once, not by the collector."""
    errors: list[BaseException] = []

    def work() -> None:
        began = time.monotonic()
        try:
            execute()
        except OperationalError as error:
            assert LIMIT < time.monotonic() - began < LIMIT + SLACK
            errors.append(error)
            proxy.clear()
            execute()

    swallow(proxy)
    gc.disable()
    try:
        [thread] = in_threads(work)
        thread.join(HANGS)
        poll(lambda: proxy.counts().open == 0)
    finally:
        gc.enable()
    [error] = errors
    known = classify(error)
    assert (known.error_class, known.connection_lost) == (ErrorClass.CONNECTION, True)
    assert type(error.__cause__) is psycopg.errors.ConnectionTimeout
    assert seen == [ReplyOverdue("waiting for a reply", "default", LIMIT, "logging in")]


@override_settings(STALWART=WITH_LIMIT)
def test_the_next_host_is_tried(proxy, postgres, seen) -> None:
    """An overdue login counts for psycopg as one that failed."""
    settings = connections.settings["default"]
    host, port = settings["HOST"], settings["PORT"]
    swallow(proxy)
    settings["HOST"], settings["PORT"] = f"{host},{host}", f"{port},{postgres.port}"
    try:
        execute()
    finally:
        settings["HOST"], settings["PORT"] = host, port
    assert [event.what for event in seen] == ["logging in"]


@override_settings(STALWART=WITH_LIMIT)
def test_what_sets_a_connection_up_can_be_overdue(proxy, seen) -> None:
    """Django's own first statements on a new connection, before anybody is told of it."""
    options = connections.settings["default"]["OPTIONS"]
    options["assume_role"] = connection.settings_dict["USER"]
    attributes = connections["default"].__dict__
    original = attributes["get_new_connection"]

    def then_silence(params: dict[str, Any]) -> Any:
        driver = original(params)
        swallow(proxy)
        return driver

    attributes["get_new_connection"] = then_silence
    try:
        with pytest.raises(OperationalError):
            execute()
    finally:
        attributes["get_new_connection"] = original
        del options["assume_role"]
    assert [event.what for event in seen] == ["a statement"]


@override_settings(STALWART=WITH_LIMIT)
def test_a_replaced_connect_function_is_called(proxy, seen, monkeypatch) -> None:
    """A tracing library's: the login then has psycopg's own time-out, and what comes after it is watched."""
    called: list[dict[str, Any]] = []
    plain = psycopg.connect

    def traced(**params: Any) -> Any:
        called.append(params)
        return plain(**params)

    monkeypatch.setattr(psycopg, "connect", traced)
    options = connections.settings["default"]["OPTIONS"]
    monkeypatch.delitem(options, "connect_timeout")
    execute()
    assert called[0]["connect_timeout"] == 2
    swallow(proxy)
    with pytest.raises(OperationalError):
        execute()
    assert [event.what for event in seen] == ["a statement"]


# -- a pool ------------------------------------------------------------------------------------------------------------


@override_settings(STALWART=WITH_LIMIT)
def test_pooled_connections_are_watched_from_their_login_on(proxy, pooled, seen, poll) -> None:
    """The pool's own threads give a silent login up and try again, so it recovers; later statements are watched, too."""
    swallow(proxy)
    undo = healed_after(proxy, "logging in")
    try:
        execute()
    finally:
        undo()
    assert {event.what for event in seen} == {"logging in"}
    seen.clear()
    swallow(proxy)
    with pytest.raises(OperationalError) as caught:
        execute()
    assert classify(caught.value).connection_lost
    assert [event.what for event in seen] == ["a statement"]
    connection.close()


@override_settings(STALWART=WITH_LIMIT)
def test_the_check_of_a_pool_can_be_overdue(proxy, pooled, seen) -> None:
    """With CONN_HEALTH_CHECKS the pool asks before it hands a connection out; a silent one is thrown away."""
    settings = connections.settings["default"]
    settings["CONN_HEALTH_CHECKS"] = True
    try:
        execute()
        connection.close()
        swallow(proxy)
        undo = healed_after(proxy, "a statement")
        try:
            execute()
        finally:
            undo()
    finally:
        settings["CONN_HEALTH_CHECKS"] = False
    assert seen[0].what == "a statement"


@override_settings(STALWART=WITH_LIMIT)
def test_a_pool_is_left_as_it_was(proxy, pooled) -> None:
    """Taken away, the pool makes plain connections again."""
    execute()
    django = connections["default"]
    pool = django.pool
    assert pool.connection_class is silence.watched(psycopg.Connection, "default")
    try:
        overdue.detach(django)
        assert pool.connection_class is psycopg.Connection
        assert type(django.connection) is psycopg.Connection
    finally:
        overdue.attach(django)


# -- recovery ----------------------------------------------------------------------------------------------------------


@override_settings(STALWART=WITH_LIMIT)
@pytest.mark.parametrize("heal", ["a statement", "logging in"])
def test_a_block_outlives_a_silence(proxy, seen, heal) -> None:
    """It begins in the middle and ends before, or after, a login has got lost in it; the body does not notice."""
    Account.objects.create(name="a", value=1)
    undo = healed_after(proxy, heal)
    try:
        with resilient_transaction():
            account = Account.objects.select_for_update().get(name="a")
            entry = Entry.objects.create(text="x")
            swallow(proxy)
            account.value += 1
            account.save()
    finally:
        undo()
    assert Account.objects.get(name="a").value == 2
    assert [each.pk for each in Entry.objects.all()] == [entry.pk]
    kinds = [type(event) for event in seen]
    assert kinds.count(TransactionReplayed) == kinds.count(ConnectionRestored) == 1
    assert {event.what for event in seen if isinstance(event, ReplyOverdue)} == {"a statement", heal}


@override_settings(STALWART=WITH_LIMIT)
@pytest.mark.parametrize("stream", ["downstream", "upstream"], ids=["done", "never arrived"])
def test_a_swallowed_commit_is_resolved(proxy, seen, stream) -> None:
    """The reply is overdue, the server is asked, and the rows are there once."""
    undo = healed_after(proxy, "COMMIT")
    try:
        with resilient_transaction():
            Entry.objects.create(text="x")
            swallow(proxy, stream=stream)
    finally:
        undo()
    [resolved] = [event for event in seen if isinstance(event, CommitResolved)]
    assert resolved.committed is (stream == "downstream")
    assert Entry.objects.count() == 1


@override_settings(STALWART=WITH_LIMIT)
@pytest.mark.parametrize(("stream", "made"), [("downstream", 1), ("upstream", 2)])
def test_a_swallowed_commit_is_settled_by_a_retry(proxy, seen, stream, made) -> None:
    """`database_retry` asks the server: what was committed is not made again, what was not is."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")
            if len(calls) == 1:
                swallow(proxy, stream=stream)

    undo = healed_after(proxy, "COMMIT")
    try:
        write()
    finally:
        undo()
    assert len(calls) == made
    assert Entry.objects.count() == 1


@override_settings(STALWART=WITH_LIMIT)
def test_a_retry_outlives_a_silence(proxy, seen) -> None:
    """The call is made again when the network is well, though its first login had got lost."""
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        if len(calls) == 1:
            execute()
            swallow(proxy)
        return Account.objects.count()

    undo = healed_after(proxy, "logging in")
    try:
        assert read() == 0
    finally:
        undo()
    assert len(calls) == 2


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 3.0}})
def test_a_login_lost_in_silence_is_not_the_only_attempt(proxy, seen) -> None:
    """Without any limit for replies, a reconnect leaves time for another attempt when the silence is over."""
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        if len(calls) == 1:
            execute()
            swallow(proxy)
            proxy.reset_all()
        return Account.objects.count()

    undo = healed_after(proxy, "logging in")
    try:
        assert read() == 0
    finally:
        undo()
    assert len(calls) == 2


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 1.0}})
@pytest.mark.parametrize("pool", [False, True], ids=["plain", "pool"])
def test_a_reconnect_keeps_to_its_time_inside_a_silence(request, proxy, seen, pool) -> None:
    """Without any limit for replies, too: the login of an attempt gets what is left of RECONNECT_WITHIN."""
    if pool:
        request.getfixturevalue("pooled")["timeout"] = HANGS
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        execute()
        swallow(proxy)
        proxy.reset_all()
        return Account.objects.count()

    began = time.monotonic()
    with pytest.raises(OperationalError) as caught:
        read()
    assert time.monotonic() - began < 1.0 + SLACK
    assert len(calls) == 1
    assert "no usable connection" in caught.value.__notes__[0]


def test_an_attempt_has_half_of_the_time_and_a_moment_at_least() -> None:
    """With next to no time left a healthy server could not answer; and a limit that is smaller stays."""
    now = [10.0]
    deadline = Deadline.after(1.0, lambda: now[0])
    with reply_limit.until(deadline, "default"):
        assert reply_limit.limit("default") == 0.5
        assert reply_limit.limit("lite") == 0.0
        with reply_within(0.3):
            assert reply_limit.limit("default") == 0.3
        now[0] = 10.99
        assert reply_limit.limit("default") == reply_limit.LEAST
        with override_settings(STALWART={"DATABASE": {"REPLY_WITHIN": 0.1}}):
            assert reply_limit.limit("default") == 0.1


def test_a_statement_of_ours_that_waits_has_its_time() -> None:
    """Where there is a limit it is raised, where there is none there stays none."""
    with reply_limit.at_least(3.0, "default"):
        assert reply_limit.limit("default") == 0.0
    with override_settings(STALWART=WITH_LIMIT), reply_limit.at_least(3.0, "default"):
        assert reply_limit.limit("default") == 3.0
    with override_settings(STALWART=WITH_LIMIT), reply_within(5), reply_limit.at_least(3.0, "default"):
        assert reply_limit.limit("default") == 5.0


# -- beside it ---------------------------------------------------------------------------------------------------------


@override_settings(STALWART=WITH_LIMIT)
@pytest.mark.parametrize("during", ["a statement", "logging in"])
def test_a_sink_may_use_the_very_connection(proxy, seen, during) -> None:
    """It is refused, or meets the silence itself once, and nothing waits for ever."""
    outcomes: list[str] = []

    def curious(event: object) -> None:
        if isinstance(event, ReplyOverdue):
            for use in (execute, lambda: connection.set_autocommit(False)):
                try:
                    use()
                except (OperationalError, InterfaceError) as error:
                    outcomes.append(type(error).__name__)

    if during == "a statement":
        execute()
    swallow(proxy)
    undo = events.subscribe(curious)
    try:
        with pytest.raises(OperationalError):
            execute()
    finally:
        undo()
    assert outcomes == ["OperationalError"] * 2
    assert [event.what for event in seen] == [during]


@override_settings(STALWART={"DATABASE": {"REPLY_WITHIN": HANGS}})
def test_an_interrupt_still_cancels(postgres, poll) -> None:
    """Ctrl-C ends a statement at once, through psycopg's own cancelling, and the connection is well afterwards."""
    main = threading.get_ident()
    execute()
    pid = connection.connection.info.backend_pid

    def interrupt() -> None:
        with postgres.connect("library") as admin:
            poll(
                lambda: admin.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'", [pid]
                ).fetchone()
            )
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    [thread] = in_threads(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
    finally:
        thread.join(HANGS)
        signal.signal(signal.SIGINT, before)
    execute()
    assert connection.connection.info.backend_pid == pid


@override_settings(STALWART=WITH_LIMIT)
def test_asynchronous_queries_are_covered(proxy, seen) -> None:
    """They run in the thread of the ORM; a block around them holds there, too."""

    async def work() -> None:
        assert await Account.objects.acount() == 0
        with reply_within(LIMIT * 2):
            swallow(proxy)
            try:
                with pytest.raises(OperationalError):
                    await Account.objects.acount()
            finally:
                await sync_to_async(connections.close_all)()

    asyncio.run(work())
    assert seen == [ReplyOverdue("waiting for a reply", "default", LIMIT * 2, "a statement")]


def test_blocks_nest_and_end() -> None:
    """The innermost counts, for its own database only, and an exception ends it as well."""
    with override_settings(STALWART={"DATABASE": {"REPLY_WITHIN": 1.0}}):
        with pytest.raises(KeyError), reply_within(2):
            assert reply_limit.limit("default") == 2.0
            assert reply_limit.limit("lite") == 1.0
            with reply_within(None), reply_within(3, using="lite"):
                assert reply_limit.limit("default") == 0.0
                assert reply_limit.limit("lite") == 3.0
            assert reply_limit.limit("default") == 2.0
            raise KeyError
        assert reply_limit.limit("default") == 1.0
    assert reply_limit.limit("default") == 0.0


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), True, "1"])
def test_a_limit_that_makes_no_sense_is_refused(seconds) -> None:
    """With the value seen and what to give instead."""
    with pytest.raises(ConfigurationError, match="0 or more, or None"), reply_within(seconds):
        pass


def test_a_foreign_hook_around_ours_stays(postgres) -> None:
    """Whoever else puts a function around `get_new_connection` is not pushed aside, and ours is not put there twice."""
    django = connections["default"]
    ours = django.get_new_connection
    calls = []

    def foreign(params: dict[str, Any]) -> Any:
        calls.append(1)
        return ours(params)

    django.close()
    django.__dict__["get_new_connection"] = foreign
    try:
        execute()
        assert django.get_new_connection is foreign
        overdue.detach(django)
        assert django.get_new_connection is foreign
        with ours(django.get_connection_params()) as driver:
            assert type(driver) is psycopg.Connection
        django.close()
        execute()
        assert type(django.connection) is silence.watched(psycopg.Connection, "default")
        assert len(calls) == 2
    finally:
        overdue.detach(django)
        django.__dict__.pop("get_new_connection", None)
        overdue.attach(django)


@override_settings(STALWART=WITH_LIMIT)
@pytest.mark.parametrize("way", ["retry", "block", "decorator"])
def test_a_repeat_does_not_wait_for_its_own_dead_predecessor(proxy, seen, way) -> None:
    """A session that was cut off while it held a row's lock, and had no transaction id yet, is ended before the repeat."""
    Account.objects.create(name="a", value=0)
    calls = []

    def work() -> None:
        account = Account.objects.select_for_update().get(name="a")
        calls.append(1)
        if len(calls) == 1:
            swallow(proxy, then="silence")
        account.value += 1
        account.save()

    undo = healed_after(proxy, "a statement")
    try:
        if way == "retry":
            database_retry(transaction.atomic(work))()
        elif way == "decorator":
            resilient_transaction(work)()
        else:
            with resilient_transaction():
                work()
    finally:
        undo()
    assert Account.objects.get().value == 1
    assert len([event for event in seen if isinstance(event, ReplyOverdue)]) == 1


@override_settings(STALWART=WITH_LIMIT)
def test_only_the_lost_session_is_ended(proxy, postgres) -> None:
    """Another session with the same process number, or of another time, is let be; so is one behind a pooler."""
    execute()
    lost = connections["default"].connection
    kept = lost.__dict__["_stalwart_server_session"]
    assert kept[0] == lost.info.backend_pid
    with postgres.connect("library") as other:
        for stranger in ((other.info.backend_pid, kept[1]), None):
            lost.__dict__["_stalwart_server_session"] = stranger
            server_session.end(connections["default"], lost)
            assert other.execute("SELECT 1").fetchone() == (1,)
    lost.__dict__["_stalwart_server_session"] = kept
    server_session.end(connections["default"], lost)  # its own: asks to be let be
    execute()


def test_without_a_limit_no_session_is_asked_who_it_is(proxy) -> None:
    """The question costs a round trip for each session, so it is asked only where a reply can be overdue."""
    execute()
    assert "_stalwart_server_session" not in connections["default"].connection.__dict__
