"""`chunk_queryset` beside `list()` and `.iterator()`: rows per second and peak memory, as ratios.

    python benchmarks/chunk_queryset.py [rows ...]        (default 20000 100000)

Against a private PostgreSQL; each arm and measurement in a fresh process, interleaved. Speed and memory are measured in
separate runs; memory is the peak that tracemalloc sees (Python's allocations, from the first row to the last).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterable
from typing import Any

ARMS = ("list", "iterator", "chunk_queryset")
REPETITIONS = 3


def make_model(database: dict[str, Any]) -> Any:
    import django
    from django.conf import settings

    settings.configure(DATABASES={"default": database}, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
    django.setup()
    from django.db import models

    class Bar(models.Model):
        symbol = models.CharField(max_length=10)
        opened = models.DecimalField(max_digits=12, decimal_places=4)
        closed = models.FloatField()
        volume = models.IntegerField()

        class Meta:
            app_label = "benchmark"
            db_table = "bar"

    return Bar


def rows_of(arm: str, model: Any) -> Iterable[Any]:
    from stalwart import QuerysetMemoryOptimizer

    if arm == "list":
        return list(model.objects.all())
    if arm == "iterator":
        return model.objects.iterator(chunk_size=2000)
    return QuerysetMemoryOptimizer.chunk_queryset(model.objects.all(), chunk_size=2000)


def measure(arm: str, what: str, rows: int, database: dict[str, Any]) -> float:
    model = make_model(database)
    model.objects.first()
    if what == "memory":
        tracemalloc.start()
    began = time.perf_counter()
    count = sum(1 for _ in rows_of(arm, model))
    took = time.perf_counter() - began
    assert count == rows, (count, rows)
    return tracemalloc.get_traced_memory()[1] if what == "memory" else rows / took


def main(sizes: list[int]) -> None:
    from workbench.servers.postgres import PostgresServer

    with PostgresServer(settings={"fsync": "off"}) as server:
        server.wait_ready()
        for rows in sizes:
            name = f"bars_{rows}"
            server.create_database(name)
            with server.connect(name, user="app") as connection:
                connection.execute(
                    "CREATE TABLE bar (id bigserial PRIMARY KEY, symbol text, opened numeric(12, 4), closed float8, "
                    "volume int)"
                )
                connection.execute(
                    "INSERT INTO bar (symbol, opened, closed, volume) "
                    "SELECT 'S' || n %% 500, n / 7.0, n / 3.0, n FROM generate_series(1, %s) AS n",
                    [rows],
                )
                connection.execute("ANALYZE bar")
            report(rows, server.django_database(name))


def report(rows: int, database: dict[str, Any]) -> None:
    best: dict[tuple[str, str], float] = {}
    for _ in range(REPETITIONS):
        for arm in ARMS:
            for what, better in (("speed", max), ("memory", min)):
                job = json.dumps([arm, what, rows, database])
                done = subprocess.run(
                    [sys.executable, __file__, "--one"], input=job, check=True, capture_output=True, text=True
                )
                value = float(done.stdout)
                best[arm, what] = better(best.get((arm, what), value), value)
    print(f"{rows:,} rows")
    for arm in ARMS:
        speed, memory = best[arm, "speed"], best[arm, "memory"]
        print(
            f"  {arm:15} {speed:9,.0f} rows/s ({speed / best['iterator', 'speed']:.2f} x iterator)   "
            f"peak {memory / 1e6:7.2f} MB ({memory / best['list', 'memory']:.3f} x list)"
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        print(measure(*json.load(sys.stdin)))
    else:
        main([int(size) for size in sys.argv[1:]] or [20_000, 100_000])
