"""Which part of a body costs its bytes: each is left out in turn, and the rest coded again.

The bytes of a part before coding say little: a key that is the same in every row is long and costs nothing. What counts is by
how much the coded body shrinks without it. Parts share what they have in common, so the shares need not add up to one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.profile.sizes import codings

#: The parts with the most bytes are looked at, so many.
MOST = 40
Path = tuple[str, ...]
_FLAGS = re.DOTALL | re.IGNORECASE
TOOLBAR = re.compile(
    r'<(?:div|link|script)\b[^<>]{1,500}(?:id="djDebug"|djdt|debug_toolbar).*?(?=</body>|\Z)', _FLAGS
)


def elements(tag: str, attributes: str = "[^>]*") -> re.Pattern[str]:
    """Matches an element up to its end, or up to the next of its kind where HTML lets the end be left out."""
    # Written so that a page of unclosed elements is read once, and not once for each.
    return re.compile(rf"<{tag}\b{attributes}>(?:(?!</?{tag}\b).)*(?:</{tag}\s*>)?", _FLAGS)


_HTML_PARTS: dict[str, re.Pattern[str]] = {
    "debug toolbar": TOOLBAR,
    "data: addresses": re.compile(r"""data:[\w/+.\-]+;base64,[A-Za-z0-9+/=]+"""),
    "inline scripts": elements("script", r"(?![^>]*\bsrc=)[^>]*"),
    "inline styles": elements("style"),
    "style attributes": re.compile(r"\sstyle=\"[^\"]*\"", _FLAGS),
    "inline SVG": elements("svg"),
    "comments": re.compile(r"<!--(?!\[if)(?:(?!<!--|-->).)*-->", _FLAGS),
    "indentation and blank lines": re.compile(r"(?<=\n)[ \t]+|\n(?=\s*\n)"),
    "class attributes": re.compile(r"\sclass=\"[^\"]*\"", _FLAGS),
    "addresses": re.compile(r"\s(?:href|src|srcset|action)=\"(?!data:)[^\"]*\"", _FLAGS),
    "table rows": elements("tr"),
    "list items": elements("li"),
    "options": elements("option"),
    "hidden fields": re.compile(r"<input\b[^>]*type=\"hidden\"[^>]*>", _FLAGS),
}


@dataclass(frozen=True)
class Part:
    """One part of a body.

    Attributes:
        name: of a JSON body the path to a key, as "results[].price", of a page a word for it.
        count: how often it is there.
        bytes: before coding.
        coded: bytes by which the coded body shrinks without it.
        share: these of the whole coded body.
    """

    name: str
    count: int
    bytes: int
    coded: int
    share: float


def of_json(document: Any) -> tuple[Part, ...]:
    """The keys of a JSON document, the dearest first."""
    whole = codings.usual(dumped(document))
    counts: Counter[Path] = Counter()
    sizes: Counter[Path] = Counter()
    for path, key, value in _keys(document, ()):
        counts[path] += 1
        sizes[path] += len(json.dumps(key)) + 2 + len(dumped(value))
    found = [
        _part(_named(path), counts[path], size, whole, dumped(_without(document, path)))
        for path, size in sizes.most_common(MOST)
    ]
    return tuple(sorted(found, key=lambda part: -part.coded))


def of_html(text: str) -> tuple[Part, ...]:
    """The kinds of things in a page that cost something, the dearest first."""
    whole = codings.usual(text.encode())
    found = []
    for name, pattern in _HTML_PARTS.items():
        pieces = [match.group() for match in pattern.finditer(text)]
        if pieces:
            size = sum(len(piece.encode()) for piece in pieces)
            found.append(_part(name, len(pieces), size, whole, pattern.sub("", text).encode()))
    return tuple(sorted(found, key=lambda part: -part.coded))


def dumped(document: Any) -> bytes:
    """In the shortest form that means the same."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _part(name: str, count: int, size: int, whole: int, rest: bytes) -> Part:
    saved = whole - codings.usual(rest)
    return Part(name, count, size, saved, saved / whole if whole else 0.0)


def _keys(value: Any, path: Path) -> Iterator[tuple[Path, str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield (*path, f".{key}"), key, one
            yield from _keys(one, (*path, f".{key}"))
    elif isinstance(value, list):
        for one in value:
            yield from _keys(one, (*path, "[]"))


def _without(value: Any, path: Path) -> Any:
    step, rest = path[0], path[1:]
    if step == "[]":
        return [_without(one, rest) for one in value] if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    if rest:
        return {key: _without(one, rest) if f".{key}" == step else one for key, one in value.items()}
    return {key: one for key, one in value.items() if f".{key}" != step}


def _named(path: Path) -> str:
    return "".join(path).removeprefix(".")
