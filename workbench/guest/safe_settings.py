"""Settings that keep a project from what it really uses, laid over its own before anything reads them.

Mail goes nowhere, caches live in memory, files are written to a private folder, tasks and searches get stubs; hosts, TLS and
static manifests do not stand between a page and the one who looks at it.
"""

from __future__ import annotations

import os
from typing import Any

import django

from workbench.guest import sandbox

_LOCAL_CACHES = ("locmem.LocMemCache", "dummy.DummyCache", "db.DatabaseCache")
_REMOTE_STORAGES = ("storages.", "cloudinary", "minio_storage.", "django_minio", "azure", "gcloud")
_FILES = "django.core.files.storage.FileSystemStorage"
_FILES_LONG = "django.core.files.storage.filesystem.FileSystemStorage"
_STATIC = "django.contrib.staticfiles.storage.StaticFilesStorage"
_PRIVATE = "workbench.guest.stubs.PrivateStorage"
_MAIL = "workbench.guest.stubs.EmailBackend"
#: Handlers that write to a stream of the process or ask nobody.
_HARMLESS = ("logging.StreamHandler", "logging.NullHandler", "django.utils.log.AdminEmailHandler")


def lay(values: dict[str, Any]) -> None:
    """Change a project's settings in place; dictionaries on the way are copied."""
    # As in production: DEBUG keeps every statement and renders what no visitor sees.
    values["DEBUG"] = False
    values["ALLOWED_HOSTS"] = ["*"]
    values["SECURE_SSL_REDIRECT"] = False
    _mail(values)
    _caches(values)
    _files(values)
    _logging(values)
    _tasks(values)
    _search(values)
    _tools(values)


def _mail(values: dict[str, Any]) -> None:
    sandbox.note("mail", 0)
    if "MAILERS" in values:  # Django 6.1; beside it the older name is refused
        values["MAILERS"] = {alias: {"BACKEND": _MAIL} for alias in values["MAILERS"]}
    else:
        values["EMAIL_BACKEND"] = _MAIL


def _caches(values: dict[str, Any]) -> None:
    caches: dict[str, Any] = {}
    for alias, own in dict(values.get("CACHES") or {}).items():
        backend = str(own.get("BACKEND", ""))
        if backend.endswith(_LOCAL_CACHES):
            caches[alias] = own
            continue
        kept = {key: own[key] for key in ("KEY_PREFIX", "KEY_FUNCTION", "TIMEOUT", "VERSION") if key in own}
        name = f"cache {alias} ({backend.rpartition('.')[2]})"
        sandbox.note(name, 0)
        location = f"workbench-{alias}"
        caches[alias] = {
            **kept,
            "BACKEND": "workbench.guest.stubs.Cache",
            "LOCATION": location,
            "OPTIONS": {"name": name},
        }
    if caches:
        values["CACHES"] = caches
    if "redis" in str(values.get("SESSION_ENGINE", "")):
        sandbox.note("sessions in Redis", 0)
        values["SESSION_ENGINE"] = "django.contrib.sessions.backends.db"


def _files(values: dict[str, Any]) -> None:
    sandbox.note("file written", 0)
    private = os.path.join(sandbox.folder(), "media")
    os.makedirs(private, exist_ok=True)
    values["WORKBENCH_OWN_MEDIA_ROOT"] = str(values.get("MEDIA_ROOT") or "")
    values["MEDIA_ROOT"] = private
    old = {"DEFAULT_FILE_STORAGE": _FILES, "STATICFILES_STORAGE": _STATIC}
    if django.VERSION < (5, 1) and "STORAGES" not in values and any(name in values for name in old):
        values["DEFAULT_FILE_STORAGE"] = _stored(values.get("DEFAULT_FILE_STORAGE", _FILES))
        values["STATICFILES_STORAGE"] = _served(values.get("STATICFILES_STORAGE", _STATIC))
        return
    storages = {
        "default": {"BACKEND": _FILES},
        "staticfiles": {"BACKEND": _STATIC},
        **(values.get("STORAGES") or {}),
    }
    for alias, own in storages.items():
        backend = str(own.get("BACKEND", _FILES))
        wanted = _served(backend) if alias == "staticfiles" else _stored(backend)
        if wanted != backend:
            kept = {key: item for key, item in (own.get("OPTIONS") or {}).items() if key == "base_url"}
            storages[alias] = {"BACKEND": wanted, "OPTIONS": kept}
    values["STORAGES"] = storages


def _stored(backend: str) -> str:
    """A storage of the project's own making stays: its methods are used, and it reads MEDIA_ROOT or is kept off the network."""
    if backend in (_FILES, _FILES_LONG):
        return _PRIVATE
    if backend.startswith(_REMOTE_STORAGES):
        sandbox.note(f"storage {backend.rpartition('.')[2]}", 0)
        return _PRIVATE
    return backend


def _served(backend: str) -> str:
    """A manifest exists after collectstatic only; without one every page would fail."""
    return _STATIC if "Manifest" in backend or backend.startswith(_REMOTE_STORAGES) else backend


def _logging(values: dict[str, Any]) -> None:
    """Log files belong to the project's real runs, and their folders need not exist here."""
    own = values.get("LOGGING")
    if not isinstance(own, dict) or not isinstance(own.get("handlers"), dict):
        return
    handlers = {}
    for name, handler in own["handlers"].items():
        kind = handler.get("class", handler.get("()")) if isinstance(handler, dict) else None
        handlers[name] = handler if str(kind) in _HARMLESS else {"class": "logging.NullHandler"}
    values["LOGGING"] = {**own, "handlers": handlers}


def _tasks(values: dict[str, Any]) -> None:
    if isinstance(values.get("TASKS"), dict) and django.VERSION >= (6, 0):
        sandbox.note("task", 0)
        values["TASKS"] = {
            alias: {**own, "BACKEND": "workbench.guest.task_stub.TaskBackend"}
            for alias, own in values["TASKS"].items()
        }
    if isinstance(values.get("HUEY"), dict):
        values["HUEY"] = {"huey_class": "huey.MemoryHuey", "name": "workbench", "immediate": False}
    if isinstance(values.get("DRAMATIQ_BROKER"), dict):
        values["DRAMATIQ_BROKER"] = {
            "BROKER": "dramatiq.brokers.stub.StubBroker",
            "OPTIONS": {},
            "MIDDLEWARE": [],
        }


def _search(values: dict[str, Any]) -> None:
    if isinstance(values.get("HAYSTACK_CONNECTIONS"), dict):
        simple = {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}
        values["HAYSTACK_CONNECTIONS"] = dict.fromkeys(values["HAYSTACK_CONNECTIONS"], simple)
        values["HAYSTACK_SIGNAL_PROCESSOR"] = "haystack.signals.BaseSignalProcessor"
    if isinstance(values.get("CHANNEL_LAYERS"), dict):
        memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
        values["CHANNEL_LAYERS"] = dict.fromkeys(values["CHANNEL_LAYERS"], memory)
    if "redis" in str(values.get("CONSTANCE_BACKEND", "")):
        values["CONSTANCE_BACKEND"] = "constance.backends.memory.MemoryBackend"


def _tools(values: dict[str, Any]) -> None:
    """Tools that would add to every page, or write static files at the first one."""
    values["DEBUG_TOOLBAR_CONFIG"] = {
        **(values.get("DEBUG_TOOLBAR_CONFIG") or {}),
        "SHOW_TOOLBAR_CALLBACK": "workbench.guest.stubs.never",
    }
    values["SILKY_INTERCEPT_PERCENT"] = 0
    values["COMPRESS_ENABLED"] = values["COMPRESS_OFFLINE"] = False
