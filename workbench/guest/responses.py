"""What a page's answer weighs as it is sent, and whether a client that has it already is told so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.guest import digests, pages

#: As browsers send it.
ACCEPTED = "gzip, deflate, br, zstd"


class _Plain:
    """An answer without what a coding adds to it."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.status_code = response.status_code
        self.cookies = response.cookies

    def items(self) -> list[tuple[str, str]]:
        found = []
        for name, value in self._response.items():
            if name.lower() == "vary":
                rest = [one.strip() for one in value.split(",")]
                value = ", ".join(one for one in rest if one.lower() != "accept-encoding")
                if not value:
                    continue
            found.append((name, value))
        return found


def answered(
    url: str, headers: Mapping[str, str] | None = None, masks: Sequence[int] = (), again: bool = True
) -> dict[str, Any]:
    """Visit a page as a browser does, and once more as one that has it.

    Args:
        url, headers, masks: as for `pages.visit`.
        again: ask a second time, with what the first answer gave for that.

    Returns:
        status, error, type, bytes (as sent), coding, digest (of the uncoded answer), queries, milliseconds; validator (it can be
        asked for again), not_modified (a second visit was answered by 304).
    """
    asked = {**(headers or {}), "Accept-Encoding": ACCEPTED}
    view, body, response = pages.observed(url, "warm", asked)
    answer: dict[str, Any] = {
        "status": view["status"],
        "error": view["error"],
        "type": "",
        "bytes": len(body),
        "coding": "",
        "digest": "",
        "queries": len(view["queries"]),
        "milliseconds": view["milliseconds"],
        "validator": False,
        "not_modified": False,
    }
    if response is None:
        return answer
    named = {name.lower(): value for name, value in response.items()}
    answer["type"] = named.get("content-type", "")
    answer["coding"] = named.get("content-encoding", "")
    answer["digest"] = digests.digest(_Plain(response), body, masks)
    known = {"If-None-Match": named.get("etag"), "If-Modified-Since": named.get("last-modified")}
    given = {name: value for name, value in known.items() if value}
    answer["validator"] = bool(given)
    if given and again:
        second, _, _ = pages.observed(url, "warm", {**asked, **given})
        answer["not_modified"] = second["status"] == 304
    return answer


def settings_file(name: str) -> str:
    """The file of the project's settings module."""
    import importlib

    return str(getattr(importlib.import_module(name), "__file__", "") or "")


def facts() -> dict[str, Any]:
    """What the project's own settings have: middlewares, apps, and of each database how its connections are kept."""
    import importlib
    import importlib.util

    import django

    own: dict[str, Any] = importlib.import_module("workbench.guest.settings")._own
    databases = {}
    for alias, entry in (own.get("DATABASES") or {}).items():
        options = (entry or {}).get("OPTIONS") or {}
        databases[alias] = {
            "engine": str((entry or {}).get("ENGINE", "")),
            "age": (entry or {}).get("CONN_MAX_AGE", 0),
            "pool": bool(options.get("pool")),
        }
    return {
        "middleware": [str(one) for one in own.get("MIDDLEWARE") or ()],
        "apps": [str(one) for one in own.get("INSTALLED_APPS") or ()],
        "databases": databases,
        "pooling": django.VERSION >= (5, 1) and importlib.util.find_spec("psycopg_pool") is not None,
    }
