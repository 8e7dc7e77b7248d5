"""`get_database_status`: what a database can be expected to do, asked without getting in anybody's way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.db.utils import ConnectionDoesNotExist
from django.test import override_settings
from warehouse.models import Account

from stalwart import CircuitBreaker, get_database_status
from stalwart.database import health
from stalwart.database.probe import _reply, probe
from stalwart.policies.deadline import Deadline
from workbench.servers.proxy import Proxy

from .conftest import pid

pytestmark = pytest.mark.usefixtures("django_db")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    health.renew()
    CircuitBreaker.shared.clear()
    yield
    health.renew()
    CircuitBreaker.shared.clear()


def test_a_database_that_is_well() -> None:
    """A primary that answers, with the time that it took; as JSON."""
    status = get_database_status()
    assert (status.alias, status.vendor, status.state, status.role) == (
        "default", "postgresql", "ok", "primary",
    )  # fmt: skip
    assert 0 < status.probe.reply_seconds < status.probe.connect_seconds < 3
    assert (status.breaker, status.pool, status.slow_queries) == (None, None, ())
    written = json.loads(json.dumps(status.as_dict(), allow_nan=False))
    assert written["probe"]["state"] == "ok"
    assert written["failures"]["count"] == 0


def test_sqlite_answers_too() -> None:
    """Other databases have no role that could be asked for."""
    status = get_database_status("lite")
    assert (status.vendor, status.state, status.role) == ("sqlite", "ok", "unknown")


def test_a_database_that_is_not_there_is_a_mistake() -> None:
    """An unknown alias raises Django's own error and leaves nothing behind."""
    with pytest.raises(ConnectionDoesNotExist):
        get_database_status("nowhere")
    assert "nowhere" not in health.Health.shared.all()


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [({"PORT": 1}, "unreachable", None), ({"PASSWORD": "no"}, "refused", None), ({"NAME": "gone"}, "refused", None)],
    ids=["down", "password", "database"],
)  # fmt: skip
def test_why_there_is_no_connection(configure, change, state, code) -> None:
    """Nobody there, or somebody who does not let us in; the secrets are in no field."""
    configure(**change)
    status = get_database_status()
    assert (status.state, status.role, status.probe.code) == (state, "unknown", code)
    assert status.probe.error == "OperationalError"
    text = repr(status) + json.dumps(status.as_dict())
    settings = connection.settings_dict
    assert not any(
        str(settings[name]) in text for name in ("PASSWORD", "USER", "HOST") if settings[name] != "no"
    )


def test_a_server_without_a_free_slot(postgres) -> None:
    """Full is not down: the server is there, and has no connection to give."""
    taken: list[psycopg.Connection] = []
    settings = connection.settings_dict
    try:
        with pytest.raises(psycopg.OperationalError):  # noqa: PT012  which of them is refused is not known
            while True:
                taken.append(postgres.connect("library", user=settings["USER"]))
        assert get_database_status(max_age=0).state == "full"
    finally:
        for each in taken:
            each.close()


def test_a_server_that_never_answers_is_waited_for_no_longer_than_said(configure) -> None:
    """Accepted, then silence: unreachable in time, and whoever asks next while the probe still hangs is told at once."""
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        configure(PORT=silent.getsockname()[1])
        reading = probe("default").read(5, within=0.2)
        assert (reading.state, reading.error) == ("unreachable", "TimeoutError")
        assert probe("default").read(5).state == "unreachable"
        assert [thread.name for thread in threading.enumerate()].count("stalwart-probe-default") == 1
    finally:
        silent.close()


def test_a_server_that_goes_silent_after_the_login_ends_the_probe(postgres) -> None:
    """The query's reply is waited for with a time-out of its own, so no thread hangs for ever."""
    entry = postgres.django_database("library")
    address = {
        "dbname": "library",
        "user": entry["USER"],
        "password": entry["PASSWORD"],
        "sslmode": "disable",
    }
    with Proxy((postgres.host, postgres.port)) as proxy:
        for silent in (False, True):
            driver = psycopg.connect(host=proxy.host, port=proxy.port, **address)
            with contextlib.closing(driver):
                if not silent:
                    assert _reply(driver.pgconn, Deadline.after(5)) == (b"f", b"f")
                    continue
                proxy.add("blackhole")
                with pytest.raises(TimeoutError):
                    _reply(driver.pgconn, Deadline.after(0.1))


def test_a_reading_is_kept_until_something_fails(postgres, configure) -> None:
    """Within max_age one probe serves all who ask; an error that was seen since makes it worthless."""
    configure(CONN_MAX_AGE=None)
    first = get_database_status(max_age=60)
    Account.objects.count()
    assert get_database_status(max_age=60).probe == first.probe
    assert pid() in postgres.terminate_backends("library")
    with pytest.raises(Exception, match="terminating"):
        Account.objects.count()
    second = get_database_status(max_age=60)
    assert second.probe != first.probe
    assert second.failures.last_code == "57P01"
    assert get_database_status(max_age=0).probe != second.probe


def test_nobody_is_disturbed(configure, seen) -> None:
    """Inside an atomic block, with the pool's only connection taken: the status is there, and the transaction goes on."""
    configure(pool={"min_size": 1, "max_size": 1, "timeout": 1})
    with transaction.atomic():
        Account.objects.create(name="x")
        before = pid()
        status = get_database_status()
        assert (status.state, status.pool.stats["pool_available"]) == ("ok", 0)
        assert pid() == before
    assert Account.objects.count() == 1
    assert seen == []


def test_the_probe_sends_no_signal(monkeypatch) -> None:
    """What a project does with every new connection of its own is not done with the probe's."""
    from django.db.backends.signals import connection_created

    opened: list[object] = []

    def receiver(connection: object, **_: object) -> None:
        opened.append(connection)

    connection_created.connect(receiver)
    try:
        get_database_status(max_age=0)
    finally:
        connection_created.disconnect(receiver)
    assert opened == []


def test_the_breaker_of_the_same_name_is_shown() -> None:
    """A circuit that somebody named after the alias; forced open, it still makes valid JSON."""
    assert get_database_status().breaker is None
    CircuitBreaker("database:default").disable()
    assert (
        get_database_status().breaker.state == "disabled"
    )  # that over the waits, which the library makes itself
    circuit = CircuitBreaker("default")
    assert get_database_status().breaker.state == "closed"
    circuit.force_open()
    status = get_database_status()
    assert status.breaker.retry_after == float("inf")
    assert json.loads(json.dumps(status.as_dict(), allow_nan=False))["breaker"]["retry_after"] is None


def test_off_nothing_is_asked(configure) -> None:
    """With the part off, the state is unknown, and no connection is opened."""
    configure(PORT=1)
    with override_settings(STALWART={"DATABASE": {"ENABLED": False}}):
        status = get_database_status()
    assert (status.state, status.probe.at) == ("unknown", 0.0)


def test_in_an_event_loop() -> None:
    """It can be awaited by way of a thread."""
    status = asyncio.run(sync_to_async(get_database_status, thread_sensitive=False)())
    assert status.state == "ok"
