"""Slow statements: which are seen, what is told of them, and what is not."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart.database import forget_slow_queries, queries, slow_log, slow_queries, wiring
from stalwart.events import SlowQuery

pytestmark = pytest.mark.usefixtures("django_db", "anew")


class Clock:
    """Stands for `perf_counter`: each statement takes what the test says."""

    def __init__(self) -> None:
        self.now = 1000.0005  # its last digits draw nothing
        self.takes = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        if self.looks % 2 == 0:
            self.now += self.takes
        return self.now


@pytest.fixture
def anew() -> Iterator[None]:
    forget_slow_queries()
    yield
    forget_slow_queries()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in the test's hand; statements take no time until it says so."""
    made = Clock()
    connection.ensure_connection()
    monkeypatch.setattr(queries, "perf_counter", made)
    return made


def slowly(clock: Clock, seconds: float, body: Callable[[], object]) -> None:
    clock.takes = seconds
    try:
        body()
    finally:
        clock.takes = 0.0


def settings(**values: object) -> override_settings:
    return override_settings(STALWART={"DATABASE": {name.upper(): value for name, value in values.items()}})


# -- what is seen


def test_a_really_slow_statement_is_recorded(seen) -> None:
    """A statement that sleeps on the server: its text without values, its place, its time, and an event."""
    with settings(slow_query=0.02), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.05), %s -- a note", ["secret"])
    (record,) = slow_queries()
    assert record.sql == "SELECT pg_sleep(?), ?"
    assert record.call_site is not None
    assert ".test_queries.test_a_really_slow_statement_is_recorded:" in record.call_site
    assert (record.alias, record.count, record.failed, record.threshold) == ("default", 1, 0, 0.02)
    assert 0.05 <= record.total == record.longest == record.p95 < 5
    assert record.first_seen <= record.last_seen <= time.time()
    (event,) = [one for one in seen if isinstance(one, SlowQuery)]
    assert (event.sql, event.fingerprint, event.operation) == (
        record.sql,
        record.fingerprint,
        record.call_site,
    )
    assert "secret" not in json.dumps([event.as_dict(), record.as_dict()])


def test_a_quick_statement_is_not(clock: Clock, seen) -> None:
    """Below the threshold nothing is recorded; at the threshold it is."""
    slowly(clock, 0.49, lambda: Entry.objects.count())
    assert slow_queries() == []
    slowly(clock, 0.5, lambda: Entry.objects.count())
    assert len(slow_queries()) == 1


def test_runs_of_one_statement_add_up(clock: Clock) -> None:
    """Other values, other lengths of lists: one record; another place in the code: another record."""
    for number in range(1, 21):
        slowly(
            clock,
            float(number),
            lambda n=number: list(Account.objects.filter(value__in=range(n), name=f"{n}")),
        )
    slowly(clock, 1.0, lambda: list(Account.objects.filter(value__in=[1], name="a")))
    first, second = slow_queries()
    assert first.fingerprint == second.fingerprint
    assert first.call_site != second.call_site
    assert (first.count, first.total, first.longest) == (20, pytest.approx(210), 20)
    assert first.p95 == pytest.approx(19, rel=0.02)


def test_time_spent_waiting_for_a_lock_counts(postgres) -> None:
    """What the caller waits for is its time, whoever causes it."""
    account = Account.objects.create(name="a")
    with settings(slow_query=0.05), postgres.connect("library", autocommit=False) as other:
        other.execute("SELECT 1 FROM warehouse_account FOR UPDATE")
        release = threading.Timer(0.1, other.rollback)
        release.start()
        account.save()
        release.join()
    assert [record.sql.split()[0] for record in slow_queries()] == ["UPDATE"]


def test_a_statement_that_fails_is_recorded_and_its_error_kept() -> None:
    """A time limit's victim is a slow statement; the error is the same as ever."""
    with settings(slow_query=0.02), connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 40")
        with pytest.raises(OperationalError) as caught:
            cursor.execute("SELECT pg_sleep(30)")
        cursor.execute("SET statement_timeout = 0")
    assert getattr(caught.value.__cause__, "sqlstate", None) == "57014"
    (record,) = slow_queries()
    assert (record.count, record.failed) == (1, 1)


def test_statements_of_an_executemany_are_one_run(clock: Clock) -> None:
    """Their text is one, and so is their time."""
    with connection.cursor() as cursor:
        slowly(
            clock,
            1.0,
            lambda: cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", [["a"], ["b"]]),
        )
    (record,) = slow_queries()
    assert (record.sql, record.count) == ("INSERT INTO warehouse_entry(text) VALUES (?)", 1)


