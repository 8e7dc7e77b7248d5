"""The system check of the commit marker.

stalwart.E020  STALWART["DATABASE"]["COMMIT_MARKER"] is on, and the app with its table is not installed
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error

from stalwart import django_conf

APP = "stalwart.database.marker"


def check_commit_marker(**_: Any) -> list[CheckMessage]:
    """The setting needs the table, and the table comes with the app."""
    if not django_conf.current().database.commit_marker or apps.is_installed(APP):
        return []
    return [
        Error(
            f'STALWART["DATABASE"]["COMMIT_MARKER"] is on, and {APP!r} is not in INSTALLED_APPS.',
            hint="Add it and run `manage.py migrate` for each database that resilient transactions write to.",
            id="stalwart.E020",
        )
    ]
