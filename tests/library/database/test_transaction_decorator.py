"""`@resilient_transaction`: the function runs again, with fresh reads and with its objects as they were."""

from __future__ import annotations

import contextlib
import threading

import pytest
from django.db import OperationalError, connection, transaction
from warehouse.models import Account, Company, Entry, Item

from stalwart import Failover, database_retry, resilient_operation, resilient_transaction
from stalwart.database import mark_side_effect
from stalwart.events import ConnectionRestored, RetryScheduled
from stalwart.exceptions import ConfigurationError
from stalwart.testing import demote

pytestmark = pytest.mark.usefixtures("django_db")


def terminate(postgres) -> None:
    connection.ensure_connection()
    assert connection.connection.info.backend_pid in postgres.terminate_backends("library")


def test_the_function_runs_again_and_reads_afresh(postgres, seen) -> None:
    """What would be a mismatch in a replay is a new decision here."""
    Account.objects.create(name="a", value=1)
    calls = []

    @resilient_transaction
    def double() -> int:
        calls.append(1)
        account = Account.objects.get(name="a")
        if len(calls) == 1:
            terminate(postgres)
            with postgres.connect("library") as other:
                other.execute("UPDATE warehouse_account SET value = 10")
        Account.objects.filter(name="a").update(value=account.value * 2)
        return account.value

    assert double() == 10
    assert Account.objects.get().value == 20
    assert len(calls) == 2
    assert [event.operation.rpartition(".")[2] for event in seen if isinstance(event, RetryScheduled)] == [
        "double"
    ]


def test_instances_are_as_they_were(postgres) -> None:
    """An argument gets its fields back; an instance from elsewhere its key and state; no double count, no stale key."""
    account = Account.objects.create(name="a", value=1)
    elsewhere = Entry(text="x")
    calls = []

    @resilient_transaction()
    def work(account: Account, entries: list[Entry]) -> None:
        calls.append(1)
        account.value += 1
        account.save()
        elsewhere.save()
        Entry.objects.bulk_create(entries)
        if len(calls) == 1:
            assert elsewhere.pk is not None
            terminate(postgres)
        Entry.objects.create(text="last")

    entries = [Entry(text="b1"), Entry(text="b2")]
    work(account, entries)
    assert Account.objects.get().value == account.value == 2
    assert set(Entry.objects.values_list("pk", flat=True)) >= {elsewhere.pk, *(entry.pk for entry in entries)}
    assert Entry.objects.count() == 4


def test_a_side_effect_ends_the_repeats(postgres) -> None:
    """After mark_side_effect the failure goes to the caller, with a note."""
    calls = []

    @resilient_transaction
    def work() -> None:
        calls.append(1)
        mark_side_effect("sent the invoice")
        terminate(postgres)
        Entry.objects.create(text="x")

    with pytest.raises(OperationalError) as caught:
        work()
    assert len(calls) == 1
    assert any("sent the invoice" in note for note in caught.value.__notes__)


def test_at_most_max_retries_also_when_decorators_nest(postgres) -> None:
    """max_retries=2 means three calls, with database_retry around it, too."""
    calls = []

    @database_retry(max_retries=3)
    @resilient_transaction(max_retries=2)
    def work() -> None:
        calls.append(1)
        terminate(postgres)
        Entry.objects.create(text="x")

    with pytest.raises(OperationalError) as caught:
        work()
    assert len(calls) == 3
    assert any("max_retries=2" in note for note in caught.value.__notes__)


def test_a_hook_that_fails_after_the_commit_repeats_nothing(postgres) -> None:
    """One call, one row."""
    calls = []

    def fail() -> None:
        terminate(postgres)
        Entry.objects.count()

    @resilient_transaction
    def work() -> None:
        calls.append(1)
        Entry.objects.create(text="x")
        transaction.on_commit(fail)

    with pytest.raises(OperationalError):
        work()
    connection.close()
    assert (len(calls), Entry.objects.count()) == (1, 1)


def test_inside_another_transaction_it_is_atomic(postgres) -> None:
    """The outer block owns the transaction."""
    calls = []

    @resilient_transaction
    def work() -> None:
        calls.append(1)
        Entry.objects.create(text="x")

    with transaction.atomic():
        work()
        transaction.set_rollback(True)
    assert (len(calls), Entry.objects.count()) == (1, 0)


def test_what_cannot_be_run_again_is_refused() -> None:
    """Generators, coroutines and classes, when decorating; and a number of retries that is none."""

    async def coroutine() -> None:
        pass

    def generator():
        yield

    for thing in (coroutine, generator, dict):
        with pytest.raises(TypeError):
            resilient_transaction()(thing)
    with pytest.raises(ConfigurationError, match="max_retries"):
        resilient_transaction(max_retries=-1)


@pytest.mark.parametrize("form", ["block", "decorator"])
def test_a_side_effect_keeps_a_retry_around_it_from_running_it_again(postgres, form) -> None:
    """The invoice is sent once, whoever repeats what is around the transaction, and whatever it fails with."""
    calls = []

    def body() -> None:
        calls.append(1)
        mark_side_effect("sent the invoice")
        if len(calls) == 1:
            terminate(postgres)
        Entry.objects.create(text="x")

    def in_a_block() -> None:
        with resilient_transaction():
            body()

    work = database_retry(in_a_block if form == "block" else resilient_transaction(body))
    with pytest.raises(OperationalError):
        work()
    assert (len(calls), Entry.objects.count()) == (1, 0)

    @resilient_operation(delay=0)
    @resilient_transaction
    def fails() -> None:
        calls.append(1)
        mark_side_effect("sent the invoice")
        raise ValueError

    with pytest.raises(ValueError):
        fails()
    assert len(calls) == 2


