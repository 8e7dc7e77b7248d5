"""Connects the policies to `settings.STALWART` and to what the database part knows, and hands the connected policies to the public door.

Settings are not loaded by this: until somebody else has loaded or configured them, a part counts as on.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.functional import empty

from stalwart import django_conf
from stalwart.policies import registry
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


def _database_objects(error: Exception) -> str | None:
    from stalwart.database.objection import (
        object_to,  # only after a failure: who uses no database loads nothing of it
    )

    return object_to(error)


ERRORS.connect(_errors)
registry.objections.register("database", _database_objects, replace=True)
django_conf.on_refresh(ERRORS.forget)
