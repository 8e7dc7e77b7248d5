"""Waiting for a usable connection never sleeps past the deadline: with a fake clock and a server that is away."""

from __future__ import annotations

import random

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from warehouse.models import Account

from stalwart.database.retry_call import call
from stalwart.database.retry_plan import RetryPlan
from stalwart.policies.backoff import Backoff

pytestmark = pytest.mark.usefixtures("django_db")


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 3.0}})
@pytest.mark.parametrize("seed", range(5))
def test_no_sleep_passes_the_deadline(seed) -> None:
    """All sleeps together stay within RECONNECT_WITHIN, over all repeats of one call, and come close to it."""
    now, sleeps = [50.0], []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        now[0] += seconds

    plan = RetryPlan(
        max_retries=3, backoff=Backoff(0.05, 2, 2), aliases=None, on_types=(), on_classes=frozenset(),
        random=random.Random(seed).random, clock=lambda: now[0], sleep=sleep,
    )  # fmt: skip
    connection.close()  # one that is open would not need the address
    port, connection.settings_dict["PORT"] = connection.settings_dict["PORT"], 1
    try:
        with pytest.raises(OperationalError) as caught:
            call(plan, "read", Account.objects.count, (), {})
    finally:
        connection.settings_dict["PORT"] = port
    assert 2.7 < sum(sleeps) < 3.0
    assert max(sleeps) <= 0.15
    assert "no usable connection" in caught.value.__notes__[0]
