"""Django's pool: a bounded queue, holders that are named, numbers in the status."""

from __future__ import annotations

import gc
import json
import threading
from functools import partial

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Account

from stalwart import database_retry, get_database_status
from stalwart.database import health, holds, pool, wiring
from stalwart.database.classification import ErrorClass, classify
from stalwart.events import ConnectionHeldTooLong

from .conftest import pid

pytestmark = pytest.mark.usefixtures("django_db")


def hold(taken: threading.Event, release: threading.Event) -> None:
    """Have a connection until told otherwise."""
    Account.objects.count()
    taken.set()
    release.wait(30)
    connection.close()


@pytest.fixture
def release():
    """Set at the end in any case, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def holding(keepers, release):
    """A function that has another thread take a connection, and returns what waits for that thread to be done."""

    def begin():
        taken = threading.Event()
        ended = keepers().start(partial(hold, taken, release))
        assert taken.wait(30)
        return ended

    return begin


@override_settings(STALWART={"DATABASE": {"POOL_WAITING": 1}})
def test_one_waiter_too_many_is_refused_at_once(configure, keepers, holding, release, poll) -> None:
    """With POOL_WAITING 1, a second thread in the queue fails now, not in 30 s, and the error says what the pool was doing."""
    configure(pool={"min_size": 1, "max_size": 1, "timeout": 30})
    waiter, third = keepers(), keepers()
    ended = holding()
    waiting = waiter.start(Account.objects.count)
    poll(lambda: health.pools()["default"].get_stats()["requests_waiting"] == 1)
    with pytest.raises(OperationalError) as caught:
        third(Account.objects.count)
    known = classify(caught.value)
    assert known is not None
    assert known.error_class is ErrorClass.CAPACITY
    [note] = caught.value.__cause__.__notes__
    assert "1 connections of at most 1, 0 of them idle; 1 requests wait, 1 may" in note
    assert "HELD_TOO_LONG" in note
    release.set()
    ended()
    assert waiting() == 0
    waiter(lambda: connection.close())


def test_the_bound_is_there_before_the_first_connection(configure, keepers, poll) -> None:
    """A server that is down when the process starts has the queue bounded, too: to the pool's size and POOL_WAITING more."""
    with override_settings(STALWART={"DATABASE": {"POOL_WAITING": 1}}):
        configure(pool={"min_size": 1, "max_size": 1, "timeout": 5}, connect_timeout=2)
        port, connection.settings_dict["PORT"] = connection.settings_dict["PORT"], 1
        try:
            waiting = [keepers().start(Account.objects.count) for _ in range(2)]
            poll(lambda: health.pools() and health.pools()["default"].get_stats()["requests_waiting"] == 2)
            with pytest.raises(OperationalError, match="already 2 requests waiting"):
                keepers()(Account.objects.count)
            connection.close_pool()
            for one in waiting:
                with pytest.raises(OperationalError, match="closed"):
                    one()
        finally:
            connection.settings_dict["PORT"] = port


def test_settings_decide_at_call_time_and_the_users_own_bound_wins(configure) -> None:
    """POOL_WAITING set, changed, taken away, and the part switched off, on one live pool; max_waiting of OPTIONS stays."""
    configure(pool={"min_size": 1, "max_size": 1})
    live: list[int] = []
    for database in ({"POOL_WAITING": 3}, {"POOL_WAITING": 5}, {}, {"POOL_WAITING": 5, "ENABLED": False}):
        with override_settings(STALWART={"DATABASE": database}):
            Account.objects.count()
            connection.close()
            live.append(health.pools()["default"].max_waiting)
    assert live == [4, 5, 0, 0]  # at the start, one more waits for the connection that is being opened
    connection.settings_dict["OPTIONS"]["pool"]["max_waiting"] = 7
    with override_settings(STALWART={"DATABASE": {"POOL_WAITING": 3}}):
        Account.objects.count()
    assert health.pools()["default"].max_waiting == 7


@override_settings(STALWART={"DATABASE": {"POOL_WAITING": 1}})
def test_a_burst_at_the_start_is_served(configure, keepers) -> None:
    """Four threads at once on a pool of four that has not opened a connection yet: none is refused."""
    configure(pool={"min_size": 4, "max_size": 4, "timeout": 30})
    threads = [keepers() for _ in range(4)]
    assert [one() for one in [each.start(Account.objects.count) for each in threads]] == [0] * 4


@override_settings(STALWART={"DATABASE": {"POOL_WAITING": 1}})
def test_a_refused_call_is_repeated_by_the_retry(configure, keepers, holding, release, poll) -> None:
    """Being refused costs nothing and passes by itself, so `database_retry` repeats it, and gets its connection."""
    configure(pool={"min_size": 1, "max_size": 1, "timeout": 30})
    ended, waiter = holding(), keepers()
    waiting = waiter.start(lambda: (Account.objects.count(), connection.close()))
    poll(lambda: health.pools()["default"].get_stats()["requests_waiting"] == 1)
    refusals: list[OperationalError] = []

    @database_retry(max_retries=5, delay=0.05)
    def read() -> int:
        try:
            return Account.objects.count()
        except OperationalError as error:
            refusals.append(error)
            release.set()
            raise

    assert keepers()(read) == 0
    assert refusals
    ended()
    waiting()