def test_an_interrupt_is_passed_on(clock: Clock) -> None:
    """KeyboardInterrupt in a wrapper below: noted, and raised."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with connection.execute_wrapper(interrupt), pytest.raises(KeyboardInterrupt):
        slowly(clock, 1.0, lambda: Entry.objects.count())
    assert [record.failed for record in slow_queries()] == [1]


def test_composed_statements_show_no_literal(clock: Clock) -> None:
    """psycopg's composed SQL is rendered, and its literals go."""
    from psycopg import sql

    made = sql.SQL("SELECT {}, {}").format(sql.Literal("secret"), sql.Identifier("one"))
    with connection.cursor() as cursor, pytest.raises(Exception, match="one"):
        slowly(clock, 1.0, lambda: cursor.execute(made))
    assert [record.sql for record in slow_queries()] == ['SELECT ?, "one"']


def test_asynchronous_queries_are_seen(clock: Clock) -> None:
    """They run in another thread, whose stack may know no place; the statement is recorded all the same."""

    async def count() -> None:
        await Entry.objects.acount()
        connections.close_all()

    slowly(clock, 1.0, lambda: async_to_sync(count)())
    assert {record.sql for record in slow_queries()} >= {
        'SELECT count(*) AS "__count" FROM "warehouse_entry"'
    }


def test_sqlite_is_watched_too(clock: Clock) -> None:
    """Records carry the alias, and can be asked for by it."""
    connections["lite"].ensure_connection()
    slowly(clock, 1.0, lambda: Entry.objects.using("lite").count())
    slowly(clock, 1.0, lambda: Entry.objects.count())
    assert {record.alias for record in slow_queries()} == {"default", "lite"}
    assert [record.alias for record in slow_queries("lite")] == ["lite"]
    assert slow_queries("other") == []


# -- switched off and on


@pytest.mark.parametrize("off", [{"slow_query": 0}, {"enabled": False, "slow_query": 0.001}])
def test_off_means_nothing_is_recorded(clock: Clock, off: dict[str, object], seen) -> None:
    """With the threshold at 0 or the part off, even an hour is not slow; a change takes effect at the next statement."""
    with settings(**off):
        slowly(clock, 3600.0, lambda: Entry.objects.count())
        assert slow_queries() == []
    slowly(clock, 1.0, lambda: Entry.objects.count())
    assert len(slow_queries()) == 1
    assert len(seen) == 1


def test_it_stands_once_on_each_connection_and_can_be_taken_away() -> None:
    """A reconnect attaches no second watch, `disconnect` takes it away, `connect` puts it back."""
    for _ in range(3):
        connection.ensure_connection()
        connection.close()
    connection.ensure_connection()
    assert connection.execute_wrappers.count(queries.watch) == 1
    wiring.disconnect()
    assert queries.watch not in connection.execute_wrappers
    wiring.connect()
    assert connection.execute_wrappers.count(queries.watch) == 1


def test_a_wrapper_that_was_there_before_the_connection_takes_itself_away() -> None:
    """`execute_wrapper` pops the last wrapper when it ends: with the connection opened inside, that must not be ours."""
    connection.close()
    queries.detach(connection)

    def passing(execute, sql, params, many, context):
        return execute(sql, params, many, context)

    with connection.execute_wrapper(passing):
        Entry.objects.count()
    assert connection.execute_wrappers.count(queries.watch) == 1
    assert passing not in connection.execute_wrappers


# -- what it may not do


def test_trouble_in_looking_is_no_trouble_of_the_statement(clock: Clock, monkeypatch, caplog) -> None:
    """An error of our own is logged, and the statement's result or error is what it was."""
    monkeypatch.setattr(queries, "fingerprint", lambda *_, **__: 1 / 0)
    clock.takes = 1.0
    assert Entry.objects.count() == 0
    with pytest.raises(Exception, match="nothing_there"), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nothing_there")
    assert [one.levelname for one in caplog.records] == ["ERROR", "ERROR"]


def test_events_are_few_in_an_outage(clock: Clock, seen, monkeypatch) -> None:
    """One event a minute for each kind of statement, with the number of those not told."""
    now = [50.0]
    monkeypatch.setattr(queries, "monotonic", lambda: now[0])

    def some(number: int) -> None:
        for _ in range(number):
            slowly(clock, 1.0, lambda: Entry.objects.count())

    some(100)
    now[0] += slow_log.TOLD_EVERY
    some(3)
    told = [one for one in seen if isinstance(one, SlowQuery)]
    assert [(one.count, one.untold) for one in told] == [(1, 0), (101, 99)]
    assert slow_queries()[0].count == 103


