"""What the project is: its models with their tables, and the settings that matter for resilience with what is missing."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import django
from django.apps import apps
from django.db import connections, router, transaction

from workbench.guest import sandbox

_COMPRESSING = ("GZipMiddleware", "CompressionMiddleware", "BrotliMiddleware", "CompressMiddleware")
_VOLATILE = ("locmem", "dummy")


def inventory(
    name: str = "", root: str = "", settings_module: str = "", interpreter: str = "", database: str = ""
) -> dict[str, Any]:
    """The project's facts; what only the driver knows is given and handed back."""
    return {
        "name": name,
        "root": root,
        "settings": settings_module,
        "python": sys.version.split()[0],
        "django": django.get_version(),
        "interpreter": interpreter,
        "database": database,
        "models": models(),
        "settings_rows": settings_rows(),
        "blocked": sandbox.blocked(),
    }


def models() -> list[dict[str, Any]]:
    """Each model with its table, rows, size and indexes, the largest first; one that cannot be read says why."""
    rows = [_model(model) for model in apps.get_models(include_auto_created=True) if not model._meta.proxy]
    return sorted(rows, key=lambda row: (-(row["rows"] or 0), row["model"]))


def _model(model: Any) -> dict[str, Any]:
    meta = model._meta
    row: dict[str, Any] = {
        "model": meta.label,
        "table": meta.db_table,
        "rows": None,
        "bytes": None,
        "indexes": [],
        "error": None,
    }
    alias = router.db_for_read(model) or "default"
    connection = connections[alias]
    try:
        # A transaction of its own: on PostgreSQL a failed statement would spoil those after it. The bare queryset: a
        # manager's count() is the project's code, and may fail or estimate.
        with transaction.atomic(using=alias):
            from django.db.models import QuerySet

            row["rows"] = QuerySet(model, using=alias).count()
    except Exception as error:  # noqa: BLE001 whatever stands in the way is the answer
        row["error"] = (f"{type(error).__name__}: {error}").strip().splitlines()[0][:300]
        return row
    try:
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(
                    "SELECT pg_total_relation_size(to_regclass(%s))",
                    [connection.ops.quote_name(meta.db_table)],
                )
                row["bytes"] = cursor.fetchone()[0]
            found = connection.introspection.get_constraints(cursor, meta.db_table)
        row["indexes"] = sorted(
            ", ".join(column or "(expression)" for column in one["columns"] or ())
            for one in found.values()
            if (one["index"] or one["unique"] or one["primary_key"]) and one["columns"]
        )
    except Exception as error:  # noqa: BLE001 as above
        row["error"] = (f"{type(error).__name__}: {error}").strip().splitlines()[0][:300]
    return row


def settings_rows() -> list[dict[str, Any]]:
    """Judged by what the project's own settings say, before the workbench laid its own over them; no value that may be secret."""
    own: dict[str, Any] = importlib.import_module("workbench.guest.settings")._own
    rows = [
        _row("DEBUG", own.get("DEBUG", False), not own.get("DEBUG"), "keeps every statement and shows tracebacks: off in production"),
        _row(
            "ALLOWED_HOSTS", len(own.get("ALLOWED_HOSTS") or ()), "*" not in (own.get("ALLOWED_HOSTS") or ()),
            "\"*\" takes any Host header",
        ),
    ]  # fmt: skip
    for alias, entry in (own.get("DATABASES") or {}).items():
        if entry:
            rows += _database(alias, entry)
    rows += _caches(own) + _waiting(own) + _answering(own)
    return rows


def _database(alias: str, entry: dict[str, Any]) -> list[dict[str, Any]]:
    engine = str(entry.get("ENGINE", ""))
    place = f"DATABASES.{alias}."
    rows = [
        _row(
            place + "ENGINE",
            engine,
            "sqlite" not in engine,
            "one writer at a time: a server for more than one process",
        )
    ]
    if "sqlite" in engine or not engine:
        return rows
    options = entry.get("OPTIONS") or {}
    pooled = bool(options.get("pool"))
    age = entry.get("CONN_MAX_AGE", 0)
    rows.append(
        _row(
            place + "CONN_MAX_AGE",
            age,
            age != 0 or pooled,
            "a new connection for every request: 60, or a pool",
        )
    )
    checks = bool(entry.get("CONN_HEALTH_CHECKS"))
    rows.append(
        _row(place + "CONN_HEALTH_CHECKS", checks, checks or not age,
             "a kept connection that has died fails the next request: True")
    )  # fmt: skip
    waits = options.get("connect_timeout")
    rows.append(
        _row(
            place + "OPTIONS.connect_timeout",
            waits,
            waits is not None,
            "a server that does not answer holds the request: 5",
        )
    )
    limited = "statement_timeout" in str(options.get("options", ""))
    if "mysql" in engine:
        limited = "read_timeout" in options
    rows.append(
        _row(place + "statement timeout", "set" if limited else "none", limited,
             "a statement may run without end: OPTIONS options \"-c statement_timeout=30s\"" if "mysql" not in engine
             else "a statement may run without end: OPTIONS read_timeout")
    )  # fmt: skip
    return rows


