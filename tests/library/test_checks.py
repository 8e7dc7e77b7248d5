"""The system checks, as `manage.py check` runs them."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.db.utils import ConnectionHandler
from django.test import override_settings

OURS = "stalwart.compression.CompressionMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
RETRY = "stalwart.database.RequestRetryMiddleware"
UPDATE_CACHE = "django.middleware.cache.UpdateCacheMiddleware"


def ids() -> list[str]:
    return [message.id for message in run_checks() if message.id.startswith("stalwart.")]


def test_a_good_project_has_no_messages() -> None:
    """The project of these tests passes its checks."""
    assert run_checks() == []


def test_unknown_key_is_an_error_with_the_nearest_known_one() -> None:
    """A misspelt key stops the deployment and says what was probably meant."""
    with override_settings(STALWART={"COMPRESION": {}, "DATABASE": {"RECONNECT_WITHIN": "x"}}):
        messages = [message for message in run_checks() if message.id.startswith("stalwart.")]
    assert [message.id for message in messages] == ["stalwart.E001", "stalwart.E002"]
    assert messages[0].is_serious()
    assert "'COMPRESSION'" in messages[0].hint


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([OURS, CONDITIONAL], []),
        ([CONDITIONAL, OURS], ["stalwart.E003"]),
        ([UPDATE_CACHE, OURS], []),
        ([OURS, UPDATE_CACHE], ["stalwart.E003"]),
        ([CONDITIONAL], []),
        (["django.middleware.gzip.GZipMiddleware", OURS], ["stalwart.W001"]),
        ([OURS, CONDITIONAL, RETRY], []),
        ([OURS, RETRY, CONDITIONAL], ["stalwart.E004"]),
        ([RETRY, RETRY], ["stalwart.E004"]),
    ],
)
def test_order_of_middleware(order, expected) -> None:
    """An order that makes ETags differ, caches mix clients or failures be answered early is an error; two compressors are a warning."""
    with override_settings(MIDDLEWARE=order):
        assert ids() == expected


@pytest.mark.parametrize(
    ("engines", "expected"),
    [
        ({"default": "postgresql", "lite": "sqlite3"}, []),
        ({"default": "postgresql", "other": "dummy"}, ["other"]),
        ({"default": "sqlite3"}, ["default"]),
    ],
)
def test_replies_that_cannot_be_overdue_are_named(monkeypatch, engines, expected) -> None:
    """REPLY_WITHIN where it has no effect is a warning; a file beside a server is not, and unset there is none."""
    handler = ConnectionHandler(
        {alias: {"ENGINE": f"django.db.backends.{name}", "NAME": "x"} for alias, name in engines.items()}
    )
    monkeypatch.setattr("stalwart.checks.connections", handler)
    assert ids() == []
    with override_settings(STALWART={"DATABASE": {"REPLY_WITHIN": 2}}):
        messages = [message for message in run_checks() if message.id == "stalwart.W002"]
    assert [alias for alias in engines for message in messages if repr(alias) in message.msg] == expected
    with override_settings(STALWART={"DATABASE": {"REPLY_WITHIN": 2, "ENABLED": False}}):
        assert ids() == []
