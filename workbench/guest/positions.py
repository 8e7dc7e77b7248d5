"""Which piece of a source file an instruction stands for: its lines and columns, from Python 3.11 on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

from workbench.guest import sites

_codes: dict[str, list[CodeType]] = {}


def spans(places: Sequence[Mapping[str, Any]]) -> list[list[int] | None]:
    """Of each place, first line, last line, first column and last column (bytes of UTF-8, as `ast` counts).

    The file is compiled again by the interpreter that runs it, so that the offset of an instruction means the same. None
    where that cannot be told: before Python 3.11, without debug ranges, a file that has changed since, or one that is no
    Python; and where two codes of one name and line have instructions at that offset.
    """
    return [_span(place) for place in places]


def _span(place: Mapping[str, Any]) -> list[int] | None:
    file, lasti = str(place["file"]), int(place["lasti"])
    if lasti < 0:
        return None
    found: set[tuple[int, int, int, int]] = set()
    for code in _compiled(os.path.join(sites.root(), file)):
        positions_of = getattr(code, "co_positions", None)
        if code.co_name != place["function"] or positions_of is None:
            continue
        positions = list(positions_of())
        if lasti // 2 < len(positions):
            line, last, first_column, last_column = positions[lasti // 2]
            if line == place["line"] and None not in (last, first_column, last_column):
                found.add((line, last, first_column, last_column))
    return list(found.pop()) if len(found) == 1 else None


def _compiled(path: str) -> list[CodeType]:
    known = _codes.get(path)
    if known is None:
        try:
            with open(path, "rb") as file:
                known = list(_all(compile(file.read(), path, "exec", dont_inherit=True)))
        except (OSError, SyntaxError, ValueError):
            known = []
        _codes[path] = known
    return known


def _all(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all(constant)
