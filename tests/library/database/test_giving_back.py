"""While a repeat waits, a pooled connection is there for others, unless its session holds something of the caller."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from stalwart.database.retry_call import call
from stalwart.database.retry_plan import RetryPlan
from stalwart.policies.backoff import Backoff


@pytest.fixture
def pooled(django_db) -> Iterator[Any]:
    """The default connection on a pool of one: whoever holds it keeps all others out."""
    wrapper = connections["default"]
    wrapper.close()
    options = dict(wrapper.settings_dict["OPTIONS"])
    wrapper.settings_dict["OPTIONS"] = {**options, "pool": {"min_size": 1, "max_size": 1, "timeout": 5}}
    yield wrapper
    wrapper.close()
    wrapper.close_pool()
    wrapper.settings_dict["OPTIONS"] = options


def free_while_waiting(pooled: Any) -> list[int]:
    """Make a call that meets a conflict once; how many connections were free in the pool during its wait."""
    free, calls = [], []

    def conflict_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            with pooled.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    plan = RetryPlan(
        max_retries=1, backoff=Backoff(0.05, 2, 2), aliases=None, on_types=(), on_classes=frozenset(),
        random=random.random, clock=lambda: 0.0,
        sleep=lambda _: free.append(pooled.pool.get_stats()["pool_available"]),
    )  # fmt: skip
    call(plan, "conflict_once", conflict_once, (), {})
    assert len(calls) == 2
    return free


def test_a_waiting_call_gives_its_pooled_connection_back(pooled) -> None:
    """The only connection of the pool is free while the repeat waits."""
    assert free_while_waiting(pooled) == [1]


@pytest.mark.parametrize(
    "holds",
    [
        "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
        "SELECT pg_advisory_lock(5)",
        "CREATE TEMP TABLE mine (a int)",
    ],
)
def test_a_session_that_holds_something_of_the_caller_is_kept(pooled, holds) -> None:
    """A cursor, a lock or a table of the caller would be lost, or handed on, with the connection: it stays."""
    with pooled.cursor() as cursor:
        cursor.execute(holds)
    session = pooled.connection
    assert free_while_waiting(pooled) == [0]
    assert pooled.connection is session
    with pooled.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all(); CLOSE ALL; DROP TABLE IF EXISTS mine")