@override_settings(STALWART={"DATABASE": {"HELD_TOO_LONG": 0.05}})
def test_a_connection_held_too_long_is_reported_with_the_place_that_took_it(
    configure, holding, release, poll, seen
) -> None:
    """Whoever comes for a connection next reports the holder once: since when, which thread, taken where, and where it is now."""
    configure(pool={"min_size": 2, "max_size": 2})
    ended = holding()

    def reports() -> list[ConnectionHeldTooLong]:
        Account.objects.count()
        connection.close()
        return [event for event in seen if isinstance(event, ConnectionHeldTooLong)]

    [event] = poll(reports)
    assert (event.alias, event.thread, event.lost) == ("default", "keeper", False)
    assert event.seconds >= 0.05
    assert event.taken_at[0].startswith(__file__)
    assert event.taken_at[0].endswith(" in hold")
    assert any(place.endswith(" in hold") for place in event.now_at)
    assert "django" not in "".join(event.taken_at)
    json.dumps(event.as_dict())
    status = get_database_status()
    assert [held.thread for held in status.pool.held_too_long] == ["keeper"]
    release.set()
    ended()
    assert get_database_status().pool.held_too_long == ()
    assert len(reports()) == 1


@override_settings(STALWART={"DATABASE": {"HELD_TOO_LONG": 0.05}})
def test_a_pool_that_is_empty_names_who_holds_it(configure, holding, release, poll, seen) -> None:
    """A thread that waits in vain for a connection says at its error who has it; with nobody else coming for one."""
    configure(pool={"min_size": 1, "max_size": 1, "timeout": 0.3})
    ended = holding()
    with pytest.raises(OperationalError) as caught:
        Account.objects.count()
    assert "the longest by 'keeper' for" in caught.value.__cause__.__notes__[0]
    assert f"taken at {__file__}" in caught.value.__cause__.__notes__[0]
    assert [type(event) for event in seen if isinstance(event, ConnectionHeldTooLong)]
    release.set()
    ended()


@override_settings(STALWART={"DATABASE": {"HELD_TOO_LONG": 60}})
def test_a_thread_that_ends_with_its_connection_is_reported(configure, keepers, poll, seen) -> None:
    """The pool is one short for good, which psycopg_pool does not notice; the next who looks hears of it."""
    configure(pool={"min_size": 2, "max_size": 2})
    careless = keepers()
    careless(Account.objects.count)
    careless.end(closing=False)

    def reports() -> list[ConnectionHeldTooLong]:
        gc.collect()  # which comes by itself, sooner or later
        assert get_database_status().pool is not None
        return [event for event in seen if isinstance(event, ConnectionHeldTooLong)]

    [event] = poll(reports)
    assert event.lost
    assert event.now_at == ()
    assert any(" in _run" in place for place in event.taken_at)


@override_settings(STALWART={"DATABASE": {"HELD_TOO_LONG": 60}})
def test_a_thread_that_closes_its_connection_loses_none(configure, keepers, seen) -> None:
    """Given back, then taken by another thread, or closed by the pool: the end of the first taker is no loss."""
    configure(pool={"min_size": 1, "max_size": 1})
    for _ in range(3):
        tidy = keepers()
        tidy(lambda: (Account.objects.count(), connection.close()))
        tidy.end()
    Account.objects.count()  # the same connection, in another thread's hands
    gc.collect()
    pool.status("default")
    connection.close()
    health.pools()["default"].drain()
    gc.collect()
    pool.status("default")
    assert [event for event in seen if isinstance(event, ConnectionHeldTooLong)] == []


def test_with_the_setting_off_nobody_is_watched(configure) -> None:
    """HELD_TOO_LONG 0, the default: no hold is kept."""
    configure(pool={"min_size": 1, "max_size": 1})
    Account.objects.count()
    assert holds._holds == {}
    assert get_database_status().pool.held_too_long == ()


def test_numbers_of_the_pool_are_in_the_status(configure) -> None:
    """By alias, psycopg_pool's own; None where there is no pool, and nothing of it makes one."""
    assert get_database_status("lite").pool is None
    configure(pool={"min_size": 1, "max_size": 3})
    assert get_database_status().pool is None
    assert health.pools() == {}
    Account.objects.count()
    found = get_database_status().pool
    assert (found.stats["pool_min"], found.stats["pool_max"], found.stats["requests_num"]) == (1, 3, 1)


def test_disconnect_takes_the_hooks_away(configure) -> None:
    """After `wiring.disconnect()` Django's own methods are in place, old connections and new ones; connect brings ours back."""
    names = ("get_new_connection", "wrap_database_errors")
    Account.objects.count()
    assert all(name in vars(connections["default"]) for name in names)
    wiring.disconnect()
    try:
        assert "get_new_connection" not in vars(connections["default"])
        assert type(connections["default"].wrap_database_errors).__module__ == "django.db.utils"
        connection.close()
        del connections["default"]
        assert "get_new_connection" not in vars(connections["default"])
        assert Account.objects.count() == 0
    finally:
        wiring.connect()
    assert all(name in vars(connections["default"]) for name in names)
    with transaction.atomic():
        assert pid()
