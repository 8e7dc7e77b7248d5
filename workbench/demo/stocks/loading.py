"""Puts a data set into the database: with COPY where the database is PostgreSQL, in batches elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models, transaction

from workbench.demo.stocks.dataset import BAR_COLUMNS, Dataset, Row
from workbench.demo.stocks.models import (
    Company,
    DailyBar,
    Exchange,
    Holding,
    LedgerEntry,
    Order,
    Portfolio,
    Watchlist,
)

#: In the order in which foreign keys allow them to be written.
MODELS: tuple[type[models.Model], ...] = (
    Exchange,
    Company,
    DailyBar,
    Portfolio,
    Order,
    Holding,
    LedgerEntry,
    Watchlist,
    Watchlist.companies.through,
)
BATCH = 2_000


def is_empty() -> bool:
    """Whether no company is there."""
    return not Company.objects.exists()


def erase() -> None:
    """Remove every row, the ledger's too: raw SQL, since the ledger's model rightly refuses."""
    with transaction.atomic(), connection.cursor() as cursor:
        for model in reversed(MODELS):
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(model._meta.db_table)}")


def load(dataset: Dataset, progress: Callable[[str], None] = lambda text: None) -> None:
    """Write the whole data set in one transaction: after a failure the database is as empty as before.

    Args:
        dataset: what to write.
        progress: called with the name of each table before it is written.
    """
    rows: tuple[tuple[type[models.Model], Iterable[Row]], ...] = (
        (Exchange, dataset.exchanges()),
        (Company, dataset.companies()),
        (Portfolio, dataset.portfolios()),
        (Order, dataset.orders()),
        (Holding, dataset.holdings()),
        (LedgerEntry, dataset.entries()),
        (Watchlist, dataset.watchlists()),
        (Watchlist.companies.through, dataset.watched()),
    )
    write_bars = copy_bars if connection.vendor == "postgresql" else insert_bars
    with transaction.atomic():
        for model, content in rows:
            progress(str(model._meta.verbose_name_plural))
            insert(model, content)
            if model is Company:
                progress(str(DailyBar._meta.verbose_name_plural))
                write_bars(dataset.bars())
        with connection.cursor() as cursor:
            # The rows brought their own keys; without this the next insert would try key 1 again.
            for statement in connection.ops.sequence_reset_sql(no_style(), MODELS):
                cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # or the first plans are made for empty tables


def insert(model: type[models.Model], rows: Iterable[Row]) -> None:
    """Write rows in batches, in any database."""
    remaining = iter(rows)
    while batch := [model(**row) for row in islice(remaining, BATCH)]:
        model._base_manager.bulk_create(batch, batch_size=BATCH)


def copy_bars(texts: Iterator[str]) -> None:
    """Write the bars through PostgreSQL's COPY."""
    table = connection.ops.quote_name(DailyBar._meta.db_table)
    columns = ", ".join(connection.ops.quote_name(name) for name in BAR_COLUMNS)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for text in texts:
            copy.write(text)


def insert_bars(texts: Iterator[str]) -> None:
    """Write the bars in batches, from the same text that COPY would read."""

    def rows() -> Iterator[dict[str, Any]]:
        for text in texts:
            for line in text.splitlines():
                values = (None if value == r"\N" else value for value in line.split("\t"))
                yield dict(zip(BAR_COLUMNS, values, strict=True))

    insert(DailyBar, rows())
