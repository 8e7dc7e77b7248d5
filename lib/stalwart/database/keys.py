"""Generated keys in a replay: an INSERT that returned values runs again with these values written in.

A sequence does not roll back, so the same INSERT would return another key, and the body holds the first one already. The
key that was seen is consumed and will not be handed out again, so it can be written explicitly, and every other column
that the database filled by its default (a time stamp, a random UUID) likewise. After a crash that loses the end of the
log a sequence can fall back behind such a key; it is then moved on before anybody meets the key a second time.

Only INSERTs with plain column names in RETURNING are rewritten: Django's own, and most written by hand. Anything else runs
as it stands, and differs if it must.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database.driver import ask

_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_]\w*)'
_HEAD = re.compile(
    rf"\s*INSERT\s+(?:OR\s+\w+\s+)?INTO\s+(?P<table>{_NAME}(?:\.{_NAME})?)\s*\((?P<columns>{_NAME}(?:\s*,\s*{_NAME})*)\)\s*",
    re.IGNORECASE,
)
RETURNING = re.compile(rf"\bRETURNING\s+(?P<names>(?:{_NAME}\.)*{_NAME}(?:\s*,\s*(?:{_NAME}\.)*{_NAME})*)\s*;?\s*\Z", re.IGNORECASE)  # fmt: skip
_UNNEST = re.compile(r"SELECT\s+\*\s+FROM\s+UNNEST\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the catalogue has it."""

    kind: str
    computed: bool
    sequence: str | None


def with_seen_values(
    connection: BaseDatabaseWrapper, sql: str, params: Any, rows: Sequence[Sequence[Any]]
) -> tuple[str, Any]:
    """An INSERT that returned `rows`, such that it returns them again; unchanged where that is not possible."""
    head, returning = _HEAD.match(sql), RETURNING.search(sql)
    if head is None or returning is None or not isinstance(params, (tuple, list, type(None))) or not rows:
        return sql, params
    given = [_plain(name) for name in _split(head["columns"])]
    returned = [_plain(_last(name)) for name in _split(returning["names"])]
    known = _columns(connection, head["table"])
    wanted = {
        name: [row[index] for row in rows]
        for index, name in enumerate(returned)
        if index < len(rows[0]) and name in known and not known[name].computed
    }
    for name, values in wanted.items():
        _advance(connection, known[name].sequence, values)
    body = sql[head.end() : returning.start()]
    unnest = _UNNEST.match(body)
    rewritten = (
        _into_unnest(body, unnest.end(), given, wanted, known)
        if unnest
        else _into_values(body, given, wanted, len(rows))
    )
    if rewritten is None:
        return sql, params
    pieces, added = rewritten
    columns = ", ".join(_quote(name) for name in [*given, *added])
    override = "OVERRIDING SYSTEM VALUE " if connection.vendor == "postgresql" else ""
    start = sql[: head.start("columns")] + columns + ") " + override
    return _join([start, *pieces, sql[returning.start() :]], params)


_Piece = str | list[Any]  # text, or values that stand in its place as new parameters


def _into_values(
    body: str, given: list[str], wanted: dict[str, list[Any]], count: int
) -> tuple[list[_Piece], list[str]] | None:
    """`VALUES (...), (...) rest` with what was seen."""
    if body[:6].upper() != "VALUES":
        return None
    tuples = list(_brackets(body, 6))
    if len(tuples) != count:  # rows were left out (ON CONFLICT DO NOTHING): whose key is whose cannot be told
        return None
    added = [name for name in wanted if name not in given]
    pieces: list[_Piece] = []
    at = 0
    for number, (begin, end) in enumerate(tuples):
        values = _split(body[begin + 1 : end])
        pieces.append(body[at : begin + 1])
        for index, (name, value) in enumerate(zip(given, values, strict=True)):
            if index:
                pieces.append(", ")
            replace = name in wanted and value.strip().upper() in ("DEFAULT", "NULL")
            pieces.append([wanted[name][number]] if replace else value)
        for name in added:
            pieces += [", ", [wanted[name][number]]]
        at = end
    pieces.append(body[at:])
    return pieces, added


def _into_unnest(
    body: str, begin: int, given: list[str], wanted: dict[str, list[Any]], known: dict[str, Column]
) -> tuple[list[_Piece], list[str]] | None:
    """`SELECT * FROM UNNEST((%s)::type[], ...) rest`, as Django writes bulk inserts."""
    _, end = next(iter(_brackets(body, begin - 1)))
    added = [name for name in wanted if name not in given]
    pieces: list[_Piece] = [body[:end]]
    for name in added:
        pieces += [", (", [wanted[name]], f")::{known[name].kind}[]"]
    return [*pieces, body[end:]], added


def _join(pieces: list[_Piece], params: Any) -> tuple[str, Any]:
    """One statement of text and new parameters; the old ones keep their places between them."""
    old = iter(params or ())
    text: list[str] = []
    values: list[Any] = []
    for piece in pieces:
        if isinstance(piece, list):
            text.append("%s")
            values += piece
        elif params is None:
            text.append(piece.replace("%", "%%"))  # it went without parameters, so nothing was a placeholder
        else:
            text.append(piece)
            values += [next(old) for _ in range(piece.replace("%%", "").count("%s"))]
    return "".join(text), (*values, *old)


def _brackets(text: str, begin: int) -> Iterator[tuple[int, int]]:
    """The brackets of `(...), (...)` from `begin` on: where each opens and closes."""
    depth, opened = 0, 0
    at = begin
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = _behind_quotes(text, at)
            continue
        if char == "(":
            opened = at if depth == 0 else opened
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                yield opened, at
        elif depth == 0 and char not in ", \t\n":
            return
        at += 1


def _split(text: str) -> list[str]:
    """Split at the commas that are in no bracket and in no quotes."""
    parts, depth, begin, at = [], 0, 0, 0
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = _behind_quotes(text, at)
            continue
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            parts.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return [*parts, text[begin:].strip()]


def _behind_quotes(text: str, at: int) -> int:
    end = text.find(text[at], at + 1)
    return len(text) if end < 0 else end + 1  # a doubled quote opens the next pair at once


def _last(name: str) -> str:
    """The last part of a dotted name."""
    return name[name.rindex('"', 0, len(name) - 1) :] if name.endswith('"') else name.rpartition(".")[2]


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _columns(connection: BaseDatabaseWrapper, table: str) -> dict[str, Column]:
    if connection.vendor == "postgresql":
        rows = ask(
            connection,
            "SELECT attname, format_type(atttypid, NULL), attgenerated <> '', pg_get_serial_sequence(%s, attname) "
            "FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            table,
            table,
        )
        return {row[0]: Column(*row[1:]) for row in rows}
    rows = ask(connection, "SELECT name, type, hidden FROM pragma_table_xinfo(%s)", _plain(_last(table)))
    return {name: Column(kind, hidden in (2, 3), None) for name, kind, hidden in rows}


def _advance(connection: BaseDatabaseWrapper, sequence: str | None, values: Sequence[Any]) -> None:
    """Move a sequence up to the highest key that was seen. Only forwards, so that concurrent users do no harm."""
    keys = [value for value in values if isinstance(value, int)]
    if sequence is None or not keys:
        return
    [(last,)] = ask(connection, "SELECT coalesce(pg_sequence_last_value(%s::regclass), 0)", sequence)
    if max(keys) > last:
        ask(
            connection,
            "SELECT max(nextval(%s::regclass)) FROM generate_series(1, %s)",
            sequence,
            max(keys) - last,
        )