def _caches(own: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    caches = own.get("CACHES") or {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    for alias, entry in caches.items():
        backend = str(entry.get("BACKEND", ""))
        shared = not any(word in backend for word in _VOLATILE)
        place = f"CACHES.{alias}."
        rows.append(
            _row(
                place + "BACKEND",
                backend.rpartition(".")[2],
                shared,
                "each process has its own: a shared cache",
            )
        )
        if "redis" in backend.lower():
            options = str(entry.get("OPTIONS") or {}).lower()
            limited = "socket_timeout" in options or "timeout=" in str(entry.get("LOCATION", ""))
            rows.append(
                _row(place + "socket timeout", "set" if limited else "none", limited,
                     "a Redis that hangs holds every request: OPTIONS socket_timeout and socket_connect_timeout")
            )  # fmt: skip
    session = str(own.get("SESSION_ENGINE", "django.contrib.sessions.backends.db"))
    if "django.contrib.sessions" in (own.get("INSTALLED_APPS") or ()):
        rows.append(
            _row("SESSION_ENGINE", session.rpartition(".")[2], not session.endswith(".db"),
                 "a statement for each request of a visitor with a session: cached_db")
        )  # fmt: skip
    return rows


def _waiting(own: dict[str, Any]) -> list[dict[str, Any]]:
    waits = own.get("EMAIL_TIMEOUT")
    backend = str(own.get("EMAIL_BACKEND", "smtp"))
    rows = [
        _row(
            "EMAIL_TIMEOUT",
            waits,
            waits is not None or "smtp" not in backend,
            "a mail server that hangs holds the request: 10",
        )
    ]
    if any(name.startswith("CELERY_") for name in own):
        limit = own.get("CELERY_TASK_TIME_LIMIT") or own.get("CELERYD_TASK_TIME_LIMIT")
        rows.append(_row("CELERY_TASK_TIME_LIMIT", limit, bool(limit), "a task may run without end"))
        late = bool(own.get("CELERY_TASK_ACKS_LATE"))
        rows.append(
            _row(
                "CELERY_TASK_ACKS_LATE",
                late,
                late,
                "a worker that dies loses its task, where tasks may be repeated",
            )
        )
    return rows


def _answering(own: dict[str, Any]) -> list[dict[str, Any]]:
    middleware = [str(one).rpartition(".")[2] for one in own.get("MIDDLEWARE") or ()]
    compressing = [one for one in middleware if one.endswith(_COMPRESSING)]
    conditional = "ConditionalGetMiddleware" in middleware
    installed = "stalwart" in (own.get("INSTALLED_APPS") or ())
    atomic = sorted(
        alias for alias, one in (own.get("DATABASES") or {}).items() if one and one.get("ATOMIC_REQUESTS")
    )
    return [
        _row("compression", compressing[0] if compressing else "none", bool(compressing), "bodies leave as they are, unless a proxy compresses"),
        _row("ConditionalGetMiddleware", conditional, conditional, "an unchanged page is sent again"),
        _row("ATOMIC_REQUESTS", ", ".join(atomic) or "none", not atomic, "the connection and its locks are held for whole requests"),
        _row("stalwart", "installed" if installed else "not installed", installed, "see README: what it adds"),
    ]  # fmt: skip


def _row(name: str, value: Any, good: bool, advice: str) -> dict[str, Any]:
    return {"name": name, "value": str(value), "good": bool(good), "advice": "" if good else advice}


def create_unmanaged() -> dict[str, str]:
    """Make tables in the private database for models whose tables are somebody else's business; what failed, by model.

    What the migrations made already, as a view, stays.
    """
    failed: dict[str, str] = {}
    for model in apps.get_models():
        meta: Any = model._meta
        if meta.managed or meta.proxy or meta.swapped:
            continue
        alias = router.db_for_write(model) or "default"
        connection = connections[alias]
        try:
            with connection.cursor() as cursor:
                known = {one.name for one in connection.introspection.get_table_list(cursor)}
            if meta.db_table in known:
                continue
            with connection.schema_editor() as editor:
                editor.create_model(model)
        except Exception as error:  # noqa: BLE001 one table's failure is told, and is not the end
            failed[meta.label] = (f"{type(error).__name__}: {error}").splitlines()[0][:300]
    return failed
