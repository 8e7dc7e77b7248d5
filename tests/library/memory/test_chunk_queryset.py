"""`chunk_queryset`: all rows once, in order, whatever the loop does to them; and a clear no where that cannot be had."""

from __future__ import annotations

import datetime as dt
import json
import random
import tracemalloc
import uuid
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections, transaction
from django.db.models import Count, F, Value, Window
from django.db.models.functions import Lower, Rank
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from warehouse.models import Company, Item, Shelf, Special, Token, Word

from stalwart import QuerysetMemoryOptimizer
from stalwart.exceptions import ConfigurationError
from stalwart.memory.querysets import ChunkedRows

pytestmark = pytest.mark.usefixtures("django_db")
chunked = QuerysetMemoryOptimizer.chunk_queryset


@pytest.fixture(params=["default", "lite"])
def items(request: pytest.FixtureRequest, django_db: None) -> Iterator[str]:
    """The alias of a database with 3 companies and 100 items of few different prices."""
    using = request.param
    companies = [Company.objects.using(using).create(name=f"c{n}") for n in (2, 0, 1)]
    Item.objects.using(using).bulk_create(
        Item(company=companies[n % 3], price=n * 7 % 5, status="new" if n % 2 else "old") for n in range(100)
    )
    return using


@pytest.mark.parametrize("chunk_size", [1, 7, 50, 100, 101])
def test_all_rows_once_in_the_order_of_the_key(items, chunk_size) -> None:
    """Without an order of its own, a queryset comes by primary key, whatever the size of the chunks."""
    expected = list(Item.objects.using(items).order_by("pk"))
    assert list(chunked(Item.objects.using(items), chunk_size)) == expected
    assert list(chunked(Item.objects.using(items).reverse(), chunk_size)) == expected[::-1]


@pytest.mark.parametrize(
    "order",
    [("price",), ("-price",), ("price", "-id"), ("-price", "status"), ("company__name", "-price"), ("company",),
     ("company_id",), ("-pk",), (F("price").desc(),), (F("price"),)],
    ids=str,
)  # fmt: skip
def test_own_order_is_kept(items, order) -> None:
    """Ties in the order are broken by the key, so nothing is lost or doubled at the seams."""
    queryset = Item.objects.using(items).order_by(*order)
    rows = list(chunked(queryset, 7))
    assert sorted(row.pk for row in rows) == sorted(queryset.values_list("pk", flat=True))
    sort_keys = [(row.price, row.status, row.company.name, row.company_id) for row in rows]
    assert sort_keys == [
        (row.price, row.status, row.company.name, row.company_id) for row in stable(queryset, order)
    ]
    backwards = list(chunked(queryset.reverse(), 7))
    assert backwards == rows[::-1]


def stable(queryset, order) -> list[Item]:
    """The rows as Django sorts them, ties by the key in the direction of the last column."""
    last = order[-1]
    down = last.descending if hasattr(last, "descending") else isinstance(last, str) and last.startswith("-")
    return list(queryset.order_by(*order, "-pk" if down else "pk"))


@pytest.mark.parametrize("chunk_size", [7, 1000])
@pytest.mark.parametrize("order", [(), ("price",), ("-company__name",)], ids=str)
@pytest.mark.parametrize("change", ["filtered column", "delete", "queryset update"])
def test_loop_may_take_its_rows_out_of_the_filter(items, change, order, chunk_size) -> None:
    """Each of the 50 rows is handed out once though the loop moves it out of the filter, or deletes it."""
    seen = []
    for row in chunked(Item.objects.using(items).filter(status="new").order_by(*order), chunk_size):
        seen.append(row.pk)
        if change == "delete":
            row.delete()
        elif change == "filtered column":
            row.status = "done"
            row.save()
        else:
            Item.objects.using(items).filter(pk=row.pk).update(status="done")
    assert len(seen) == len(set(seen)) == 50
    assert not Item.objects.using(items).filter(status="new").exists()


def test_slices_lose_rows_where_this_does_not(items) -> None:
    """The usual OFFSET loop over a filter that it changes skips half the rows: the fault that is avoided is real."""
    queryset, seen = Item.objects.using(items).filter(status="new").order_by("pk"), 0
    for start in range(0, 50, 10):
        for row in queryset[start : start + 10]:
            seen += 1
            Item.objects.using(items).filter(pk=row.pk).update(status="done")
    assert seen < 50


def test_loop_that_adds_rows_ends(items) -> None:
    """Rows that the loop adds behind the last key are not handed out, so it comes to an end."""
    count = 0
    for row in chunked(Item.objects.using(items), 10):
        count += 1
        Item.objects.using(items).create(company_id=row.company_id)
    assert count == 100