def test_lists_dicts_and_loaded_relations_are_as_they_were(postgres) -> None:
    """`meta["n"] += 1` in a JSON field does not count twice, and what the rolled-back attempt has loaded is not there."""
    item, calls, found = Item(price=1), [], []
    item.meta = {"n": [1]}

    @resilient_transaction
    def work(item: Item) -> None:
        calls.append(1)
        found.append("company" in item._state.fields_cache)
        item.meta["n"][0] += 1
        item.company = Company.objects.create(name="c")
        item.company.country = f"{len(calls)}"
        item.save()
        if len(calls) < 3:
            terminate(postgres)
        Entry.objects.create(text="x")

    work(item)
    assert found == [False, False, False]
    assert item.meta == {"n": [2]}
    assert item.company_id == item.company.pk == Company.objects.get().pk


def test_a_relation_that_was_loaded_before_is_put_back_too(postgres) -> None:
    """The company of an item among the arguments is changed once."""
    item, calls = Item.objects.create(company=Company.objects.create(name="c"), price=1), []

    @resilient_transaction
    def work(items: list[Item]) -> None:
        calls.append(1)
        items[0].company.name += "!"
        items[0].company.save()
        if len(calls) == 1:
            terminate(postgres)
        Entry.objects.create(text="x")

    work([item])
    assert (len(calls), Company.objects.get().name) == (2, "c!")


def test_an_argument_that_cannot_be_copied_ends_the_repeats(postgres) -> None:
    """It could not be put back; the call itself is made, and its failure says why it was not made again."""
    account, calls = Account(name="a"), []
    account.locks = [threading.Lock()]

    @resilient_transaction
    def work(account: Account) -> None:
        calls.append(1)
        account.save()
        if len(calls) == 1:
            terminate(postgres)
        Entry.objects.create(text="x")

    with pytest.raises(OperationalError) as caught:
        work(account)
    assert any("could not be copied (TypeError)" in note for note in caught.value.__notes__)
    account.pk, account._state.adding = None, True
    work(account)
    assert (len(calls), Account.objects.count()) == (2, 1)


def test_an_error_that_the_function_has_wrapped_is_repeated(postgres) -> None:
    """As under database_retry: what it was raised from counts."""
    calls = []

    @resilient_transaction
    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            terminate(postgres)
        try:
            Entry.objects.create(text="x")
        except OperationalError as error:
            raise LookupError from error

    work()
    assert (len(calls), Entry.objects.count()) == (2, 1)


def test_a_demoted_primary_is_waited_out(seen) -> None:
    """The repeats are not used up within milliseconds on servers that still cannot write."""
    Entry.objects.count()
    calls = []

    @resilient_transaction(max_retries=1)
    def work() -> None:
        calls.append(1)
        Entry.objects.create(text="x")

    with demote(connects=3, even_on="library"):
        work()
    assert (len(calls), Entry.objects.count()) == (2, 1)
    [restored] = [event for event in seen if isinstance(event, ConnectionRestored)]
    assert restored.attempts > 1


@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_committed_on_another_database_is_not_committed_twice(postgres, atomic) -> None:
    """It stays when this transaction is rolled back, so the function must not run again, under no retry at all."""
    calls = []

    @resilient_operation(delay=0)
    @resilient_transaction
    def work() -> None:
        calls.append(1)
        Entry.objects.create(text="a")
        with transaction.atomic("lite") if atomic else contextlib.nullcontext():
            Entry.objects.using("lite").create(text="b")
        terminate(postgres)
        Entry.objects.create(text="c")

    with pytest.raises(OperationalError) as caught:
        work()
    assert any("another database" in note for note in caught.value.__notes__)
    assert (len(calls), Entry.objects.count(), Entry.objects.using("lite").count()) == (1, 0, 1)


def test_what_is_rolled_back_on_another_database_stands_in_nobodys_way(postgres) -> None:
    """Nor what was only read there."""
    calls = []

    @resilient_transaction
    def work() -> None:
        calls.append(Entry.objects.using("lite").count())
        with contextlib.suppress(LookupError), transaction.atomic("lite"):
            Entry.objects.using("lite").create(text="b")
            raise LookupError
        if len(calls) == 1:
            terminate(postgres)
        Entry.objects.create(text="c")

    work()
    assert (calls, Entry.objects.count()) == ([0, 0], 1)


def test_a_side_effect_goes_to_no_other_target_either(postgres) -> None:
    """A failover between two databases would send the invoice a second time."""
    calls = []

    def work(alias: str) -> None:
        calls.append(alias)
        with resilient_transaction(alias):
            mark_side_effect("sent the invoice", using=alias)
            terminate(postgres)
            Entry.objects.using(alias).create(text="x")

    with pytest.raises(OperationalError):
        Failover("ledgers", ["default", "lite"]).run(work)
    assert calls == ["default"]
