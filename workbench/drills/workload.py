"""The demo's traffic: a seeded, open schedule of reads and orders."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.traffic import Request, arrivals

RATE = 40.0
ORDER_SHARE = 0.25
TIMEOUT = 5.0
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Universe:
    """What requests may name."""

    symbols: Sequence[str]
    portfolios: Sequence[int]


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
