"""Queries that are slow for a known reason, and quick ones, on the demo's tables enlarged by `slow_tables`.

A planted one has no index to use, a pattern or a computed value in its condition, a large sort, a deep page, a join without
a key, or reads everything; nothing sleeps. A clean one has what it needs.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, Sum, Value
from django.db.models.functions import Length, Lower, Substr

from workbench.guest.slow_tables import BEFORE, COMPANIES, ORDERS

Body = Callable[[], object]
Bodies = Iterator[tuple[str, Body]]


@dataclass(frozen=True)
class Case:
    """One query.

    Attributes:
        name: unique.
        kind: why it is slow or quick.
        planted: it is slow.
        run: executes it.
    """

    name: str
    kind: str
    planted: bool
    run: Body


def planted() -> list[Case]:
    """The slow ones."""
    return _named(_planted(), planted=True)


def clean() -> list[Case]:
    """The quick ones."""
    return _named(_clean(), planted=False)


def models() -> Any:
    """The demo's models; a guest imports nothing of the workbench before Django is set up."""
    return importlib.import_module("workbench.demo.stocks.models")


def _named(bodies: Bodies, *, planted: bool) -> list[Case]:
    counts: dict[str, int] = {}
    found = []
    for kind, body in bodies:
        counts[kind] = counts.get(kind, 0) + 1
        found.append(Case(f"{kind} {counts[kind]}", kind, planted, body))
    return found


