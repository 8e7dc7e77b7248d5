"""What must be known of a project before it can be started on other databases: aliases, vendors, drivers.

Runs without `django.setup()`, so that no app of the project has a chance to use a database.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def look() -> dict[str, Any]:
    """Names only, no passwords.

    Returns:
        python, django; databases: alias -> engine, name, mirror, vendor ("" when its driver is missing), gis; postgresql:
        whether a driver for it can be imported; spatialite likewise; caches: whether one lies in a database.
    """
    import django
    from django.conf import settings

    settings.DEBUG  # noqa: B018 the project's settings run here
    databases = {alias: _alias(entry) for alias, entry in _databases().items()}
    gis = "django.contrib.gis" in (settings.INSTALLED_APPS or ())
    return {
        "python": sys.version.split()[0],
        "django": django.get_version(),
        "databases": databases,
        "gis": gis,
        "postgresql": _vendor("django.db.backends.postgresql") == "postgresql",
        "spatialite": gis and _vendor("django.contrib.gis.db.backends.spatialite") == "sqlite",
        "database_cache": any(
            str(one.get("BACKEND", "")).endswith("db.DatabaseCache")
            for one in (settings.CACHES or {}).values()
        ),
    }


def databases() -> dict[str, dict[str, Any]]:
    """The project's own entries with their passwords, for a copy that only reads; they are never written down."""
    from django.conf import settings

    settings.DEBUG  # noqa: B018 as above
    wanted = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
    return {alias: {key: entry.get(key) for key in wanted} for alias, entry in _databases().items()}


def labels() -> list[str]:
    """The labels of the installed apps; the one call here that needs them loaded."""
    from django.apps import apps

    return [config.label for config in apps.get_app_configs()]


def _databases() -> dict[str, dict[str, Any]]:
    laid = importlib.import_module("workbench.guest.settings")
    return dict(laid._own.get("DATABASES") or {}) or {"default": {}}


def _alias(entry: dict[str, Any]) -> dict[str, Any]:
    engine = str(entry.get("ENGINE") or "")
    mirror = (entry.get("TEST") or {}).get("MIRROR")
    return {
        "engine": engine,
        "name": str(entry.get("NAME") or ""),
        "mirror": mirror,
        "vendor": _vendor(engine) if engine else "",
        "gis": ".gis." in engine or "postgis" in engine or "spatialite" in engine,
    }


def _vendor(engine: str) -> str:
    try:
        return str(importlib.import_module(engine + ".base").DatabaseWrapper.vendor)
    except Exception:  # noqa: BLE001 without its driver, or its libraries, an engine cannot serve
        return ""
