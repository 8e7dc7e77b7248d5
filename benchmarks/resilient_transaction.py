"""`resilient_transaction` beside plain `atomic`: a transaction of three statements, as a ratio.

    python benchmarks/resilient_transaction.py [rounds]        (default 1000)

Against a private PostgreSQL over TCP on the loopback interface, through Django's ORM: read a row, insert one, update one.
Without fsync, so that the disk does not hide the difference. The two arms take turns in one process, in an order drawn anew
for each round of 2 transactions. `ratio` is the median of the rounds' ratios, its interval a bootstrap of the rounds (95 %);
`least` the ratio of the arms' fastest tenths, which other work on the machine disturbs less. `read` is the same with the read
alone, where nothing is written and so no transaction id is asked for; `marker` is `three` with COMMIT_MARKER on.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

PER_ROUND = 2
RESAMPLES = 2000


def make_models(database: dict[str, Any]) -> tuple[Any, Any]:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": {**database, "CONN_MAX_AGE": None}},
        INSTALLED_APPS=["stalwart.database.marker"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    from django.db import connection, models

    class Account(models.Model):
        name = models.CharField(max_length=50)
        value = models.IntegerField(default=0)

        class Meta:
            app_label = "benchmark"

    class Entry(models.Model):
        text = models.CharField(max_length=50)

        class Meta:
            app_label = "benchmark"

    with connection.schema_editor() as editor:
        editor.create_model(Account)
        editor.create_model(Entry)
    return Account, Entry


def seconds(body: Callable[[], None], block: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for _ in range(PER_ROUND):
        with block():
            body()
    return (time.perf_counter() - began) / PER_ROUND


def interval(ratios: list[float]) -> tuple[float, float]:
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000]


def compare(name: str, body: Callable[[], None], rounds: int) -> None:
    from django.db import transaction

    from stalwart import resilient_transaction

    arms: dict[str, Callable[[], Any]] = {"atomic": transaction.atomic, "resilient": resilient_transaction}
    for block in arms.values():
        seconds(body, block)
    order = random.Random(2)
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(rounds):
        for arm in order.sample(sorted(arms), k=len(arms)):
            times[arm].append(seconds(body, arms[arm]))
    ratios = [ours / plain for ours, plain in zip(times["resilient"], times["atomic"], strict=True)]
    low, high = interval(ratios)
    least = {arm: sorted(values)[rounds // 10] for arm, values in times.items()}
    print(
        f"{name:6} atomic {statistics.median(times['atomic']) * 1e6:7.1f} us   "
        f"resilient {statistics.median(times['resilient']) * 1e6:7.1f} us   "
        f"ratio {statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]   "
        f"least {least['resilient'] / least['atomic']:.3f}   ({rounds} rounds of {PER_ROUND})"
    )


def main(rounds: int) -> None:
    from workbench.servers.postgres import PostgresServer

    with PostgresServer(settings={"fsync": "off"}) as server:
        server.wait_ready()
        server.create_database("benchmark")
        account, entry = make_models(server.django_database("benchmark"))
        account.objects.create(name="a")

        def three() -> None:
            row = account.objects.get(name="a")
            entry.objects.create(text="x")
            row.value += 1
            row.save(update_fields=["value"])

        compare("three", three, rounds)
        compare("read", lambda: account.objects.get(name="a"), rounds)

        from django.core.management import call_command
        from django.test import override_settings

        call_command("migrate", "stalwart_marker", verbosity=0)
        with override_settings(STALWART={"DATABASE": {"COMMIT_MARKER": True}}):
            compare("marker", three, rounds)

        from django.db import connections

        connections.close_all()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