def _rows(sql: str, *params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


@contextmanager
def _undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _written(body: Body) -> None:
    with _undone():
        body()


# -- slow


def _planted() -> Bodies:
    for column in ("open", "high", "low", "close", "adjusted_close", "volume", "trades"):
        yield from _without_index(column)
    for column in ("volume", "trades", "close"):
        yield from _without_index_either(column)
    for word in ("zzz", "yyy", "xxx", "www"):
        yield from _patterns(word)
    yield from _patterns_alone()
    yield from _computed()
    for column in ("volume", "close", "-high", "-adjusted_close", "low", "-open"):
        yield from _sorted_by(column)
    yield from _sorts_alone()
    for depth in (300_000, 330_000, 360_000, 390_000):
        yield from _deep(depth)
    yield from _joined()
    yield from _everything()


def _without_index(column: str) -> Bodies:
    bars = models().DailyBar.objects
    yield "no-index", lambda: bars.filter(**{column: -1}).exists()
    yield "no-index", lambda: bars.filter(**{f"{column}__lt": 0}).count()
    yield "no-index", lambda: bars.filter(**{f"{column}__in": [-1, -2, -3]}).aggregate(Sum("volume"))


def _without_index_either(column: str) -> Bodies:
    bars = models().DailyBar.objects
    yield "no-index", lambda: bars.filter(Q(**{column: -1}) | Q(dividend=-2)).first()
    yield "no-index-raw", lambda: _rows(f"SELECT id, {column} FROM stocks_dailybar WHERE {column} = %s", -7)
    yield "no-index-raw", lambda: list(bars.raw(f"SELECT * FROM stocks_dailybar WHERE {column} < -low"))
    yield "no-index-write", lambda: _written(lambda: bars.filter(**{column: -1}).update(volume=1))


def _patterns(word: str) -> Bodies:
    companies = models().Company.objects
    either = Q(name__icontains=word) | Q(website__icontains=word) | Q(city__icontains=word)
    yield "pattern", lambda: companies.filter(description__icontains=word).count()
    yield "pattern", lambda: list(companies.filter(either).order_by("name").values("id")[:20])


def _patterns_alone() -> Bodies:
    companies, orders = models().Company.objects, models().Order.objects
    entries = models().LedgerEntry._base_manager
    yield "pattern", lambda: companies.filter(description__iregex="alpha 77777 .*omega").count()
    yield "pattern", lambda: companies.filter(description__iendswith="zzz").exists()
    yield "pattern", lambda: entries.filter(id__iregex="^q-.*z$").count()
    yield (
        "pattern",
        lambda: orders.filter(Q(reference__icontains="x9") | Q(reference__iendswith="x8")).count(),
    )
    sql = "SELECT symbol FROM stocks_company WHERE description ILIKE %s"
    yield "pattern-raw", lambda: _rows(sql, "%zzz%")


def _computed() -> Bodies:
    companies, orders, bars = models().Company.objects, models().Order.objects, models().DailyBar.objects
    yield "computed", lambda: companies.filter(description__iexact="nothing like it").exists()
    yield "computed", lambda: companies.annotate(n=Lower(Substr("description", 2, 90))).filter(n="x").exists()
    yield "computed", lambda: companies.annotate(n=Length(Lower("description"))).filter(n=1).count()
    yield "computed", lambda: orders.filter(placed_at__week_day=1, placed_at__hour=25).count()
    yield "computed", lambda: orders.filter(placed_at__date="1999-01-01").exists()
    yield "computed", lambda: orders.filter(placed_at__month=13).count()
    yield "computed", lambda: bars.annotate(n=F("volume") % Value(1_000_003)).filter(n=-1).exists()
    yield "computed", lambda: bars.filter(date__week_day=1, close=-1).exists()
    yield "computed", lambda: bars.filter(high__lt=F("low") - 1).count()
    sql = "SELECT id FROM stocks_order WHERE round(price * quantity) = %s"
    yield "computed-raw", lambda: _rows(sql, -1)


def _sorted_by(column: str) -> Bodies:
    bars = models().DailyBar.objects
    yield "sort", lambda: list(bars.order_by(column, "trades")[:10])
    yield "sort", lambda: bars.order_by(column, "date").values_list("id", "volume").first()


def _sorts_alone() -> Bodies:
    yield "sort", lambda: list(models().LedgerEntry._base_manager.order_by("-cash_delta", "written_at")[:10])
    yield "sort", lambda: list(models().Order.objects.order_by("-price", "quantity")[:10])
    yield "sort", lambda: models().Order.objects.order_by("placed_at", "price").last()
    sql = "SELECT id FROM stocks_dailybar ORDER BY high - low DESC LIMIT 3"
    yield "sort-raw", lambda: _rows(sql)


def _deep(depth: int) -> Bodies:
    bars = models().DailyBar.objects
    yield "offset", lambda: list(bars.order_by("pk")[depth : depth + 20])
    yield (
        "offset",
        lambda: list(bars.order_by("company_id", "date")[depth : depth + 10].values("id", "close")),
    )


def _joined() -> Bodies:
    companies, orders, bars = models().Company.objects, models().Order.objects, models().DailyBar.objects
    entries = models().LedgerEntry._base_manager
    yield "join", lambda: bars.filter(company__employees__gt=0, volume__gt=F("trades")).count()
    yield "join", lambda: list(bars.values("company__sector").annotate(total=Sum("volume")))
    yield "join", lambda: list(orders.values("company__city").annotate(n=Count("id")).order_by("-n")[:5])
    yield "join", lambda: entries.filter(order__quantity=F("share_delta") + 1).count()
    yield (
        "join",
        lambda: companies.filter(~Exists(orders.filter(company=OuterRef("pk"), quantity=-1))).count(),
    )
    yield (
        "join-raw",
        lambda: _rows(
            "SELECT count(*) FROM stocks_order o JOIN stocks_company c ON c.market_cap = o.price * 3"
        ),
    )
    yield (
        "join-raw",
        lambda: _rows("SELECT count(*) FROM stocks_exchange a, stocks_dailybar b WHERE b.volume > a.id"),
    )
    yield (
        "join-raw",
        lambda: _rows(
            "SELECT count(*) FROM stocks_company a JOIN stocks_company b ON a.employees = b.employees AND a.id < b.id"
        ),
    )


def _everything() -> Bodies:
    bars, entries = models().DailyBar.objects, models().LedgerEntry._base_manager
    yield "all-rows", lambda: bars.aggregate(Max("close"), Min("low"), Sum("volume"))
    yield "all-rows", lambda: list(bars.values("trades").annotate(n=Count("id")).order_by("-n")[:3])
    yield "all-rows", lambda: bars.aggregate(n=Count("volume", distinct=True))
    yield "all-rows", lambda: list(entries.values("portfolio").annotate(Sum("cash_delta")))
    yield "all-rows", lambda: len(bars.values_list("id", "close", "volume")[:60_000])
    yield "all-rows", lambda: len(models().Order.objects.all()[:40_000])


# -- quick


def _clean() -> Bodies:
    chance = random.Random(7)
    for _ in range(7):
        some = [chance.randrange(1, ORDERS) for _ in range(10)]
        yield from _by_key(some[0])
        yield from _by_unique(some[1])
        yield from _pages(some[2])
        yield from _by_foreign_key(some[3], 1 + some[3] % 90)
    for _ in range(3):
        some = [chance.randrange(1, ORDERS) for _ in range(10)]
        yield from _short_lists([BEFORE + one for one in some])
        yield from _joined_by_key(some[0])
        yield from _small_tables()
        yield from _written_by_key(some[1])


def _by_key(number: int) -> Bodies:
    yield "key", lambda: models().Order.objects.get(pk=BEFORE + number)
    yield "key", lambda: models().DailyBar.objects.filter(pk=number).first()
    yield (
        "key",
        lambda: models().Company.objects.filter(pk=BEFORE + 1 + number % COMPANIES).values("name").first(),
    )
    yield "key", lambda: _rows("SELECT price FROM stocks_order WHERE id = %s", BEFORE + number)


def _by_unique(number: int) -> Bodies:
    orders = models().Order.objects
    yield "unique", lambda: models().Company.objects.get(symbol=f"Q{1 + number % COMPANIES}")
    yield "unique", lambda: orders.filter(reference=f"q-{number}").exists()
    yield "unique", lambda: orders.filter(reference__startswith=f"q-{number}").count()
    yield (
        "unique",
        lambda: models().LedgerEntry._base_manager.filter(pk=f"q-{number}").values("cash_delta").first(),
    )


def _pages(number: int) -> Bodies:
    orders, bars = models().Order.objects, models().DailyBar.objects
    yield "small-page", lambda: list(orders.order_by("pk")[number % 100 : number % 100 + 20])
    yield "small-page", lambda: list(orders.filter(pk__gt=BEFORE + number).order_by("pk")[:20])
    yield "small-page", lambda: list(bars.filter(pk__gt=number).order_by("pk").values("id", "close")[:50])


def _by_foreign_key(number: int, company: int) -> Bodies:
    at = BEFORE + 1 + number % COMPANIES
    yield "foreign-key", lambda: list(models().Order.objects.filter(company_id=at))
    yield "foreign-key", lambda: models().LedgerEntry._base_manager.filter(order_id=BEFORE + number).exists()
    yield (
        "foreign-key",
        lambda: list(models().DailyBar.objects.filter(company_id=company).order_by("-date")[:10]),
    )


def _short_lists(some: list[int]) -> Bodies:
    yield "short-list", lambda: list(models().Order.objects.filter(pk__in=some))
    yield "short-list", lambda: models().DailyBar.objects.in_bulk(some)
    yield "short-list", lambda: _rows("SELECT id FROM stocks_dailybar WHERE id = ANY(%s)", some)


def _joined_by_key(number: int) -> Bodies:
    orders = models().Order.objects.filter(pk=BEFORE + number)
    yield "join-by-key", lambda: list(orders.select_related("company", "portfolio"))
    yield (
        "join-by-key",
        lambda: models().LedgerEntry._base_manager.filter(order__reference=f"q-{number}").count(),
    )
    yield "join-by-key", lambda: list(orders.values("quantity", "company__exchange__code"))


def _small_tables() -> Bodies:
    yield "small-table", lambda: list(models().Exchange.objects.order_by("name"))
    yield "small-table", lambda: models().Watchlist.objects.filter(name__icontains="zz").count()
    yield "small-table", lambda: list(models().Portfolio.objects.order_by("-cash")[:3])


def _written_by_key(number: int) -> Bodies:
    orders = models().Order.objects.filter(pk=BEFORE + number)
    yield "write-by-key", lambda: _written(lambda: orders.update(quantity=1))
    yield "write-by-key", lambda: _written(lambda: models().Watchlist.objects.create(name="x", owner="y"))
    yield "write-by-key", lambda: _written(lambda: list(orders.select_for_update()))
