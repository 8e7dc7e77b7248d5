"""The two environment variables through which the demo learns of its servers.

Apart from the settings, because whoever sets the variables must not load the settings first: they read them once.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured

#: JSON of one ``DATABASES`` entry.
DATABASE_VARIABLE = "STALWART_DEMO_DATABASE"
#: Base URL of the external quote service.
QUOTES_VARIABLE = "STALWART_DEMO_QUOTES"


def databases(text: str | None) -> dict[str, dict[str, Any]]:
    """The ``DATABASES`` setting from the environment variable's text.

    Without a text there is no database: Django then says so at the first query, and pages that need none still work.

    Raises:
        ImproperlyConfigured: when the text is not a JSON object.
    """
    if not text:
        return {}
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{DATABASE_VARIABLE} is not JSON ({error}); give one DATABASES entry, such as "
            '{"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "NAME": "demo"}'
        ) from error
    if not isinstance(entry, dict):
        raise ImproperlyConfigured(
            f"{DATABASE_VARIABLE} holds a JSON {type(entry).__name__}; give an object, one DATABASES entry"
        )
    # Persistent connections without health checks: what production projects commonly run, and what DB-1 measures.
    return {"default": {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": False, **entry}}
