"""Both arms run the same views: with the library on a lost connection is made good, with it off it is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.demo.stocks.dataset import symbol

if TYPE_CHECKING:
    Demo = Any

#: Every route that reads the database.
PATHS = [
    "/",
    f"/stocks/{symbol(0)}/",
    "/portfolios/1/",
    "/api/stocks/",
    f"/api/stocks/{symbol(0)}/",
    f"/api/stocks/{symbol(0)}/history/",
    "/api/portfolios/1/",
    "/api/watchlists/1/",
    "/api/export/",
]
#: Ends the session that Django keeps open, from a second one, before each request.
SCRIPT = f"""
import psycopg
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings

entry = settings.DATABASES["default"]
other = psycopg.connect(
    host=entry["HOST"], port=entry["PORT"], dbname=entry["NAME"], user=entry["USER"], password=entry["PASSWORD"],
    autocommit=True,
)
result = {{}}
for path in {PATHS!r}:
    for enabled in (False, True):
        connection.close()
        connection.ensure_connection()
        # Waits until the other session is gone for good.
        assert other.execute(
            "SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid]
        ).fetchone() == (True,)
        with override_settings(STALWART={{"DATABASE": {{"ENABLED": enabled}}}}):
            answer = Client(SERVER_NAME="127.0.0.1").get(path)
        result.setdefault(path, []).append(answer.status_code)
other.close()
"""


def test_every_database_view_survives_a_lost_connection_only_with_the_library_on(demo: Demo) -> None:
    """After its persistent connection was ended, each view answers 503 with the library off and 200 with it on."""
    assert demo.script(SCRIPT) == {path: [503, 200] for path in PATHS}


def test_no_database_route_is_missing_here(demo: Demo) -> None:
    """The routes above are all of the demo's, but for the order (tested apart) and the two without a database."""
    number = demo.script("from workbench.demo.stocks.urls import urlpatterns\nresult = len(urlpatterns)")
    assert number == len(PATHS) + 3
