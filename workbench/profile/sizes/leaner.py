"""Leaner forms of a body: each is made, coded and compared. None of them is applied to anything.

Some keep the meaning to the last bit (compact JSON); others change what a client reads (rounding, dropped nulls, columns, a page),
and say so: whether that is allowed only the project knows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from workbench.profile.sizes import codings, network, parts
from workbench.profile.sizes.parts import dumped

#: Digits after the point that a reader of prices, shares and coordinates can use.
DIGITS = 4
#: A float with more digits than these after its point was not rounded by anybody.
UNROUNDED = 6
#: Rows from which on a list is long, and those of a page of it.
LONG, PAGE = 100, 50
#: Rows from which on columns are worth a look.
ROWS = 20
#: A string of so many base64 characters is a file; an object of so many bytes is worth naming once.
ENCODED, OBJECT = 400, 60
_BASE64 = re.compile(rf"(?:data:[\w/+.\-]+;base64,)?[A-Za-z0-9+/\s_\-]{{{ENCODED},}}={{0,2}}")
_DATA = re.compile(rf"data:[\w/+.\-]+;base64,[A-Za-z0-9+/=]{{{ENCODED},}}")
# Each stops where the next of its kind begins, so that a page of unclosed tags is read once and not for each of them.
_SCRIPT = re.compile(
    r"(<script\b(?![^>]*\bsrc=)(?![^>]*json)[^>]*>)(?:(?!</?script\b).){1000,}(</script>)",
    re.DOTALL | re.IGNORECASE,
)
_STYLE = re.compile(r"<style\b[^>]*>(?:(?!</?style\b).){1000,}</style>", re.DOTALL | re.IGNORECASE)
_KEPT = re.compile(
    r"(<(?:pre|textarea|script|style)\b(?:(?!<(?:pre|textarea|script|style)\b|</(?:pre|textarea|script|style)).)*</(?:pre|textarea|script|style)\s*>)",
    re.DOTALL | re.IGNORECASE,
)
_COMMENT = re.compile(r"<!--(?!\[if)(?:(?!<!--|-->).)*-->", re.DOTALL)
_LINK = "/files/0"


@dataclass(frozen=True)
class Leaner:
    """One form, and what it gains.

    Attributes:
        kind: "compact", "rounded", "without-nulls", "constants-once", "objects-once", "columns", "page", "files", "toolbar",
            "inline-code" or "whitespace".
        text: what was done, with figures.
        same: it means the same to every client.
        bytes, coded: of the body then, before and after coding.
        saved: coded bytes less than before.
        trips: round trips of a fresh connection less than before.
    """

    kind: str
    text: str
    same: bool
    bytes: int
    coded: int
    saved: int
    trips: int

    @property
    def pays(self) -> bool:
        """Whether a reader notices: a round trip less, or a twentieth of the bytes and a packet's worth of them."""
        before = self.coded + self.saved
        return self.trips > 0 or (self.saved >= 0.05 * before and self.saved >= 1460)


def of_json(body: bytes, document: Any) -> tuple[Leaner, ...]:
    """Forms of a JSON body that gain something, the best first."""
    shortest = dumped(document)
    # What a form loses in spaces is not its own merit.
    before = codings.usual(shortest)
    found = [
        _leaner(kind, text, same=False, body=dumped(form), before=before)
        for kind, make in _JSON_FORMS
        if (made := make(document)) is not None
        for text, form in (made,)
    ]
    if len(shortest) < 0.97 * len(body):
        text = "without the spaces between its signs"
        found.append(_leaner("compact", text, same=True, body=shortest, before=codings.usual(body)))
    return _best(found)


def of_html(text: str) -> tuple[Leaner, ...]:
    """Forms of a page that gain something, the best first."""
    before = codings.usual(text.encode())
    found = [
        _leaner(kind, told, same=same, body=made.encode(), before=before)
        for kind, same, make in _HTML_FORMS
        if (result := make(text)) is not None
        for told, made in (result,)
    ]
    return _best(found)


def _leaner(kind: str, text: str, *, same: bool, body: bytes, before: int) -> Leaner:
    coded = codings.usual(body)
    trips = network.round_trips(before) - network.round_trips(coded)
    return Leaner(kind, text, same, len(body), coded, before - coded, trips)


def _best(found: list[Leaner]) -> tuple[Leaner, ...]:
    return tuple(sorted((one for one in found if one.saved > 0), key=lambda one: -one.saved))


Made = tuple[str, Any] | None


def _rounded(document: Any) -> Made:
    count = 0

    def shorten(value: float) -> float:
        nonlocal count
        if len(repr(value).partition(".")[2]) <= UNROUNDED or "e" in repr(value):
            return value
        count += 1
        return round(value, DIGITS)

    form = _mapped(document, float, shorten)
    return (f"{count:,} numbers rounded to {DIGITS} digits after the point", form) if count else None


def _without_nulls(document: Any) -> Made:
    count = 0

    def strip(value: Any) -> Any:
        nonlocal count
        if isinstance(value, dict):
            kept = {key: strip(one) for key, one in value.items() if one is not None}
            count += len(value) - len(kept)
            return kept
        return [strip(one) for one in value] if isinstance(value, list) else value

    form = strip(document)
    return (f"without {count:,} keys whose value is null", form) if count else None


