"""The checks of pools, as `manage.py check` runs them, with a real server's limits."""

from __future__ import annotations

import pytest
from django.core.checks import Tags, run_checks
from django.db import connection
from django.test import override_settings

from stalwart.database.checks import Deployment, check_pools, check_server_slots

GOOD = {"min_size": 1, "max_size": 4, "max_waiting": 8}


def ids(found: list) -> list[str]:
    return [message.id for message in found]


@pytest.fixture
def pooled(configure, monkeypatch):
    """The default database with a pool of these options."""
    for name in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)

    def make(options: object = GOOD, **settings: object) -> None:
        configure(pool=options, **{"CONN_HEALTH_CHECKS": True, **settings})

    return make


def test_a_good_pool_has_no_messages(pooled) -> None:
    """Checked, bounded, of a possible size."""
    pooled()
    assert [message for message in run_checks() if message.id.startswith("stalwart.")] == []


@pytest.mark.parametrize(
    ("options", "settings", "expected"),
    [
        (True, {}, ["stalwart.W011"]),
        ({"min_size": 1, "max_waiting": 5}, {"CONN_HEALTH_CHECKS": False}, ["stalwart.W010"]),
        ({"min_size": 9, "max_size": 2}, {}, ["stalwart.E010"]),
        ({"max_sise": 2}, {}, ["stalwart.E010"]),
    ],
    ids=["unbounded", "unchecked", "sizes", "misspelt"],
)
def test_what_the_settings_tell(pooled, options, settings, expected) -> None:
    """One message per mistake."""
    pooled(options, **settings)
    assert ids(check_pools()) == expected


def test_our_own_bound_counts(pooled) -> None:
    """With POOL_WAITING the queue is bounded."""
    pooled(True)
    with override_settings(STALWART={"DATABASE": {"POOL_WAITING": 10}}):
        assert ids(check_pools()) == []
    with override_settings(STALWART={"DATABASE": {"ENABLED": False}}):
        assert ids(check_pools()) == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (None, None)),
        ({"WEB_CONCURRENCY": "6"}, (6, None)),
        ({"WEB_CONCURRENCY": "6", "GUNICORN_CMD_ARGS": "-w 3 --threads=8 --bind '[::]:80'"}, (3, 8)),
        ({"GUNICORN_CMD_ARGS": "--workers=2 -k sync"}, (2, 1)),
        ({"GUNICORN_CMD_ARGS": "--threads many"}, (None, None)),
        ({"GUNICORN_CMD_ARGS": "--name 'open", "WEB_CONCURRENCY": "x"}, (None, None)),
    ],
)
def test_what_is_known_of_the_deployment(environ, expected) -> None:
    """gunicorn's own environment, its arguments first; what cannot be read is not known."""
    found = Deployment.read(environ)
    assert (found.processes, found.threads) == expected


def test_more_threads_than_connections(pooled, monkeypatch) -> None:
    """Eight threads and four connections: threads wait for each other."""
    pooled()
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--threads 8")
    [message] = check_pools()
    assert message.id == "stalwart.W012"
    assert "at most 4 connections, and its process 8 threads (GUNICORN_CMD_ARGS)" in message.msg


def test_settings_without_a_pool() -> None:
    """POOL_WAITING and HELD_TOO_LONG do nothing without one."""
    with override_settings(STALWART={"DATABASE": {"HELD_TOO_LONG": 5}}):
        assert ids(check_pools()) == ["stalwart.W016"]


def test_pools_against_the_servers_slots(pooled, postgres, monkeypatch) -> None:
    """Sizes times processes; the limits of the role and of the database count, too, and no query runs unless asked for."""
    pooled()
    assert ids(check_server_slots(databases=["default"])) == []
    assert ids(check_server_slots(databases=None)) == []
    monkeypatch.setenv("WEB_CONCURRENCY", "50")
    [message] = [
        each for each in run_checks(tags=[Tags.database], databases=["default"]) if each.id == "stalwart.W013"
    ]
    assert "4 connections in each of 50 processes (by WEB_CONCURRENCY)" in message.msg
    assert ids(run_checks()) == []
    monkeypatch.delenv("WEB_CONCURRENCY")
    role = connection.settings_dict["USER"]
    with postgres.connect("library") as admin:
        admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 3")
        try:
            [message] = check_server_slots(databases=["default"])
        finally:
            admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    assert "the server gives 3 in all" in message.msg
    assert "1 process (assumed" in message.msg


def test_a_server_that_cannot_be_asked(pooled) -> None:
    """Is said, and does not end the checks."""
    pooled(GOOD | {"timeout": 0.2}, PORT=1)
    [message] = check_server_slots(databases=["default", "lite"])
    assert message.id == "stalwart.W014"
    assert "OperationalError: capacity" in message.msg
