"""The Django app that brings the table of commit markers."""

from __future__ import annotations

from django.apps import AppConfig


class CommitMarkerConfig(AppConfig):
    """`"stalwart.database.marker"` in INSTALLED_APPS."""

    name = "stalwart.database.marker"
    label = "stalwart_marker"
    verbose_name = "Stalwart: commit markers"
    default_auto_field = "django.db.models.BigAutoField"
