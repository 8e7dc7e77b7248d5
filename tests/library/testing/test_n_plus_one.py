"""`assert_no_n_plus_one`: what is proven, what is only seen, and what shows nothing. Each fault has a repaired twin that passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.db.models import Count, prefetch_related_objects
from django.template import Context, Engine
from warehouse.models import Company, Item

from stalwart.exceptions import ConfigurationError
from stalwart.testing import NothingShown, NPlusOneFound, assert_no_n_plus_one

BOTH = pytest.mark.parametrize("using", ["default", "lite"])


def make(number: int, using: str = "default") -> None:
    """Companies with two items each."""
    for n in range(number):
        company = Company.objects.using(using).create(name=f"company {n}")
        for _ in range(2):
            Item.objects.using(using).create(company=company)


def forward(using: str) -> None:
    [item.company.name for item in Item.objects.using(using)]


def forward_repaired(using: str) -> None:
    [item.company.name for item in Item.objects.using(using).select_related("company")]


def reverse(using: str) -> None:
    [list(company.items.all()) for company in Company.objects.using(using)]


def reverse_repaired(using: str) -> None:
    [list(company.items.all()) for company in Company.objects.using(using).prefetch_related("items")]


def counted(using: str) -> None:
    [company.items.count() for company in Company.objects.using(using)]


def counted_repaired(using: str) -> None:
    [company.number for company in Company.objects.using(using).annotate(number=Count("items"))]


def deferred(using: str) -> None:
    [company.name for company in Company.objects.using(using).only("id")]


def by_key(using: str) -> None:
    for pk in Company.objects.using(using).values_list("pk", flat=True):
        Company.objects.using(using).get(pk=pk)


def by_key_repaired(using: str) -> None:
    list(Company.objects.using(using).in_bulk(list(Company.objects.using(using).values_list("pk", flat=True))))  # fmt: skip


def refreshed(using: str) -> None:
    for company in Company.objects.using(using):
        company.refresh_from_db()


def prefetched_singly(using: str) -> None:
    for company in Company.objects.using(using):
        prefetch_related_objects([company], "items")


def raw(using: str) -> None:
    with connections[using].cursor() as cursor:
        for company in Company.objects.using(using):
            cursor.execute("SELECT count(*) FROM warehouse_item WHERE company_id = %s", [company.pk])
            cursor.fetchone()


FAULTS: dict[Callable[[str], None], tuple[str, str]] = {
    forward: ("warehouse.Item.company", 'next: select_related("company") where the rows of warehouse.Item are read'),
    reverse: ("warehouse.Company.items", 'next: prefetch_related("items")'),
    counted: ("warehouse.Company.items", "or an annotation"),
    deferred: ("warehouse.Company.name", "next: do not defer name"),
    prefetched_singly: ("warehouse.Company.items", 'next: prefetch_related("items")'),
    by_key: ("", ""),
    refreshed: ("", ""),
    raw: ("", ""),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_what_follows_the_rows_is_proven(fault: Callable[[str], None], using: str) -> None:
    """Runs with few rows and with more, the place, the relation and what would cure it."""
    with pytest.raises(NPlusOneFound) as raised:
        assert_no_n_plus_one(lambda: fault(using), factory=lambda number: make(number, using))
    text = str(raised.value)
    relation, cure = FAULTS[fault]
    assert text.startswith("statements follow the rows")
    assert f"test_n_plus_one.{fault.__name__}" in text
    assert relation in text
    assert cure in text
    assert " -> " in text
    assert "Not proven" not in text


@BOTH
@pytest.mark.parametrize("clean", [forward_repaired, reverse_repaired, counted_repaired, by_key_repaired])
def test_what_does_not_follow_them_passes(clean: Callable[[str], None], using: str) -> None:
    """The repaired twin, proven and around a block alike."""
    assert_no_n_plus_one(lambda: clean(using), factory=lambda number: make(number, using))
    with assert_no_n_plus_one() as seen:
        clean(using)
    assert seen.unproven == ()


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_a_block_shows_what_seems_to(fault: Callable[[str], None], using: str) -> None:
    """Found in one run too, and the message says that nothing is proven and what would."""
    make(3, using)
    with pytest.raises(NPlusOneFound) as raised, assert_no_n_plus_one():
        fault(using)
    text = str(raised.value)
    assert text.startswith("statements run again and again with other values")
    assert FAULTS[fault][0] in text
    assert "Not proven" in text
    assert "assert_no_n_plus_one(call, factory=make)" in text


def test_a_factory_may_make_a_number_or_see_to_one() -> None:
    """One that adds so many each time, and one after which there are so many."""

    def see_to(number: int) -> None:
        make(number - Company.objects.count())

    for factory in (make, see_to):
        with pytest.raises(NPlusOneFound):
            assert_no_n_plus_one(lambda: reverse("default"), factory=factory)
        Company.objects.all().delete()
        assert_no_n_plus_one(lambda: reverse_repaired("default"), factory=factory, sizes=(2, 4))
        Company.objects.all().delete()


def test_only_the_second_run_counts() -> None:
    """What fills a cache for each new row on the first visit does not follow the rows afterwards."""
    cache.clear()

    def cached() -> None:
        for company in Company.objects.all():
            cache.get_or_set(f"items-{company.pk}", lambda company=company: company.items.count())

    assert_no_n_plus_one(cached, factory=make)
    cache.clear()


def test_an_answer_that_was_kept_hides_nothing() -> None:
    """The second run asks nothing at all: then the first one counts."""
    kept: dict[int, Any] = {}

    def whole(page: Callable[[str], None]) -> None:
        if Kept.number not in kept:
            kept[Kept.number] = page("default")

    class Kept:
        number = 0

    def more(number: int) -> None:
        make(number)
        Kept.number += 1

    with pytest.raises(NPlusOneFound):
        assert_no_n_plus_one(lambda: whole(forward), factory=more)
    kept.clear()
    assert_no_n_plus_one(lambda: whole(forward_repaired), factory=more)


def test_writes_row_by_row_follow_the_rows() -> None:
    """Whatever a statement is for."""

    def save() -> None:
        for company in Company.objects.all():
            company.save()

    with pytest.raises(NPlusOneFound, match="UPDATE"):
        assert_no_n_plus_one(save, factory=make)


def test_chunks_are_no_loop() -> None:
    """A prefetch for each chunk, pages of one result, bulk operations and a deletion's pieces."""
    make(12)

    def innocent() -> None:
        list(Company.objects.prefetch_related("items").iterator(chunk_size=3))
        for start in range(0, 12, 3):
            list(Company.objects.order_by("pk")[start : start + 3])
        last, chunk = 0, list(Company.objects.order_by("pk")[:3])
        while chunk:
            last, chunk = chunk[-1].pk, list(Company.objects.filter(pk__gt=last).order_by("pk")[:3])
        companies = list(Company.objects.all())
        Company.objects.bulk_update(companies, ["name"], batch_size=3)
        Company.objects.in_bulk([company.pk for company in companies])

    with assert_no_n_plus_one():
        innocent()
    with assert_no_n_plus_one():
        Company.objects.all().delete()


