"""Numbers in query strings."""

from __future__ import annotations

from django.http import HttpRequest


class BadParameterError(ValueError):
    """A query parameter that cannot be used; the message is meant for the client."""


def whole(request: HttpRequest, name: str, default: int, least: int, most: int) -> int:
    """A whole number from the query string.

    Raises:
        BadParameterError: when it is none, or outside ``least`` to ``most``.
    """
    text = request.GET.get(name)
    if text is None:
        return default
    # isdecimal alone would let other scripts' digits and endless numbers through.
    if not (text.isascii() and text.isdecimal() and len(text) < 12) or not least <= int(text) <= most:
        raise BadParameterError(f"{name} is {text[:40]!r}; send a whole number from {least} to {most}")
    return int(text)
