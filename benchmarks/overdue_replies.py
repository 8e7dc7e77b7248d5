"""What it costs a statement that its reply can be overdue, as a ratio, with the limit off and on.

    python benchmarks/overdue_replies.py [rounds]        (default 300)

Two measurements. `wait` is the added part alone: a wait that finds its reply at the first look, without any network, so that
nanoseconds can be seen. `statement` is `SELECT 1` through Django's cursor against a private PostgreSQL over TCP on the
loopback interface, the cheapest statement there is: `plain` is psycopg's own connection, `off` a watched one without a
limit, `on` one with a limit. The arms take turns in one process, 50 statements at a time, in an order drawn anew for each
round, and get new connections every 20 rounds, since some back ends are luckier than others. The ratio is the median of the
rounds' ratios, its interval a bootstrap of the rounds (95 %).
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Generator
from typing import Any

PER_ROUND = 50
PER_CONNECTION = 20
RESAMPLES = 2000
LIMIT = 30.0


def interval(ratios: list[float]) -> tuple[float, float]:
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000]


class Answered:
    """A connection whose replies are always there."""

    def wait(self, gen: Generator[int, int, int]) -> int:
        try:
            next(gen)
            while True:
                gen.send(1)
        except StopIteration as done:
            return int(done.value)


def reply() -> Generator[int, int, int]:
    yield 1
    return 0


def nanoseconds(connection: Any, calls: int = 500) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        connection.wait(reply())
    return (time.perf_counter() - began) / calls * 1e9


def waits() -> None:
    from stalwart.database import reply_within
    from stalwart.database.silence import watched

    watching = watched(Answered, "plain")()
    plain, off, on = [], [], []
    for _ in range(600):
        plain.append(nanoseconds(Answered()))
        off.append(nanoseconds(watching))
        with reply_within(LIMIT, using="plain"):
            on.append(nanoseconds(watching))
    print(
        f"wait       plain {min(plain):6.0f} ns   off +{min(off) - min(plain):.0f} ns   "
        f"on +{min(on) - min(plain):.0f} ns   (minima of 600 times 500)"
    )


def seconds(alias: str) -> float:
    from django.db import connections

    with connections[alias].cursor() as cursor:
        began = time.perf_counter()
        for _ in range(PER_ROUND):
            cursor.execute("SELECT 1")
        return (time.perf_counter() - began) / PER_ROUND


def reopen() -> None:
    from django.db import connections

    from stalwart.database import overdue

    for connection in connections.all():
        connection.close()
        overdue.detach(connection)
        connection.ensure_connection()
        if connection.alias != "plain":
            overdue.attach(connection)
        seconds(connection.alias)


def statements(rounds: int) -> None:
    from stalwart.database import reply_within

    order = random.Random(2)
    times: dict[str, list[float]] = {arm: [] for arm in ("plain", "off", "on")}
    with reply_within(LIMIT, using="on"):
        for number in range(rounds):
            if number % PER_CONNECTION == 0:
                reopen()
            for arm in order.sample(sorted(times), k=len(times)):
                times[arm].append(seconds(arm))
    plain = times.pop("plain")
    for arm, taken in times.items():
        ratios = [ours / theirs for ours, theirs in zip(taken, plain, strict=True)]
        low, high = interval(ratios)
        print(
            f"statement  plain {statistics.median(plain) * 1e6:6.1f} us   {arm:3} {statistics.median(taken) * 1e6:6.1f} us   "
            f"ratio {statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]   minima {min(plain) * 1e6:.1f} and "
            f"{min(taken) * 1e6:.1f} us   ({rounds} rounds of {PER_ROUND})"
        )


def main(rounds: int) -> None:
    import django
    from django.conf import settings

    from workbench.servers.postgres import PostgresServer

    with PostgresServer(settings={"fsync": "off"}) as server:
        server.wait_ready()
        server.create_database("benchmark")
        database = {**server.django_database("benchmark"), "CONN_MAX_AGE": None}
        settings.configure(DATABASES=dict.fromkeys(("default", "plain", "off", "on"), database))
        django.setup()
        waits()
        statements(rounds)

        from django.db import connections

        connections.close_all()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
