"""Which of the slow queries does the library report, which quick ones, and what do its suggestions gain? In the project's process."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from workbench.guest import remedies, slow_cases
from workbench.guest.slow_cases import Case


def run(seed: int, number: int, of: int) -> list[dict[str, Any]]:
    """Run all clean cases and a share of the planted ones in an order drawn from a seed; ask after each what was found.

    Args:
        seed: of the order.
        number, of: every `of`-th planted case, from this one on.

    Returns:
        Of each case its name, kind, whether it was planted, the seconds of its slowest statement as measured here, and
        whether the library reports it: a planted one with the right place, a clean one in any way.
    """
    chosen = [*slow_cases.planted()[number % of :: of], *slow_cases.clean()]
    random.Random(seed).shuffle(chosen)
    _warm_up()
    return [_one(case) for case in chosen]


def tried(number: int, of: int) -> list[dict[str, Any]]:
    """Try what the library suggests for every `of`-th planted case, from one on.

    Returns:
        As `remedies.tried`, with the name of the case.
    """
    _warm_up()
    found = []
    for case in slow_cases.planted()[number % of :: of]:
        took: dict[float, tuple[str, Any]] = {}
        with connection.execute_wrapper(_keep(took)):
            case.run()
        sql, params = took[max(took)]
        found += [{"case": case.name, **one} for one in remedies.tried(sql, params)]
    return found


def _keep(took: dict[float, tuple[str, Any]]) -> Callable[..., Any]:
    def measure(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        before = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took[time.perf_counter() - before] = sql, params

    return measure


def _one(case: Case) -> dict[str, Any]:
    from stalwart.database import forget_slow_queries, slow_queries
    from stalwart.database.fingerprint import fingerprint

    forget_slow_queries()
    took: dict[str, float] = {}
    with connection.execute_wrapper(_clock(took)):
        case.run()
    mine = {fingerprint(sql).hash for sql in took}
    reports = [record for record in slow_queries() if record.fingerprint in mine]
    placed = [one for one in reports if (one.call_site or "").startswith(f"{slow_cases.__name__}.")]
    return {
        "name": case.name,
        "kind": case.kind,
        "planted": case.planted,
        "seconds": max(took.values(), default=0.0),
        "reported": bool(placed if case.planted else reports),
    }


def _clock(took: dict[str, float]) -> Callable[..., Any]:
    def measure(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        before = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took[sql] = max(took.get(sql, 0.0), time.perf_counter() - before)

    return measure


def _warm_up() -> None:
    """Open the connection, and have the server read what it keeps of each table: neither belongs to any case."""
    for name in (
        "Company",
        "DailyBar",
        "Order",
        "LedgerEntry",
        "Exchange",
        "Watchlist",
        "Portfolio",
        "Holding",
    ):
        manager = getattr(slow_cases.models(), name)._base_manager
        manager.filter(pk__in=manager.order_by("pk").values("pk")[:1]).exists()
    # Whatever was loaded so far need not be looked through again: that would be a pause of 10 ms in somebody's query.
    gc.collect()
    gc.freeze()
