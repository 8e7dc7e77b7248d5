"""System checks: `manage.py check` finds misspelt settings and middleware in an order that cannot work.

stalwart.E001  a key of STALWART does not exist
stalwart.E002  a value of STALWART cannot work; its default is used meanwhile
stalwart.E003  CompressionMiddleware stands where it breaks another middleware, or that one breaks it
stalwart.E004  RequestRetryMiddleware is not the last one
stalwart.W001  two middleware compress
stalwart.W002  DATABASE["REPLY_WITHIN"] has no effect on a database
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import connections

from stalwart import django_conf
from stalwart.database.overdue import can_watch

_COMPRESSION = "stalwart.compression.CompressionMiddleware"
_REQUEST_RETRY = "stalwart.database.RequestRetryMiddleware"
_OTHER_COMPRESSORS = (
    "django.middleware.gzip.GZipMiddleware",
    "django_http_compression.middleware.HttpCompressionMiddleware",
    "compression_middleware.middleware.CompressionMiddleware",
)
# (first, second, why): `first` must be listed before `second`, that is, be further from the view.
_ORDER = (
    (
        _COMPRESSION,
        "django.middleware.http.ConditionalGetMiddleware",
        "else the ETag is made from compressed bytes and differs from client to client",
    ),
    (
        "django.middleware.cache.UpdateCacheMiddleware",
        _COMPRESSION,
        "else the cache keeps pages without knowing that they vary with Accept-Encoding",
    ),
)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Every unknown key and every value that cannot work in `settings.STALWART`."""
    return [
        Error(
            problem.message,
            hint=problem.hint,
            obj=problem.where,
            id=f"stalwart.{'E001' if problem.unknown else 'E002'}",
        )
        for problem in django_conf.problems()
    ]


def check_middleware(**_: Any) -> list[CheckMessage]:
    """The order of `settings.MIDDLEWARE`, as far as Stalwart's own are concerned."""
    listed: Sequence[str] = list(settings.MIDDLEWARE)
    found: list[CheckMessage] = []
    for first, second, why in _ORDER:
        if first in listed and second in listed and listed.index(first) > listed.index(second):
            found.append(
                Error(
                    f"{first} comes after {second} in MIDDLEWARE.",
                    hint=f"List it before, {why}.",
                    id="stalwart.E003",
                )
            )
    if _REQUEST_RETRY in listed[:-1]:
        after = listed[listed.index(_REQUEST_RETRY) + 1]
        found.append(
            Error(
                f"{_REQUEST_RETRY} is not the last in MIDDLEWARE: {after} comes after it.",
                hint="List it last, else the other one may answer a failure of the view before it is known whether the view "
                "is run again, and is called once for each run.",
                id="stalwart.E004",
            )
        )
    if _COMPRESSION in listed:
        found += [
            CheckWarning(
                f"{other} and {_COMPRESSION} are both in MIDDLEWARE.",
                hint=f"Take {other} out; the inner one decides, and what it coded is not coded again.",
                id="stalwart.W001",
            )
            for other in _OTHER_COMPRESSORS
            if other in listed
        ]
    return found


def check_replies(**_: Any) -> list[CheckMessage]:
    """Databases of `settings.DATABASES` whose replies cannot be overdue, though `REPLY_WITHIN` is set."""
    database = django_conf.current().database
    if not (database.enabled and database.reply_within):
        return []
    # SQLite has no network; it is named only where nothing else is there that the setting could be meant for.
    networked = [each for each in connections.all() if each.vendor != "sqlite"] or connections.all()
    return [
        CheckWarning(
            f"STALWART['DATABASE']['REPLY_WITHIN'] has no effect on the database {each.alias!r} ({each.display_name}).",
            hint="It is built for PostgreSQL with psycopg 3. Elsewhere set the driver's own read and connect time-outs.",
            id="stalwart.W002",
        )
        for each in networked
        if not can_watch(each)
    ]
