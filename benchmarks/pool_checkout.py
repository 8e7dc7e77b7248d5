"""What the watch over connections costs while all goes well: a checkout from a pool, and a query, as ratios.

    python benchmarks/pool_checkout.py [rounds]        (default 300)

Against a private PostgreSQL over TCP on the loopback interface. `checkout`: take a connection from Django's pool, SELECT 1,
give it back, as a small request does. `query`: SELECT 1 on an open connection. The arms take turns in one process, in an
order drawn anew for each round: Django alone; with the watch (bounded queue, counted failures); and with HELD_TOO_LONG, which
also remembers the stack of every checkout. What is taken is the processor time of the calling thread: the server's part is the
same in all arms, and would only blur the ratio (and flatter it). The ratio is the median of the rounds' ratios, its interval
a bootstrap of the rounds (95 %).
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

PER_ROUND = 20
RESAMPLES = 2000
ARMS: dict[str, dict[str, Any] | None] = {
    "django": None,
    "watched": {"POOL_WAITING": 8},
    "held": {"POOL_WAITING": 8, "HELD_TOO_LONG": 30},
}


def interval(ratios: list[float]) -> tuple[float, float]:
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000]


def deep(calls: int, body: Callable[[], None]) -> None:
    """Below as many frames as a view has above it."""
    body() if calls == 0 else deep(calls - 1, body)


def compare(name: str, body: Callable[[], None], rounds: int) -> None:
    from django.conf import settings
    from django.db import connection

    from stalwart import django_conf
    from stalwart.database import wiring

    order, times = random.Random(2), {arm: [] for arm in ARMS}  # type: dict[str, list[float]]
    for number in range(rounds + 3):
        for arm in order.sample(sorted(ARMS), k=len(ARMS)):
            options = ARMS[arm]
            if options is None:
                wiring.disconnect()
            else:
                settings.STALWART = {"DATABASE": options}
                django_conf.refresh()
                wiring.connect()
            body()
            began = time.thread_time()
            for _ in range(PER_ROUND):
                deep(30, body)
            if number >= 3:
                times[arm].append((time.thread_time() - began) / PER_ROUND)
    connection.close()
    print(f"{name}: django {min(times['django']) * 1e6:.1f} us")
    for arm in ("watched", "held"):
        ratios = [a / b for a, b in zip(times[arm], times["django"], strict=True)]
        low, high = interval(ratios)
        print(
            f"    {arm:8} {min(times[arm]) * 1e6:6.1f} us   ratio {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}), "
            f"of the minima {min(times[arm]) / min(times['django']):.3f}"
        )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    import django
    from django.conf import settings

    from workbench.servers.postgres import PostgresServer

    with PostgresServer(settings={"fsync": "off"}) as server:
        server.wait_ready()
        server.create_database("pool")
        settings.configure(
            DATABASES={"default": server.django_database("pool", pool={"min_size": 2, "max_size": 2})},
            INSTALLED_APPS=["stalwart"],
        )
        django.setup()
        from django.db import connection

        def query() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")

        def checkout() -> None:
            query()
            connection.close()

        compare("checkout", checkout, rounds)
        query()
        compare("query", query, rounds)
        connection.close()
        connection.close_pool()


if __name__ == "__main__":
    main()
