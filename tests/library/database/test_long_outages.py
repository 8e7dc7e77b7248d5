"""What keeps the repeats from making an outage worse: the circuit over the waits, and the budget of overload repeats."""

from __future__ import annotations

import random

import pytest
from django.db import OperationalError, connection, connections
from django.test import override_settings
from warehouse.models import Account

from stalwart import CircuitBreaker, database_retry
from stalwart.database.retry_call import call
from stalwart.database.retry_plan import RetryPlan
from stalwart.events import CircuitChanged
from stalwart.policies.backoff import Backoff
from stalwart.policies.budget import RetryBudget

pytestmark = pytest.mark.usefixtures("django_db")


class Clock:
    def __init__(self) -> None:
        self.now = 50.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def plan(clock: Clock, **options) -> RetryPlan:
    values = {
        "max_retries": 3, "backoff": Backoff(0.05, 2, 2), "aliases": None, "on_types": (), "on_classes": frozenset(),
        "random": random.Random(1).random, "clock": clock, "sleep": clock.sleep,
    }  # fmt: skip
    return RetryPlan(**values | options)


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.4}})
def test_in_a_long_outage_calls_stop_waiting(postgres, seen) -> None:
    """After five waits in vain a call tries once and fails at once; when the server is back, nothing is refused."""
    connection.close()
    postgres.kill()
    clock = Clock()
    waited = []
    for _ in range(7):
        clock.sleeps.clear()
        with pytest.raises(OperationalError) as caught:
            call(plan(clock), "count", Account.objects.count, (), {})
        waited.append(sum(clock.sleeps) > 0)
    assert waited == [True] * 5 + [False] * 2
    assert any("circuit 'database:default' is open" in note for note in caught.value.__notes__)
    assert [event.after for event in seen if isinstance(event, CircuitChanged)] == ["open"]
    postgres.start()
    postgres.wait_ready()
    assert call(plan(clock), "count", Account.objects.count, (), {}) == 0  # though the circuit is open still
    assert CircuitBreaker("database:default").status().state == "open"


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 3.0}})
def test_outages_that_are_waited_out_do_not_open_it(postgres) -> None:
    """A wait that ends in a usable connection counts as a success, so short outages change nothing, however many."""
    settings = connections["default"].settings_dict
    for _ in range(6):
        clock = Clock()

        def sleep(seconds: float, clock: Clock = clock) -> None:
            clock.sleep(seconds)
            if len(clock.sleeps) == 3:
                settings["PORT"] = postgres.port

        connection.close()
        settings["PORT"] = 1
        try:
            assert call(plan(clock, sleep=sleep), "count", Account.objects.count, (), {}) == 0
        finally:
            settings["PORT"] = postgres.port
    status = CircuitBreaker("database:default").status()
    assert (status.state, status.failure_rate, status.calls) == ("closed", 0.0, 6)


def test_overload_is_repeated_within_the_budget(seen) -> None:
    """A server that has no room is asked again only as long as the budget of its database pays; others do not pay."""
    budget = RetryBudget("database", capacity=28, cost=14, earned=1)
    calls = []

    def raising(code: str) -> None:
        calls.append(code)
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")

    clock = Clock()
    with pytest.raises(OperationalError) as caught:
        call(plan(clock, budget=budget), "full", raising, ("53200",), {})
    assert len(calls) == 3
    assert any("retry budget of 'database' is used up" in note for note in caught.value.__notes__)
    calls.clear()
    with pytest.raises(OperationalError):
        call(plan(clock, budget=budget), "conflict", raising, ("40001",), {})
    assert len(calls) == 4


def test_successes_earn_the_budget_back() -> None:
    """A success at the first try earns a token, a repeat that succeeded gets its price back; call sites share by database."""
    budget = RetryBudget("database:default", capacity=14, cost=14, earned=7)
    calls = []

    @database_retry(using="default", delay=0)
    def full_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            with connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53200'; END $$")

    @database_retry(using=["default"])
    def well() -> None:
        Account.objects.count()

    full_once()
    assert not budget.low
    assert budget.debit()
    well()
    assert not budget.debit()
    well()
    assert not budget.low
    assert budget.debit()
