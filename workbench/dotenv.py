"""A `.env` file, read as the usual tools read it, without a dependency on one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.\-]*)[ \t]*=[ \t]*
    (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^\n]*))""",
    re.MULTILINE | re.VERBOSE,
)
_COMMENT = re.compile(r"(?:^|\s)\#.*$")
_REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file, in its order.

    Values may be bare (a comment after a blank is cut off), in single quotes (taken as they are) or in double quotes
    (`\\n` and its like are meant, and lines may be broken). `${NAME}` and `${NAME:-default}` are filled outside single quotes.

    Args:
        path: the file.
        environment: where `${NAME}` is looked up after the file itself.
    """
    found: dict[str, str] = {}
    # utf-8-sig: editors on Windows put a byte order mark before the first name.
    text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\r\n", "\n")

    def fill(match: re.Match[str]) -> str:
        return found.get(match["name"]) or environment.get(match["name"]) or match["default"] or ""

    for match in _LINE.finditer(text):
        if match["single"] is not None:
            value = match["single"]
        elif match["double"] is not None:
            plain = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match["double"])
            value = _REFERENCE.sub(fill, plain)
        else:
            value = _REFERENCE.sub(fill, _COMMENT.sub("", match["bare"]).strip())
        found[match["name"]] = value
    return found