def test_the_line_of_a_template_is_named() -> None:
    """Not the line that renders it."""
    engine = Engine(loaders=[("django.template.loaders.locmem.Loader", {"items.html": "<ul>\n{% for item in items %}\n{{ item.company.name }}\n{% endfor %}"})])  # fmt: skip

    def page() -> None:
        engine.get_template("items.html").render(Context({"items": Item.objects.all()}))

    with pytest.raises(NPlusOneFound, match=r"items\.html:3, for warehouse\.Item\.company"):
        assert_no_n_plus_one(page, factory=make)


def test_threads_and_coroutines() -> None:
    """What other threads ask for belongs to the call, and so does what asynchronous code asks for in its own."""

    def threaded() -> None:
        def ask() -> None:
            forward("default")
            connections.close_all()

        thread = threading.Thread(target=ask, name="the other one")
        thread.start()
        thread.join(30)

    async def each() -> None:
        async for item in Item.objects.all():
            await Company.objects.aget(pk=item.company_id)

    with pytest.raises(NPlusOneFound, match="in thread the other one"):
        assert_no_n_plus_one(threaded, factory=make)
    with pytest.raises(NPlusOneFound):
        assert_no_n_plus_one(lambda: asyncio.run(each()), factory=make)


def test_what_is_allowed_may_repeat_and_nothing_else() -> None:
    """By relation, place or statement; what excuses nothing any more is an error of its own."""

    def both() -> None:
        forward("default")
        reverse("default")

    assert_no_n_plus_one(lambda: forward("default"), factory=make, allow="warehouse.Item.company")
    with pytest.raises(NPlusOneFound) as raised:
        assert_no_n_plus_one(both, factory=make, allow=["warehouse.Item.company"])
    assert "warehouse.Item.company" not in str(raised.value)
    with pytest.raises(NothingShown, match=r"allow='shop\.Order' excuses nothing"):
        assert_no_n_plus_one(lambda: forward_repaired("default"), factory=make, allow=["shop.Order"])
    with pytest.raises(NothingShown, match="excuses nothing"), assert_no_n_plus_one(allow=["forward"]):
        forward_repaired("default")