def test_only_defer_and_related_objects(items) -> None:
    """only, defer, select_related, prefetch_related and annotate work, and leave nothing of ours on the instances."""
    base = Item.objects.using(items).order_by("price")
    for queryset in (
        base.only("status"),
        base.defer("price"),
        base.select_related("company"),
        base.annotate(one=Value(1)),
    ):
        rows = list(chunked(queryset, 30))
        assert rows == list(queryset.order_by("price", "pk"))
        assert rows[0].get_deferred_fields() == queryset[0].get_deferred_fields()
        assert not [name for row in rows for name in row.__dict__ if name.startswith("stalwart")]
    with CaptureQueriesContext(connections[items]) as queries:
        rows = list(chunked(Company.objects.using(items).prefetch_related("items"), 2))
        assert [len(row.items.all()) for row in rows] == [34, 33, 33]
    assert len(queries) == 1 + 2 * 2


def test_values_and_values_list(items) -> None:
    """values and values_list, flat and named, give what they give without us, also when the key is not among them."""
    base = Item.objects.using(items)
    in_order = base.order_by("-price", "-pk")
    assert list(chunked(base.order_by("-price").values("status"), 9)) == list(in_order.values("status"))
    assert list(chunked(base.order_by("-price").values("id", "company__name"), 9)) == list(
        in_order.values("id", "company__name")
    )
    assert list(chunked(base.values(), 9)) == list(base.order_by("pk").values())
    assert list(chunked(base.values_list("status", "price"), 9)) == list(
        base.order_by("pk").values_list("status", "price")
    )
    assert list(chunked(base.values_list(), 9)) == list(base.order_by("pk").values_list())
    assert list(chunked(base.order_by("-price").values_list("status", flat=True), 9)) == list(
        in_order.values_list("status", flat=True)
    )
    for fields in (("status", "price"), ()):
        named = list(chunked(base.values_list(*fields, named=True), 9))
        expected = list(base.order_by("pk").values_list(*fields, named=True))
        assert named == expected
        assert named[0]._fields == expected[0]._fields
    counted = base.annotate(n=Count("company__items")).values("id", "n")
    assert list(chunked(counted, 9)) == list(counted.order_by("pk"))


def test_aggregates_per_row(items) -> None:
    """An annotation that counts related rows is right in every chunk."""
    rows = list(chunked(Company.objects.using(items).annotate(n=Count("items")), 2))
    assert sorted(row.n for row in rows) == [33, 33, 34]


def test_filter_over_a_to_many_relation_gives_each_row_once(items) -> None:
    """A join that makes several of each row does not hand it out several times, with and without distinct()."""
    queryset = Company.objects.using(items).filter(items__price__gte=1)
    for chunk_size in (1, 5, 1000):
        assert len(list(chunked(queryset, chunk_size))) == 3
        assert len(list(chunked(queryset.distinct(), chunk_size))) == 3


def test_uuid_and_text_keys(django_db) -> None:
    """Keys need not be numbers."""
    for using in ("default", "lite"):
        Token.objects.using(using).bulk_create(
            Token(id=uuid.UUID(int=random.Random(n).getrandbits(128)), number=n) for n in range(40)
        )
        assert list(chunked(Token.objects.using(using), 7)) == list(Token.objects.using(using).order_by("pk"))
        Word.objects.using(using).bulk_create(
            Word(text=text) for text in ["b", "a", "B", "é", "", "zz", "a b", "a-b", "A'"]
        )
        assert list(chunked(Word.objects.using(using), 2)) == list(Word.objects.using(using).order_by("pk"))


def test_model_over_two_tables(items) -> None:
    """A child model is read by its own key, and can be sorted by columns of its parent."""
    company = Company.objects.using(items).first()
    for n in range(20):
        Special.objects.using(items).create(company=company, discount=n % 3, price=n % 4)
    for order in ((), ("discount",), ("-price", "discount")):
        queryset = Special.objects.using(items).order_by(*order)
        rows = list(chunked(queryset, 3))
        assert len({row.pk for row in rows}) == 20
        assert [(r.price, r.discount) for r in rows] == [
            (r.price, r.discount) for r in stable(queryset, order or ("pk",))
        ]


def test_default_order_of_the_model_counts(django_db) -> None:
    """Meta.ordering is the queryset's order, on as off; an explicit one replaces it."""
    Shelf.objects.bulk_create(Shelf(label=label) for label in "bacab")
    assert [row.label for row in chunked(Shelf.objects.all(), 2)] == list("cbbaa")
    assert [row.label for row in chunked(Shelf.objects.order_by("pk"), 2)] == list("bacab")


@pytest.mark.parametrize("order", [(), ("-price", "company__name")], ids=str)
def test_resume(items, order) -> None:
    """An iterator that was left in the middle is taken up with its last_key, and nothing is missing or doubled."""
    queryset = Item.objects.using(items).order_by(*order)
    first = chunked(queryset, 7)
    assert isinstance(first, ChunkedRows)
    head = [next(first) for _ in range(23)]
    kept = first.last_key
    assert (
        (kept == head[-1].pk) if not order else (kept == (head[-1].price, head[-1].company.name, head[-1].pk))
    )
    tail = list(chunked(queryset, 7, resume_after=json.loads(json.dumps(kept, default=str))))
    assert head + tail == list(chunked(queryset, 1000))
    assert list(chunked(queryset, 7, resume_after=kept)) == tail


