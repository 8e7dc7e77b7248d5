"""The demo's own facts, for drills that use its models."""

from __future__ import annotations

import importlib
import time
from typing import Any


def universe() -> dict[str, list[Any]]:
    """Symbols and portfolio numbers that requests may name."""
    models = importlib.import_module("workbench.demo.stocks.models")
    return {
        "symbols": list(models.Company.objects.order_by("symbol").values_list("symbol", flat=True)),
        "portfolios": list(models.Portfolio.objects.order_by("pk").values_list("pk", flat=True)),
    }


def place(order: dict[str, Any]) -> dict[str, Any]:
    """Execute one order as the demo's view does.

    Returns:
        outcome "ok", "indeterminate" (the COMMIT's outcome is not known) or "failed", the error's type, and the seconds it took.
    """
    from stalwart.exceptions import CommitOutcomeUnknown

    orders = importlib.import_module("workbench.demo.stocks.orders")
    intent = orders.OrderIntent.from_json(order)
    before = time.perf_counter()
    outcome, error = "ok", None
    try:
        orders.place_order(intent)
    except CommitOutcomeUnknown as unknown:
        outcome, error = "indeterminate", type(unknown).__name__
    except Exception as failure:  # noqa: BLE001 whatever leaves the operation is its outcome
        outcome, error = "failed", type(failure).__name__
    return {"outcome": outcome, "error": error, "seconds": time.perf_counter() - before}


def backend() -> int:
    """The back end that serves this process's connection, which is opened when there is none."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
