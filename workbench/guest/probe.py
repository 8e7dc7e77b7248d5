"""What the project is: its settings that matter here, its URLs that answer a plain GET, its models and their sizes."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern


def facts() -> dict[str, Any]:
    """Names and lists only: values that may be secret stay here."""
    return {
        "middleware": list(settings.MIDDLEWARE or ()),
        "installed_apps": list(settings.INSTALLED_APPS or ()),
        "caches": list(settings.CACHES or {}),
    }


def plain_paths() -> list[str]:
    """Paths of the URL configuration that take no argument, in its order; the admin's and media are left out."""
    found: list[str] = []
    _walk(get_resolver(), "/", found)
    return list(dict.fromkeys(found))


def _walk(resolver: URLResolver, prefix: str, found: list[str]) -> None:
    for entry in resolver.url_patterns:
        route = _literal(entry)
        if route is None:
            continue
        path = prefix + route
        if isinstance(entry, URLResolver):
            if entry.app_name not in ("admin", "djdt", "silk"):
                _walk(entry, path, found)
        else:
            found.append(path)


def _literal(entry: URLPattern | URLResolver) -> str | None:
    """The route as literal text, or None when it takes arguments."""
    pattern = entry.pattern
    if isinstance(pattern, LocalePrefixPattern):
        return str(pattern.language_prefix)
    if getattr(pattern, "converters", None):
        return None
    route = getattr(pattern, "_route", None)
    if route is not None:
        return None if "<" in str(route) else str(route)
    text = str(getattr(pattern, "_regex", "")).removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    text = text.replace(r"\/", "/").replace(r"\.", ".").replace(r"\-", "-")
    return None if any(sign in text for sign in "()[]{}?*+|\\") else text


def models(limit: int = 200) -> list[dict[str, Any]]:
    """Each model with its table and its number of rows, the largest first."""
    rows: list[dict[str, Any]] = []
    existing = set(connection.introspection.table_names())
    for model in apps.get_models():
        table = model._meta.db_table
        if table in existing:
            rows.append({"model": model._meta.label, "table": table, "rows": model._base_manager.count()})
    return sorted(rows, key=lambda row: -row["rows"])[:limit]
