"""The Django app: adds the system checks, the signal and what watches database connections. Nothing else of Stalwart needs it."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class StalwartConfig(AppConfig):
    """`"stalwart"` in INSTALLED_APPS."""

    name = "stalwart"
    verbose_name = "Stalwart"

    def ready(self) -> None:
        from stalwart import signals
        from stalwart.checks import check_middleware, check_replies, check_settings
        from stalwart.database import wiring
        from stalwart.database.checks import check_pools, check_server_slots
        from stalwart.database.marker.checks import check_commit_marker

        checks.register(check_settings)
        checks.register(check_middleware)
        checks.register(check_pools)
        checks.register(check_server_slots, checks.Tags.database)
        checks.register(check_replies)
        checks.register(check_commit_marker)
        signals.connect()
        wiring.connect()
