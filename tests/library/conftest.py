"""One Django project for all tests of the library. Settings are one per process, so it is configured here, once.

The database "default" is the session's PostgreSQL, "lite" an SQLite file; both come with the fixture `django_db`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import django
import psycopg
import pytest
from django.conf import settings

if TYPE_CHECKING:
    from workbench.servers.postgres import PostgresServer

sys.path.insert(0, str(Path(__file__).parent / "app"))

if not settings.configured:
    settings.configure(
        DATABASES={
            # The address is filled in when the server runs; until then nothing listens there.
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": "127.0.0.1",
                "PORT": 1,
                "NAME": "library",
            },
            "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {"timeout": 0.1}},
        },
        INSTALLED_APPS=["stalwart", "stalwart.database.marker", "warehouse"],
        MIDDLEWARE=["stalwart.compression.CompressionMiddleware"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ALLOWED_HOSTS=["testserver"],
        SECRET_KEY="for tests only",
        USE_TZ=True,
    )
    django.setup()


@pytest.fixture(scope="session")
def _tables(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    from django.apps import apps
    from django.db import connections

    postgres.create_database("library")
    # Every thread's connection object shares these dicts with the handler.
    connections.settings["default"].update(postgres.django_database("library", connect_timeout=5))
    for name, value in connections.settings["default"].items():
        connections["default"].settings_dict[name] = value
    connections["lite"].settings_dict["NAME"] = str(tmp_path_factory.mktemp("lite") / "lite.sqlite3")
    for alias in ("default", "lite"):
        with connections[alias].schema_editor() as editor:
            for model in apps.get_app_config("warehouse").get_models():
                editor.create_model(model)
    yield
    connections.close_all()


@pytest.fixture
def django_db(_tables: None, postgres: PostgresServer) -> Iterator[None]:
    """Both databases with empty tables; afterwards the server runs, and the connections are closed."""
    from django.apps import apps
    from django.db import connections

    yield
    connections.close_all()
    if not postgres.running:
        postgres.start()
    tables = [model._meta.db_table for model in apps.get_app_config("warehouse").get_models()][::-1]
    for _ in range(50):  # a server that lost a back end a moment ago throws everybody out once more
        postgres.wait_ready()
        with contextlib.suppress(psycopg.OperationalError), postgres.connect("library") as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = 'library' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            admin.execute("; ".join(f"DELETE FROM {table}" for table in tables))
            break
    with connections["lite"].cursor() as cursor:
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")
    connections.close_all()


@pytest.fixture(autouse=True)
def _nothing_stays_on() -> Iterator[None]:
    """Fail when a test leaves an execute wrapper or an event sink behind; what `wiring` attaches may stay."""
    from django.db import connections

    from stalwart.database import wiring
    from stalwart.events import sinks

    before = set(sinks._sinks)  # in any order: a test may undo and redo one of the app's own
    yield
    assert set(sinks._sinks) == before
    for connection in connections.all(initialized_only=True):
        for feature in reversed(wiring.FEATURES):
            feature.detach(connection)
        assert connection.execute_wrappers == []
        wiring._prepare(connection)
        if connection.connection is not None:
            wiring._opened(None, connection)


@pytest.fixture
def seen() -> Iterator[list[object]]:
    """The events of a test, in order."""
    from stalwart import events

    records: list[object] = []
    undo = events.subscribe(records.append)
    yield records
    undo()


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    """Each test begins without circuits, budgets and slow queries of others: a process shares them."""
    from stalwart.database import forget_slow_queries
    from stalwart.policies.breaker import CircuitBreaker
    from stalwart.policies.budget import RetryBudget

    CircuitBreaker.shared.clear()
    RetryBudget.shared.clear()
    forget_slow_queries()
    yield
    CircuitBreaker.shared.clear()
    RetryBudget.shared.clear()
