"""The library's project as a test runner would leave it, and a look at what a fault leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

METHODS = (
    "get_connection_params",
    "connect",
    "get_new_connection",
    "create_cursor",
    "_prepare_cursor",
    "_commit",
)


@pytest.fixture(scope="module")
def admin(_tables, postgres) -> Iterator[psycopg.Connection]:
    """An administrator. Deadlocks are looked for early enough for a quick test, and late enough for a busy machine: the
    opponent has this long to close the circle."""
    with postgres.connect() as admin:
        admin.execute("ALTER DATABASE library SET deadlock_timeout = '300ms'")
        yield admin
        admin.execute("ALTER DATABASE library RESET deadlock_timeout")


@pytest.fixture(autouse=True)
def _nothing_is_left(django_db, admin, monkeypatch, poll) -> Iterator[None]:
    """Fail when a fault leaves a changed class, a thread or a session behind."""
    from django.db import connections

    connections.close_all()
    for alias in (
        "default",
        "lite",
    ):  # what a runner's own database is known by; this one was made by a fixture
        name = connections[alias].settings_dict["NAME"]
        monkeypatch.setitem(connections[alias].settings_dict["TEST"], "NAME", name)
    before = [{name: vars(type(connections[alias])).get(name) for name in METHODS} for alias in connections]
    yield
    assert before == [
        {name: vars(type(connections[alias])).get(name) for name in METHODS} for alias in connections
    ]
    assert [each for each in threading.enumerate() if each.name.startswith("stalwart.testing")] == []
    connections.close_all()
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stalwart.testing'"
    poll(lambda: admin.execute(query).fetchone() == (0,))
