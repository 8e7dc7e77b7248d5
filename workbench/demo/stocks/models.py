"""The tables. Money and prices are decimals throughout; floats appear only in what the JSON API computes from them."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q


def price(**options: Any) -> models.DecimalField[Any, Any]:
    """A column for a price or an amount: four decimals, as exchanges quote."""
    return models.DecimalField(max_digits=18, decimal_places=4, **options)


def optional_text(length: int) -> models.CharField[Any, Any]:
    """A column that is NULL where nobody knows: data vendors tell "unknown" from "empty", and so the JSON has many nulls."""
    return models.CharField(max_length=length, null=True)


class Exchange(models.Model):
    """A market place."""

    code = models.CharField(max_length=8, unique=True)
    name = models.CharField(max_length=80)
    country = models.CharField(max_length=2)
    city = optional_text(60)
    timezone = models.CharField(max_length=40)
    currency = models.CharField(max_length=3)
    website = optional_text(120)

    def __str__(self) -> str:
        return self.code


class Company(models.Model):
    """A listed company as a data vendor describes it: a few known facts and many fields that are seldom filled."""

    symbol = models.CharField(max_length=12, unique=True)
    name = models.CharField(max_length=120)
    exchange = models.ForeignKey(Exchange, on_delete=models.PROTECT, related_name="companies")
    currency = models.CharField(max_length=3)
    sector = optional_text(60)
    industry = optional_text(80)
    sub_industry = optional_text(80)
    isin = optional_text(12)
    cusip = optional_text(9)
    lei = optional_text(20)
    figi = optional_text(12)
    ceo = optional_text(80)
    employees = models.PositiveIntegerField(null=True)
    founded = models.PositiveSmallIntegerField(null=True)
    ipo_date = models.DateField(null=True)
    city = optional_text(60)
    state = optional_text(60)
    country = models.CharField(max_length=2)
    phone = optional_text(30)
    website = optional_text(120)
    logo_url = optional_text(200)
    description = models.TextField(null=True)
    fiscal_year_end = optional_text(5)
    market_cap = models.DecimalField(max_digits=20, decimal_places=2, null=True)
    shares_outstanding = models.BigIntegerField(null=True)
    earnings_per_share = price(null=True)
    dividend_per_share = price(null=True)
    ex_dividend_date = models.DateField(null=True)
    next_earnings_date = models.DateField(null=True)
    parent_company = optional_text(120)
    credit_rating = optional_text(8)
    esg_rating = optional_text(8)
    analyst_note = models.TextField(null=True)
    delisted_on = models.DateField(null=True)
    delisting_reason = optional_text(120)

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.symbol


class DailyBar(models.Model):
    """One company's trading day."""

    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="bars")
    date = models.DateField()
    open = price()
    high = price()
    low = price()
    close = price()
    adjusted_close = price()
    volume = models.BigIntegerField()
    trades = models.IntegerField(null=True)
    dividend = price(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["company", "date"], name="one_bar_per_day")]

    def __str__(self) -> str:
        return f"{self.company_id} {self.date}"


class Portfolio(models.Model):
    """Somebody's cash and shares. ``opening_cash`` never changes, so that the sums can be checked against the ledger."""

    name = models.CharField(max_length=80)
    owner = models.CharField(max_length=80)
    currency = models.CharField(max_length=3)
    opening_cash = price()
    cash = price()
    benchmark = optional_text(12)
    note = models.TextField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(cash__gte=0), name="cash_not_negative")]

    def __str__(self) -> str:
        return self.name


class Holding(models.Model):
    """How many shares of one company a portfolio has."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="holdings")
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="holdings")
    quantity = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["portfolio", "company"], name="one_holding_per_company"),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="quantity_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio_id}: {self.quantity} of {self.company_id}"


class Side(models.TextChoices):
    """Which way an order goes."""

    BUY = "buy", "buy"
    SELL = "sell", "sell"


class Order(models.Model):
    """An executed order. ``reference`` is the id that the client chose; the database holds it unique."""

    reference = models.CharField(max_length=64, unique=True)
    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="orders")
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="orders")
    side = models.CharField(max_length=4, choices=Side.choices)
    quantity = models.BigIntegerField()
    price = price()
    placed_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(quantity__gt=0), name="order_quantity_positive")]

    def __str__(self) -> str:
        return f"{self.reference}: {self.side} {self.quantity} of {self.company_id}"


class AppendOnlyError(TypeError):
    """Somebody tried to change or remove what is a record of the past."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the ledger is append-only, {what} is refused; write an entry that reverses the old one"
        )


class LedgerQuerySet(models.QuerySet["LedgerEntry"]):
    """Refuses the bulk ways round ``save`` and ``delete``."""

    def update(self, **values: Any) -> NoReturn:
        """Always refused."""
        raise AppendOnlyError("an update")

    def delete(self) -> NoReturn:
        """Always refused."""
        raise AppendOnlyError("a deletion")


class LedgerEntry(models.Model):
    """One movement of cash and shares. The primary key is the client's id.

    Append-only, because the ledger is what everything else is checked against: were it possible to change an entry, a
    doubled or lost order could be made to look right afterwards.
    """

    id = models.CharField(max_length=64, primary_key=True)
    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="entry")
    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="entries")
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="entries")
    cash_delta = price()
    share_delta = models.BigIntegerField()
    cash_after = price()
    written_at = models.DateTimeField()

    objects = LedgerQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            models.CheckConstraint(
                condition=Q(cash_delta__lt=0, share_delta__gt=0) | Q(cash_delta__gt=0, share_delta__lt=0),
                name="cash_against_shares",
            )
        ]

    def __str__(self) -> str:
        return f"{self.id}: {self.cash_delta}"

    def save(self, *arguments: Any, **options: Any) -> None:
        """Insert, and only that.

        Raises:
            AppendOnlyError: when the entry was read from the database or saved before.
            IntegrityError: when the id is taken. Django's plain ``save`` of a row with a primary key tries UPDATE first,
                which would silently write over the older entry; ``force_insert`` leaves it to the constraint.
        """
        if not self._state.adding:
            raise AppendOnlyError("saving an entry again")
        options["force_insert"] = True
        super().save(*arguments, **options)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> NoReturn:
        """Always refused."""
        raise AppendOnlyError("a deletion")


class Watchlist(models.Model):
    """Companies that somebody keeps an eye on."""

    name = models.CharField(max_length=80)
    owner = models.CharField(max_length=80)
    note = models.TextField(null=True)
    companies = models.ManyToManyField(Company, related_name="watchlists")

    def __str__(self) -> str:
        return self.name


__all__ = [
    "AppendOnlyError",
    "Company",
    "DailyBar",
    "Exchange",
    "Holding",
    "LedgerEntry",
    "Order",
    "Portfolio",
    "Side",
    "Watchlist",
]