def test_last_key_survives_a_delete(items) -> None:
    """The key to resume with is the row's as it was read, though the loop deleted the row."""
    rows = chunked(Item.objects.using(items), 7)
    row = next(rows)
    key = row.pk
    row.delete()
    assert rows.last_key == key


def test_empty_and_none(items) -> None:
    """No rows, no error."""
    assert list(chunked(Item.objects.using(items).filter(status="x"))) == []
    assert list(chunked(Item.objects.none())) == []


def test_manager_stands_for_all_rows(django_db) -> None:
    """A manager, also a related one, is taken as all of its rows."""
    company = Company.objects.create(name="c")
    Item.objects.create(company=company)
    assert len(list(chunked(Item.objects))) == len(list(chunked(company.items))) == 1


def test_session_lost_between_chunks_is_replaced(postgres, django_db) -> None:
    """A session that ends between two chunks costs nothing; inside atomic, the error is the block's."""
    company = Company.objects.create(name="c")
    Item.objects.bulk_create(Item(company=company) for _ in range(30))
    rows = chunked(Item.objects.all(), 10)
    seen = [next(rows) for _ in range(10)]
    postgres.terminate_backends("library")
    seen += rows
    assert len({row.pk for row in seen}) == 30

    @transaction.atomic
    def block() -> None:
        rows = chunked(Item.objects.all(), 10)
        for _ in range(10):
            next(rows)
        postgres.terminate_backends("library")
        list(rows)

    with pytest.raises(OperationalError):
        block()


@pytest.mark.parametrize(
    ("queryset", "match"),
    [
        (lambda: Item.objects.all()[:10], "sliced"),
        (lambda: Item.objects.filter(price=1).union(Item.objects.filter(price=2)), "union"),
        (lambda: Item.objects.order_by("price").distinct("price"), "distinct"),
        (lambda: Item.objects.values("status").distinct(), "distinct"),
        (lambda: Item.objects.values("status").annotate(n=Count("id")), "grouping"),
        (lambda: Item.objects.dates("sold_at", "year"), "distinct"),
        (lambda: Company.objects.values("items__price"), "to-many"),
        (lambda: Company.objects.annotate(price=F("items__price")), "to-many"),
        (lambda: Item.objects.annotate(rank=Window(Rank(), order_by="price")), "window"),
        (lambda: Item.objects.order_by("sold_at"), "NULL"),
        (lambda: Item.objects.order_by("company__country"), "NULL"),
        (lambda: Item.objects.order_by("?"), "plain columns"),
        (lambda: Item.objects.order_by(Lower("status")), "plain columns"),
        (lambda: Item.objects.order_by(F("price").asc(nulls_last=True)), "plain columns"),
        (lambda: Item.objects.annotate(low=Lower("status")).order_by("low"), "no column"),
        (lambda: Company.objects.order_by("items__price"), "several"),
        (lambda: Item.objects.extra(order_by=["price"]), "raw SQL"),
    ],
)
def test_refused_with_a_clear_error(django_db, queryset, match) -> None:
    """What cannot be read by key is refused when it is asked for, not in the middle."""
    with pytest.raises(ConfigurationError, match=match):
        chunked(queryset())


def test_arguments_that_make_no_sense(django_db) -> None:
    """Sizes below one, keys of another length and things that are no querysets are refused at once."""
    for size in (0, -1, True, 2.5):
        with pytest.raises(ConfigurationError, match="chunk_size"):
            chunked(Item.objects.all(), size)
    with pytest.raises(ConfigurationError, match="price, id"):
        chunked(Item.objects.order_by("price"), resume_after=(1,))
    with pytest.raises(TypeError, match="queryset"):
        chunked([1, 2])


@pytest.mark.parametrize("setting", [{"ENABLED": False}, {"MEMORY": {"ENABLED": False}}])
def test_off_is_iter(items, setting) -> None:
    """Switched off it is iter(queryset): one query for all, and what would be refused is not."""
    with override_settings(STALWART=setting):
        assert type(chunked(Item.objects.using(items))) is type(iter([]))
        assert len(list(chunked(Item.objects.using(items).order_by("sold_at")[:10]))) == 10


def test_memory_stays_flat(django_db) -> None:
    """Ten times the rows take no more memory at the peak."""
    company = Company.objects.create(name="c")
    Item.objects.bulk_create(Item(company=company) for _ in range(4000))

    def peak(rows: int) -> int:
        tracemalloc.start()
        for _ in chunked(Item.objects.filter(pk__lte=first + rows - 1), 100):
            pass
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    first = Item.objects.order_by("pk").first().pk
    peak(300)
    assert peak(4000) < 1.5 * peak(400)


def test_times_of_day_and_decimals_as_keys(django_db) -> None:
    """Columns with microseconds and decimals compare exactly at the seams."""
    company = Company.objects.create(name="c")
    now = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    Item.objects.bulk_create(Item(company=company, price=n / 4, sold_at=now) for n in range(20))
    assert [float(row.price) for row in chunked(Item.objects.order_by("-price"), 3)] == [
        n / 4 for n in reversed(range(20))
    ]
