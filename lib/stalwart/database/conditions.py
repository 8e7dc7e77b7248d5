"""The conditions of a plan's node, read from the text in which PostgreSQL writes them, after its values were taken out.

What is not understood is left out: a suggestion that is not made does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_VALUE = r"(?:'[^']*'|\?|\$\d+|ANY \('[^']*'::[\w \[\]]+\))(?:::[\w ]+(?:\([?\d, ]+\))?(?:\[\])?)?"
_COMPARED = re.compile(
    rf"^(?P<left>.+?) (?P<operator>=|<=?|>=?|<>|!?~~\*?|@@) (?P<right>\(?{_VALUE}\)?)$", re.DOTALL
)
_NAME = r'(?:[^\W\d][\w$]*|"(?:[^"]|"")+")'
_COLUMN = re.compile(rf"^(?:{_NAME}\.)?(?P<column>{_NAME})$")
_CAST = re.compile(r"::(?:text|character varying|bpchar|numeric)$")
_NOT_COLUMNS = frozenset(
    {"from", "at", "time", "zone", "and", "or", "not", "case", "when", "then", "else", "end", "is"}
)
_EQUATED = re.compile(
    rf"(?P<one>{_NAME})\.(?P<first>{_NAME})\)?(?:::\w+)? = \(?(?P<two>{_NAME})\.(?P<second>{_NAME})"
)
_DIRECTION = re.compile(r"(?: DESC| ASC| NULLS FIRST| NULLS LAST| COLLATE \"[^\"]+\"| USING \S+)+$")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of something with a value.

    Attributes:
        left: the expression that is compared, as the server writes it, without outer brackets.
        columns: named in it.
        operator: as "=" or "~~" (LIKE).
        computed: it is more than a column.
        pattern_open: it is a LIKE whose pattern begins with a percent sign.
    """

    left: str
    columns: tuple[str, ...]
    operator: str
    computed: bool
    pattern_open: bool

    @property
    def equal(self) -> bool:
        return self.operator == "="


def conditions(text: str) -> list[Condition]:
    """The comparisons that all must hold; none where they are joined by OR."""
    return [one for part in _parts(text) if (one := _condition(part)) is not None]


def equated(text: str, alias: str) -> tuple[str, ...]:
    """The columns of one table that a join's condition sets equal to another's."""
    found = []
    for match in _EQUATED.finditer(text):
        for table, column in ((match["one"], match["first"]), (match["two"], match["second"])):
            if table.strip('"') == alias.strip('"'):
                found.append(column.strip('"'))
    return tuple(dict.fromkeys(found))


def sort_columns(keys: Iterable[object]) -> tuple[str, ...]:
    """The columns of a sort's keys; none where one of them is computed."""
    found = []
    for key in keys:
        match = _COLUMN.match(_inside(_DIRECTION.sub("", str(key))))
        if match is None:
            return ()
        found.append(match["column"].strip('"'))
    return tuple(found)


def _parts(text: str) -> list[str]:
    """Splits "((a) AND (b))" into its parts; the brackets tell which AND is whose."""
    text = _inside(text)
    parts, depth, start, quoted = [], 0, 0, ""
    for position, sign in enumerate(text):
        if quoted:
            quoted = "" if sign == quoted else quoted
        elif sign in "'\"":
            quoted = sign
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif depth == 0 and text.startswith(" OR ", position):
            return []
        elif depth == 0 and text.startswith(" AND ", position):
            parts.append(text[start:position])
            start = position + 5
    return [*parts, text[start:]] if text else []


def _condition(part: str) -> Condition | None:
    match = _COMPARED.match(_inside(part))
    if match is None or match["operator"] in ("<>", "!~~", "!~~*", "@@"):
        return None
    left = _inside(match["left"])
    if left.count("(") != left.count(")") or " OR " in left or " AND " in left:
        return None  # the comparison is only the last part of it
    column = _COLUMN.match(_inside(_CAST.sub("", left)))
    like = match["operator"].startswith("~~")
    pattern_open = like and match["right"].lstrip("(").startswith("'%")
    if column is not None:
        names: tuple[str, ...] = (column["column"].strip('"'),)
    else:
        names = _columns_in(left)
    if not names:
        return None
    # A pattern with a beginning is a range for a B-tree (text_pattern_ops).
    return Condition(left, names, match["operator"], column is None, pattern_open)


def _columns_in(expression: str) -> tuple[str, ...]:
    """Names in an expression that are neither called, nor types, nor words of the language."""
    found = []
    bare = re.sub(r"::[\w ]+|'[^']*'", "", expression)
    for match in re.finditer(rf"(?:{_NAME}\.)?({_NAME})(?P<call>\()?", bare):
        name = match[1]
        before = bare[: match.start()].rstrip().rpartition("(")[2]
        unit = before == "" and bare[match.end() :].startswith(" FROM ")
        if match["call"] is None and name.lower() not in _NOT_COLUMNS and not unit:
            found.append(name.strip('"'))
    return tuple(dict.fromkeys(found))


def _inside(text: str) -> str:
    """Without the brackets that hold all of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for position, sign in enumerate(text):
            depth += (sign == "(") - (sign == ")")
            if depth == 0 and position < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text
