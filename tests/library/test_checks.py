"""The system checks, as `manage.py check` runs them."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.test import override_settings

OURS = "stalwart.compression.CompressionMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
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
    ],
)
def test_order_of_middleware(order, expected) -> None:
    """An order that makes ETags differ or caches mix clients is an error; two compressors are a warning."""
    with override_settings(MIDDLEWARE=order):
        assert ids() == expected
