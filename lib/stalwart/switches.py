"""Connects the switches of the policies to `settings.STALWART`, and hands the connected policies to the public door.

Settings are not loaded by this: until somebody else has loaded or configured them, a part counts as on.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.functional import empty

from stalwart import django_conf
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.failover import Failover
from stalwart.policies.operation import resilient_operation
from stalwart.policies.switch import ERRORS

__all__ = ["CircuitBreaker", "Failover", "resilient_operation"]


def _errors() -> bool | None:
    # `settings.configured` says the same, by way of a Python frame or three; without Django this is in every call.
    if object.__getattribute__(settings, "_wrapped") is empty:
        return None
    return django_conf.current().errors.enabled


ERRORS.connect(_errors)
django_conf.on_refresh(ERRORS.forget)
