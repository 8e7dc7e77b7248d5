"""The demo's settings."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from workbench.demo import settings
from workbench.demo.environment import databases


def test_connections_are_kept_and_not_checked() -> None:
    """The population of DB-1: connections live for 60 s and are not looked at before use."""
    entry = databases('{"ENGINE": "django.db.backends.postgresql", "NAME": "demo"}')["default"]
    assert (entry["CONN_MAX_AGE"], entry["CONN_HEALTH_CHECKS"]) == (60, False)
    assert entry["NAME"] == "demo"


def test_the_given_entry_wins() -> None:
    """What an arm puts into the entry is not overridden."""
    assert databases('{"CONN_MAX_AGE": 0}')["default"]["CONN_MAX_AGE"] == 0


def test_no_database_is_no_error() -> None:
    """Without the variable the settings load, so that type checkers and the health page do."""
    assert databases(None) == {}


@pytest.mark.parametrize("text", ["{", "[]", "postgres://localhost/demo"])
def test_a_wrong_variable_is_named(text: str) -> None:
    """What is no JSON object is an error that names the variable."""
    with pytest.raises(ImproperlyConfigured, match="STALWART_DEMO_DATABASE"):
        databases(text)


def test_the_library_is_installed() -> None:
    """Both arms have the library's app and middleware, and every part on by default."""
    assert "stalwart" in settings.INSTALLED_APPS
    assert "stalwart.compression.CompressionMiddleware" in settings.MIDDLEWARE
    assert settings.STALWART == {"ENABLED": True}
