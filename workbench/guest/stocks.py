"""The demo's own facts, for drills that use its models."""

from __future__ import annotations

import importlib
import time
from typing import Any


def multiply(times: int) -> None:
    """Repeat every price bar under earlier dates, so that there are `times` as many."""
    from django.db import connection

    columns = "open, high, low, close, adjusted_close, volume, trades, dividend"
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(date) - min(date) + 1 FROM stocks_dailybar")
        (days,) = cursor.fetchone()
        cursor.execute(
            f"INSERT INTO stocks_dailybar (company_id, date, {columns}) SELECT company_id, date - n * %s, {columns} "
            "FROM stocks_dailybar, generate_series(1, %s) n",
            [days, times - 1],
        )
        cursor.execute("VACUUM ANALYZE stocks_dailybar")


def place(order: dict[str, Any]) -> dict[str, Any]:
    """Execute one order as a request of the demo does, with what Django does to connections before and after one.

    Returns:
        outcome "ok", "indeterminate" (the COMMIT's outcome is not known) or "failed", the error's type, and the seconds it took.
    """
    from django.db import close_old_connections

    from stalwart.exceptions import CommitOutcomeUnknown

    orders = importlib.import_module("workbench.demo.stocks.orders")
    intent = orders.OrderIntent.from_json(order)
    close_old_connections()
    before = time.perf_counter()
    outcome, error = "ok", None
    try:
        orders.place_order(intent)
    except CommitOutcomeUnknown as unknown:
        outcome, error = "indeterminate", type(unknown).__name__
    except Exception as failure:  # noqa: BLE001 whatever leaves the operation is its outcome
        outcome, error = "failed", type(failure).__name__
    seconds = time.perf_counter() - before
    close_old_connections()
    return {"outcome": outcome, "error": error, "seconds": seconds}