def _constants(document: Any) -> Made:
    keys: list[str] = []

    def hoist(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hoist(one) for key, one in value.items()}
        if not isinstance(value, list):
            return value
        rows = [hoist(one) for one in value]
        if len(rows) < ROWS or not all(isinstance(row, dict) for row in rows):
            return rows
        same = {
            key: one
            for key, one in rows[0].items()
            if not isinstance(one, (dict, list)) and all(key in row and row[key] == one for row in rows)
        }
        if not same:
            return rows
        keys.extend(same)
        return {
            "all": same,
            "rows": [{key: one for key, one in row.items() if key not in same} for row in rows],
        }

    form = hoist(document)
    return (f"{_listed(keys)}, the same in every row, once", form) if keys else None


def _objects(document: Any) -> Made:
    counts: Counter[bytes] = Counter()
    for value in _objects_in(document):
        counts[dumped(value)] += 1
    often = {
        text: number
        for number, text in enumerate(
            one for one, count in counts.items() if count >= 3 and len(one) >= OBJECT
        )
    }
    if not often:
        return None

    def name(value: Any, *, top: bool = True) -> Any:
        if isinstance(value, dict):
            number = None if top else often.get(dumped(value))
            return number if number is not None else {key: name(one, top=False) for key, one in value.items()}
        return [name(one, top=False) for one in value] if isinstance(value, list) else value

    table = [json.loads(text) for text in often]
    times = sum(counts[text] for text in often)
    return f"{len(often):,} objects that are there {times:,} times, once, and their number elsewhere", {
        "objects": table,
        "body": name(document),
    }


def _columns(document: Any) -> Made:
    lists = 0

    def turn(value: Any) -> Any:
        nonlocal lists
        if isinstance(value, dict):
            return {key: turn(one) for key, one in value.items()}
        if not isinstance(value, list):
            return value
        if len(value) >= ROWS and all(
            isinstance(row, dict) and row.keys() == value[0].keys() for row in value
        ):
            lists += 1
            return {key: [turn(row[key]) for row in value] for key in value[0]}
        return [turn(one) for one in value]

    form = turn(document)
    return (f"{_times(lists, 'list')} of rows as lists of columns", form) if lists else None


def _page(document: Any) -> Made:
    longest = 0

    def cut(value: Any) -> Any:
        nonlocal longest
        if isinstance(value, dict):
            return {key: cut(one) for key, one in value.items()}
        if not isinstance(value, list):
            return value
        if len(value) >= LONG and isinstance(value[0], (dict, list)):
            longest = max(longest, len(value))
            value = value[:PAGE]
        return [cut(one) for one in value]

    form = cut(document)
    return (f"the first {PAGE} rows of at most {longest:,}", form) if longest else None


def _files(document: Any) -> Made:
    count = 0

    def move(value: str) -> str:
        nonlocal count
        if len(value) < ENCODED or not _BASE64.fullmatch(value) or " " in value.strip():
            return value
        count += 1
        return _LINK

    form = _mapped(document, str, move)
    return (f"{_times(count, 'file')} in base64 at an address of their own", form) if count else None


def _html_files(text: str) -> tuple[str, str] | None:
    form, count = _DATA.subn(_LINK, text)
    return (f"{_times(count, 'file')} in base64 at an address of their own", form) if count else None


def _inline(text: str) -> tuple[str, str] | None:
    form, scripts = _SCRIPT.subn(rf'<script src="{_LINK}">\2', text)
    form, styles = _STYLE.subn(f'<link rel="stylesheet" href="{_LINK}">', form)
    told = " and ".join(
        _times(count, what) for count, what in ((scripts, "script"), (styles, "style sheet")) if count
    )
    return (f"{told} in files, which a browser keeps", form) if told else None


def _toolbar(text: str) -> tuple[str, str] | None:
    form = parts.TOOLBAR.sub("", text)
    return ("without the debug toolbar", form) if form != text else None


def _whitespace(text: str) -> tuple[str, str] | None:
    # What is split by stands at every second place, and is kept as it is.
    made = "".join(
        piece if place % 2 else re.sub(r"\s+", " ", _COMMENT.sub("", piece))
        for place, piece in enumerate(_KEPT.split(text))
    )
    return ("one space for each run of white space, no comments", made) if len(made) < len(text) else None


def _html_page(text: str) -> tuple[str, str] | None:
    for tag in ("tr", "li", "article"):
        rows = list(parts.elements(tag).finditer(text))
        if len(rows) >= LONG:
            pieces, last = [], 0
            for row in rows[PAGE:]:
                pieces.append(text[last : row.start()])
                last = row.end()
            return f"the first {PAGE} of {len(rows):,} <{tag}>", "".join([*pieces, text[last:]])
    return None


_JSON_FORMS: tuple[tuple[str, Callable[[Any], Made]], ...] = (
    ("rounded", _rounded),
    ("without-nulls", _without_nulls),
    ("constants-once", _constants),
    ("objects-once", _objects),
    ("columns", _columns),
    ("page", _page),
    ("files", _files),
)
_HTML_FORMS: tuple[tuple[str, bool, Callable[[str], tuple[str, str] | None]], ...] = (
    ("toolbar", True, _toolbar),
    ("files", True, _html_files),
    ("inline-code", True, _inline),
    ("whitespace", True, _whitespace),
    ("page", False, _html_page),
)


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(one, kind, change) for key, one in value.items()}
    if isinstance(value, list):
        return [_mapped(one, kind, change) for one in value]
    return change(value) if isinstance(value, kind) else value


def _objects_in(value: Any) -> Iterator[dict[str, Any]]:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in below:
        if isinstance(one, dict):
            yield one
        yield from _objects_in(one)


def _listed(keys: list[str]) -> str:
    shown = list(dict.fromkeys(keys))
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def _times(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
