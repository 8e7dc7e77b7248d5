"""What the watch for slow statements adds to a quick one: beside nothing, an empty wrapper, and CaptureQueriesContext.

    python benchmarks/slow_queries.py [rounds]        (default 300)

One statement on SQLite in memory through Django's cursor, so that as little as possible hides the difference, and the same
through the ORM. The arms take turns in one process, in an order drawn anew for each round of 200 statements; what counts is
the least of the rounds, which other work on the machine can only raise. Ratios are to the statement without a wrapper.

The last lines are the fingerprint's: of a text that was seen lately, and anew.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

PER_ROUND = 200


def empty(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    return execute(sql, params, many, context)


@contextmanager
def watched(connection: Any) -> Iterator[None]:
    from stalwart.database import queries

    queries.attach(connection)
    try:
        yield
    finally:
        queries.detach(connection)


def seconds(body: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(PER_ROUND):
        body()
    return (time.perf_counter() - began) / PER_ROUND


def compare(name: str, prepare: Callable[[], Callable[[], object]], rounds: int) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    arms: dict[str, Callable[[], Any]] = {
        "no wrapper": nullcontext,
        "empty wrapper": lambda: connection.execute_wrapper(empty),
        "stalwart": lambda: watched(connection),
        "CaptureQueriesContext": lambda: CaptureQueriesContext(connection),
    }
    order = random.Random(2)
    best = dict.fromkeys(arms, float("inf"))
    for _ in range(rounds):
        for arm in order.sample(sorted(arms), k=len(arms)):
            with arms[arm]():
                best[arm] = min(
                    best[arm], seconds(prepare())
                )  # a cursor is opened inside: that is when Django looks
            connection.queries_log.clear()  # or it warns when it is full
    bare = best["no wrapper"]
    for arm, took in best.items():
        print(
            f"{name:10} {arm:22} {took * 1e6:8.2f} us   added {(took - bare) * 1e6:6.2f} us   {took / bare:.3f} x"
        )


def fingerprints() -> None:
    from stalwart.database.fingerprint import LONGEST_TEXT, fingerprint
    from stalwart.database.sql_text import assemble

    columns = ", ".join(f'"shop_item"."column_{number}"' for number in range(30))
    for name, sql in (
        ("short", 'SELECT "a"."id", "a"."x" FROM "a" WHERE "a"."id" = %s LIMIT 21'),
        ("30 columns", f'SELECT {columns} FROM "shop_item" WHERE "shop_item"."id" = %s'),
        ("list of 1,000", f'SELECT "a"."id" FROM "a" WHERE "a"."id" IN ({", ".join(["%s"] * 1000)})'),
    ):
        known = min(seconds(lambda sql=sql: fingerprint(sql)) for _ in range(50))
        anew = min(seconds(lambda sql=sql: fingerprint.__globals__["_made"](sql, False)) for _ in range(10))
        assembled = min(seconds(lambda sql=sql: assemble(sql, LONGEST_TEXT)) for _ in range(5))
        print(f"fingerprint, {name:14} known {known * 1e6:6.2f} us   anew {anew * 1e6:7.1f} us   (without short cuts {assembled * 1e6:7.1f} us)")  # fmt: skip


def main(rounds: int) -> None:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        STALWART={"DATABASE": {"SLOW_QUERY": 60.0}},
    )
    django.setup()
    from django.db import connection, models

    class Account(models.Model):
        name = models.CharField(max_length=50)

        class Meta:
            app_label = "benchmark"

    with connection.schema_editor() as editor:
        editor.create_model(Account)
    row = Account.objects.create(name="a")

    def cursor() -> Callable[[], object]:
        opened = connection.cursor()
        return lambda: opened.execute("SELECT 1")

    compare("cursor", cursor, rounds)
    compare("ORM get", lambda: lambda: Account.objects.get(pk=row.pk), max(1, rounds // 4))
    fingerprints()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