def test_the_table_is_bounded(clock: Clock) -> None:
    """The kind that was not slow for the longest time goes first."""
    clock.takes = 1.0
    names = ["one", *(f"a{number}" for number in range(slow_log.CAPACITY - 1)), "a0", "one", "z0", "z1", "z2"]
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SELECT 1 AS {name}")
    kept = {record.sql for record in slow_queries()}
    assert len(kept) == slow_log.CAPACITY
    assert {"SELECT ? AS one", "SELECT ? AS a0", "SELECT ? AS z2"} <= kept
    assert not {"SELECT ? AS a1", "SELECT ? AS a2"} & kept


def test_a_child_process_begins_anew(clock: Clock) -> None:
    """After a fork, with the lock held by another thread, the child neither waits for it nor tells the parent's story."""
    slowly(clock, 1.0, lambda: Entry.objects.count())
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with slow_log.lock:
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    child = os.fork()
    if not child:
        os._exit(0 if slow_queries() == [] else 1)
    done.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
    assert len(slow_queries()) == 1


def test_threads_lose_no_run(clock: Clock, monkeypatch) -> None:
    """Slow runs in several threads at once are all counted."""
    monkeypatch.setattr(queries, "perf_counter", time.perf_counter)

    def work() -> None:
        with connection.cursor() as cursor:
            for _ in range(50):
                cursor.execute("SELECT 1")
        connection.close()

    with settings(slow_query=1e-9):
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(record.count for record in slow_queries() if record.sql == "SELECT ?") == 300


# -- drawings


def test_a_record_tells_of_how_many_runs_the_slow_ones_are(clock: Clock) -> None:
    """One run in a thousand is drawn, by the clock's last digits; slow or not it tells what is usual."""

    def count() -> None:
        Entry.objects.count()

    slowly(clock, 1.0, count)
    assert [(record.runs, record.usual) for record in slow_queries()] == [(1, None)]
    for _ in range(3):
        clock.now = 2000.0000005
        slowly(clock, 0.0, count)
    (record,) = slow_queries()
    assert (record.count, record.runs) == (1, 3000)
    assert record.usual is not None


def test_drawings_do_not_push_slow_ones_out(clock: Clock) -> None:
    """They are kept apart, and alone they make no record."""
    slowly(clock, 1.0, lambda: Entry.objects.count())
    with connection.cursor() as cursor:
        for number in range(slow_log.CAPACITY + 5):
            clock.now = 3000.0000005
            cursor.execute(f"SELECT 1 AS a{number}")
    assert len(slow_queries()) == 1
    assert len(slow_log.drawn) == slow_log.CAPACITY


def test_about_one_in_a_thousand_is_drawn() -> None:
    """The real clock's last digits serve as well as dice."""
    ours = sum(time.perf_counter() % queries._SPAN < queries._DRAW for _ in range(400_000))
    assert 100 < ours < 1600


# -- cost


def test_a_quick_statement_pays_less_than_a_microsecond() -> None:
    """Against the bare call, the least of many rounds; and nothing is allocated that stays."""

    def execute(sql, params, many, context):
        return None

    def least(body: Callable[[], object]) -> float:
        times = []
        for _ in range(60):
            before = time.perf_counter()
            for _ in range(500):
                body()
            times.append((time.perf_counter() - before) / 500)
        return min(times)

    context: dict[str, object] = {"connection": connection, "cursor": None}
    with settings(slow_query=60.0):
        queries._read_threshold()
        bare = least(lambda: execute("SELECT 1", None, False, context))
        watched = least(lambda: queries.watch(execute, "SELECT 1", None, False, context))
    assert watched - bare < 1e-6
    assert slow_queries() == []


def test_a_closed_connection_keeps_no_record_alive() -> None:
    """The log holds texts and numbers, no connection and no value."""
    with settings(slow_query=1e-9), transaction.atomic():
        Account.objects.create(name="secret value")
    gc.collect()
    held = [
        one
        for entry in slow_log.slow.values()
        for one in gc.get_referents(entry)
        if not isinstance(one, str | int | float | type(None))
    ]
    assert {type(one).__name__ for one in held} <= {"Durations", "Explained", "type"}
    with contextlib.suppress(KeyError):
        assert "secret" not in repr(slow_log.slow)
