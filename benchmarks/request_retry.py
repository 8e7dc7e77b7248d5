"""What the request retry and the transparent reads cost while nothing fails, as ratios.

    python benchmarks/request_retry.py [rounds]        (default 300)

Against a private PostgreSQL over TCP on the loopback interface. The arms take turns in one process, in an order drawn anew for
each round of 20; the minimum of an arm's rounds is its figure, since whatever else runs only ever adds.

`request` is Django's whole request handling without other middleware, for a view that reads one row by the ORM, and for one that
does nothing: without the middleware, with it listed and off, and with it on. `write` is a POST of 1 kB under ATOMIC_REQUESTS that
reads, inserts and updates a row. Async is the asynchronous handler with an async view that does nothing, where the middleware
that is on has to enter the thread of the ORM before and after.

`read` is one `objects.get()`, with the wrapper of the transparent reads and without.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from typing import Any

PER_ROUND = 20
MIDDLEWARE = "stalwart.database.RequestRetryMiddleware"
ON: dict[str, Any] = {"DATABASE": {"REQUEST_RETRIES": 2}}


def make_models(database: dict[str, Any]) -> tuple[Any, Any]:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": {**database, "CONN_MAX_AGE": None}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=[],
        STALWART={},
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


def use(stalwart: dict[str, Any]) -> None:
    from django.conf import settings

    from stalwart import django_conf

    settings.STALWART = stalwart
    django_conf.refresh()
    django_conf.current()  # parsed now, and not in the first request


def compare(name: str, arms: dict[str, Callable[[], float]], rounds: int) -> None:
    """Each arm gives the seconds of one round."""
    for arm in arms.values():
        arm()
    order = random.Random(2)
    best = dict.fromkeys(arms, float("inf"))
    for _ in range(rounds):
        for arm in order.sample(sorted(arms), k=len(arms)):
            best[arm] = min(best[arm], arms[arm]() / PER_ROUND)
    floor, *others = arms
    print(f"{name:22} {floor} {best[floor] * 1e6:7.1f} us", end="")
    for arm in others:
        added = (best[arm] - best[floor]) * 1e6
        print(f"   {arm} {best[arm] / best[floor]:.3f} ({added:+.1f} us)", end="")
    print(f"   ({rounds} rounds of {PER_ROUND})")


def handler(listed: bool, *, is_async: bool = False) -> Any:
    from django.conf import settings
    from django.core.handlers.base import BaseHandler

    settings.MIDDLEWARE = [MIDDLEWARE] if listed else []
    made = BaseHandler()
    made.load_middleware(is_async=is_async)
    return made


def requests(name: str, view: Any, rounds: int, method: str = "GET", body: bytes = b"") -> None:
    from django.conf import settings
    from django.test import RequestFactory
    from django.urls import path

    settings.ROOT_URLCONF = (path("", view),)
    factory = RequestFactory()
    plain, listed = handler(False), handler(True)

    def round_of(chosen: Any, stalwart: dict[str, Any]) -> Callable[[], float]:
        def run() -> float:
            use(stalwart)
            made = [
                factory.generic(method, "/", body, content_type="application/json") for _ in range(PER_ROUND)
            ]
            began = time.perf_counter()
            for request in made:
                response = chosen.get_response(request)
            seconds = time.perf_counter() - began
            assert response.status_code == 200
            return seconds

        return run

    compare(
        name,
        {"without": round_of(plain, {}), "off": round_of(listed, {}), "on": round_of(listed, ON)},
        rounds,
    )


def async_requests(rounds: int) -> None:
    from django.conf import settings
    from django.http import HttpResponse
    from django.test import AsyncRequestFactory
    from django.urls import path

    async def view(request: Any) -> HttpResponse:
        return HttpResponse(b"x")

    settings.ROOT_URLCONF = (path("", view),)
    factory = AsyncRequestFactory()
    plain, listed = handler(False, is_async=True), handler(True, is_async=True)
    loop = asyncio.new_event_loop()

    def round_of(chosen: Any, stalwart: dict[str, Any]) -> Callable[[], float]:
        async def answer(made: list[Any]) -> float:
            began = time.perf_counter()
            for request in made:
                response = await chosen.get_response_async(request)
            seconds = time.perf_counter() - began
            assert response.status_code == 200
            return seconds

        def run() -> float:
            use(stalwart)
            return loop.run_until_complete(answer([factory.get("/") for _ in range(PER_ROUND)]))

        return run

    compare(
        "request, async, empty",
        {"without": round_of(plain, {}), "off": round_of(listed, {}), "on": round_of(listed, ON)},
        rounds,
    )
    loop.close()


def transparent_reads(account: Any, rounds: int) -> None:
    from django.db import connections

    from stalwart.database import reads

    connection = connections["default"]

    def round_of(attached: bool) -> Callable[[], float]:
        def run() -> float:
            use({"DATABASE": {"TRANSPARENT_READS": attached}})
            reads.attach(connection)
            began = time.perf_counter()
            for _ in range(PER_ROUND):
                account.objects.get(name="a")
            return time.perf_counter() - began

        return run

    compare("read", {"without": round_of(False), "on": round_of(True)}, rounds)
    use({})
    reads.attach(connection)


def main(rounds: int) -> None:
    from workbench.servers.postgres import PostgresServer

    with PostgresServer(settings={"fsync": "off"}) as server:
        server.wait_ready()
        server.create_database("benchmark")
        account, entry = make_models(server.django_database("benchmark"))
        account.objects.create(name="a")

        from django.db import connections
        from django.http import HttpResponse

        def read(request: Any) -> HttpResponse:
            return HttpResponse(str(account.objects.get(name="a").value))

        def write(request: Any) -> HttpResponse:
            row = account.objects.get(name="a")
            entry.objects.create(text=str(len(request.body)))
            row.value += 1
            row.save(update_fields=["value"])
            return HttpResponse(b"x")

        requests("request, empty view", lambda request: HttpResponse(b"x"), rounds)
        requests("request, one read", read, rounds)
        connections.settings["default"]["ATOMIC_REQUESTS"] = True
        requests("write", write, rounds, "POST", b"x" * 1000)
        connections.settings["default"]["ATOMIC_REQUESTS"] = False
        async_requests(rounds)
        transparent_reads(account, rounds)
        connections.close_all()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
