"""Secrets taken out of everything that is written down: journals, logs, charts and reports get shared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "********"

#: Names whose values are never written: Django's own list (API, TOKEN, KEY, SECRET, PASS, SIGNATURE, HTTP_COOKIE), and what
#: DSNs and HTTP add. Matched as whole words of a name, so that `monkey` and `key_points` stay readable.
_WORDS = (
    r"(?:api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|key|token|csrftoken|secret|pass|passwd|password|pgpassword"
    r"|signature|cookie|sessionid|authorization|dsn|credentials?)"
)
_NAME = re.compile(rf"(?i)(?:^|[_\-. ]){_WORDS}(?:$|[_\-. ])")
#: To the last @ before the path's end: a password may hold a slash or a colon.
_URL = re.compile(r"(?P<head>\b[a-z][a-z0-9+.\-]*://[^\s:/@]*:)[^\s@]+@")
_HEADER = re.compile(
    r"(?im)(?P<head>\b(?:authorization|cookie|set-cookie|proxy-authorization)\s*:\s*)[^\r\n]+"
)
_LONE = r"(?:password|passwd|pgpassword|secret|token|csrftoken|sessionid|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key)"
_PAIR = re.compile(
    rf"(?i)(?P<head>(?<![a-z])(?:[a-z0-9]+[_-])*{_LONE}[\"']?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;&}}\"']+)"
)
_OPTION = re.compile(rf"(?i)(?P<head>--(?:[a-z0-9]+-)*{_LONE}\s+)\S+")


def redact(value: Any, name: str = "") -> Any:
    """The value with secrets replaced by asterisks; mappings and sequences are copied.

    Args:
        value: JSON types; anything else comes back as it is.
        name: the key under which the value stands, which may itself mark it as secret.
    """
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, name) for item in value]
    if isinstance(value, str):
        if name and _NAME.search(name):
            return HIDDEN if value else value
        return redact_text(value)
    return value


def redact_text(text: str) -> str:
    """A text with passwords in URLs and `password=...` pairs replaced by asterisks."""
    text = _HEADER.sub(lambda match: f"{match['head']}{HIDDEN}", text)
    text = _URL.sub(lambda match: f"{match['head']}{HIDDEN}@", text)
    text = _OPTION.sub(lambda match: f"{match['head']}{HIDDEN}", text)
    return _PAIR.sub(lambda match: f"{match['head']}{HIDDEN}", text)
