"""The demo's traffic: a seeded, open schedule of reads and orders, and what became of it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.records import Outcomes
from workbench.servers.postgres import PostgresServer
from workbench.traffic import Reply, Request, arrivals

RATE = 40.0
ORDER_SHARE = 0.25
TIMEOUT = 5.0
LATE = 0.05  #: seconds; a generator later than this (99th percentile) did not offer the planned load
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Universe:
    """What requests may name."""

    symbols: Sequence[str]
    portfolios: Sequence[int]


def universe_of(server: PostgresServer, dbname: str) -> Universe:
    """What requests to the demo on this database may name."""
    with server.connect(dbname) as connection:
        symbols = connection.execute("SELECT symbol FROM stocks_company ORDER BY symbol").fetchall()
        portfolios = connection.execute("SELECT id FROM stocks_portfolio ORDER BY id").fetchall()
    return Universe([row[0] for row in symbols], [row[0] for row in portfolios])


def outcomes_of(replies: Sequence[Reply]) -> Outcomes:
    """How many requests came to which outcome."""
    counts = {
        name: sum(reply.outcome == name for reply in replies)
        for name in ("ok", "failed", "indeterminate", "dropped")
    }
    return Outcomes(**counts)


def mixed(universe: Universe, duration: float, seed: int) -> list[Request]:
    """Requests for `duration` seconds: a quarter orders, the rest list, detail, history and portfolio pages.

    Both arms of a block get the same requests at the same times, down to the orders' ids.
    """
    chance = random.Random(seed)
    return [
        _one(universe, chance, f"{seed:x}-{number}", at)
        for number, at in enumerate(arrivals(RATE, duration, seed))
    ]


def _one(universe: Universe, chance: random.Random, name: str, at: float) -> Request:
    symbol, portfolio = chance.choice(universe.symbols), chance.choice(universe.portfolios)
    if chance.random() < ORDER_SHARE:
        # Small purchases only: a portfolio never runs out of cash or shares, whose refusal (409) would count as a failure.
        order = {
            "id": name,
            "portfolio": portfolio,
            "symbol": symbol,
            "side": "buy",
            "quantity": chance.randint(1, 5),
        }
        return Request(name, at, "POST", "/api/orders/", "order", JSON, json.dumps(order), TIMEOUT)
    path, kind = chance.choice(
        (
            ("/api/stocks/?limit=5", "list"),
            (f"/api/stocks/{symbol}/", "stock"),
            (f"/api/stocks/{symbol}/history/?days=30", "history"),
            (f"/api/portfolios/{portfolio}/", "portfolio"),
        )
    )
    return Request(name, at, "GET", path, kind, timeout=TIMEOUT)
