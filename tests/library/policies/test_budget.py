"""The retry budget: shared by name, paid when scheduled, earned back."""

from __future__ import annotations

import threading

import pytest

from stalwart.exceptions import ConfigurationError
from stalwart.policies.budget import UNLIMITED, RetryBudget
from stalwart.policies.operation import resilient_operation


def test_is_shared_by_name() -> None:
    """Two call sites that name the same dependency draw from one bucket, others from their own."""
    assert RetryBudget("quotes") is RetryBudget("quotes")
    RetryBudget("quotes").debit()
    assert RetryBudget("quotes").tokens == 486
    assert RetryBudget("mail").tokens == 500


def test_a_full_bucket_pays_for_35_retries() -> None:
    """500 tokens at 14 a retry are 35 in a burst; then nothing is taken and the answer is no."""
    budget = RetryBudget("quotes")
    assert sum(budget.debit() for _ in range(100)) == 35
    assert budget.tokens == 10


def test_in_the_long_run_one_retry_per_fourteen_successes() -> None:
    """Once the reserve is gone, successes at the first try pay for the retries."""
    budget = RetryBudget("quotes")
    while budget.debit():
        pass
    paid = 0
    for _ in range(1400):
        budget.deposit()
        paid += budget.debit()
    assert paid in (100, 101)


def test_low_tells_whether_tokens_are_missing() -> None:
    """At full capacity there is nothing to give back; a bucket never holds more than its capacity."""
    budget = RetryBudget("quotes", capacity=20, cost=10, earned=3)
    assert not budget.low
    assert budget.debit()
    assert budget.low
    budget.refund()
    assert not budget.low
    budget.deposit()
    assert budget.tokens == 20


def test_a_success_at_full_capacity_takes_no_lock(held) -> None:
    """The happy path of an operation passes while somebody else holds the bucket's lock."""
    budget = RetryBudget("quotes")
    operation = resilient_operation(budget=budget)(lambda: "done")
    with held(budget._lock):
        assert operation() == "done"


def test_the_order_of_naming_and_configuring_does_not_matter() -> None:
    """A bucket that was only named takes the first configuration; what it has spent stays spent."""
    budget = RetryBudget("quotes")
    budget.debit()
    assert RetryBudget("quotes", capacity=100, cost=10) is budget
    assert budget.tokens == 86
    assert RetryBudget("quotes", capacity=100, cost=10) is budget
    with pytest.raises(ConfigurationError, match="already has"):
        RetryBudget("quotes", capacity=99, cost=10)


@pytest.mark.parametrize(
    "options", [{"capacity": 0}, {"cost": -1}, {"earned": float("nan")}, {"capacity": 5, "cost": 6}]
)
def test_numbers_without_sense_are_refused(options) -> None:
    """A bucket that cannot pay for one retry is refused with its numbers."""
    with pytest.raises(ConfigurationError, match="capacity, cost and earned"):
        RetryBudget("quotes", **options)


@pytest.mark.parametrize("name", ["", None, 7])
def test_names_are_texts(name) -> None:
    """Something else than a name is refused."""
    with pytest.raises(ConfigurationError, match="name of a retry budget"):
        RetryBudget(name)


def test_unlimited_pays_for_everything() -> None:
    """The budget of those who want none never runs low."""
    assert all(UNLIMITED.debit() for _ in range(1000))
    UNLIMITED.refund()
    assert not UNLIMITED.low


def test_threads_do_not_spend_a_token_twice() -> None:
    """However many threads debit at once, no more is paid than the bucket holds."""
    budget, start, paid = RetryBudget("quotes"), threading.Barrier(8), []

    def spend() -> None:
        start.wait(10)
        paid.append(sum(budget.debit() for _ in range(20)))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(paid) == 35


def test_a_thousand_failures_at_once_stay_within_the_budget() -> None:
    """A retry is paid when it is scheduled, so that those who wait do not pass for free while the bucket still looks full."""
    calls = [0]

    @resilient_operation(name="quotes", circuit_breaker=False, sleep=lambda _: None)
    def fetch() -> None:
        calls[0] += 1
        raise OSError("down")

    for _ in range(1000):
        with pytest.raises(OSError):
            fetch()
    assert calls[0] == 1000 + 35


def test_waiting_retries_have_paid_already() -> None:
    """While one retry sleeps, its price is gone from the bucket for everybody else."""
    seen: list[float] = []

    @resilient_operation(
        name="quotes", max_retries=1, sleep=lambda _: seen.append(RetryBudget("quotes").tokens)
    )
    def fetch() -> None:
        raise OSError("down")

    with pytest.raises(OSError):
        fetch()
    assert seen == [486]