@BOTH
def test_a_block_that_could_show_nothing_fails(using: str) -> None:
    """No statement, or too few rows for a loop over them to be one."""
    with pytest.raises(NothingShown, match="no statement was sent"), assert_no_n_plus_one():
        pass
    make(1, using)
    with pytest.raises(NothingShown, match="no statement returned more than 2 rows"), assert_no_n_plus_one():
        forward_repaired(using)
    with assert_no_n_plus_one(repeats=2):
        forward_repaired(using)


@BOTH
def test_a_proof_that_shows_nothing_fails(using: str) -> None:
    """A factory whose rows are not read, a page that was full before, a call that asks nothing."""
    with pytest.raises(NothingShown, match="its page was full before"):
        assert_no_n_plus_one(
            lambda: list(Company.objects.using(using)[:2]), factory=lambda number: make(number, using)
        )
    with pytest.raises(NothingShown, match=r"factory\(6\) made none"):
        assert_no_n_plus_one(lambda: forward_repaired(using), factory=lambda number: None)
    with pytest.raises(NothingShown, match="does the call do what it should"):
        assert_no_n_plus_one(lambda: None, factory=lambda number: make(number, using))


def test_few_repetitions_are_unproven() -> None:
    """Two runs may be two different things; they are told, and nothing fails."""
    make(3)
    first, second = Company.objects.values_list("pk", flat=True)[:2]
    with assert_no_n_plus_one() as seen:
        list(Company.objects.all())
        for pk in (first, second):
            Company.objects.get(pk=pk)
    assert [group.runs for group in seen.unproven] == [2]


def test_errors_are_the_tests_own() -> None:
    """Of the block, of the call and of the factory."""

    def fail(*_: object) -> None:
        raise LookupError("as it is")

    with pytest.raises(LookupError), assert_no_n_plus_one():
        fail()
    with pytest.raises(LookupError):
        assert_no_n_plus_one(fail, factory=make)
    with pytest.raises(LookupError):
        assert_no_n_plus_one(lambda: None, factory=fail)


def test_arguments_that_do_not_fit_are_refused() -> None:
    """At once, with what would."""
    with pytest.raises(ConfigurationError, match=r"with assert_no_n_plus_one\(\):"):
        assert_no_n_plus_one(lambda: None)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="a proof needs what runs and what makes rows"):
        assert_no_n_plus_one(factory=make)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="the second one must be larger"):
        assert_no_n_plus_one(lambda: None, factory=make, sizes=(3, 3))
    with pytest.raises(ConfigurationError, match="a repetition has two runs"):
        assert_no_n_plus_one(repeats=1)
