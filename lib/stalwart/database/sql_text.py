"""Takes a statement apart into words and values and puts it together again without the values; see `fingerprint`.

One pass and one pattern without backtracking (possessive quantifiers), so that no text takes more than its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

#: Stands for a value, the name of a savepoint, or a literal that nobody ended.
VALUE = "?"
CUT = "…"

_NAME = r'"(?:[^"]++|"")*+"(?:\."(?:[^"]++|"")*+")*+'
_BACKTICKS = "`(?:[^`]++|``)*+`"
_LITERAL = r"'(?:[^']++|'')*+(?:'|\Z)"
_MYSQL_LITERAL = r"""(?:'(?:[^'\\]++|''|\\(?:.|\Z))*+(?:'|\Z)|"(?:[^"\\]++|""|\\(?:.|\Z))*+(?:"|\Z))"""


@cache
def _lexer(mysql: bool) -> re.Pattern[str]:
    # Made at the first statement: compiling takes some milliseconds, which an application that is never slow need not pay.
    if mysql:
        names, literal, comment = _BACKTICKS, _MYSQL_LITERAL, r"(?:--|\#)"
    else:
        # The columns of a SELECT are taken up to sixteen at once, for speed.
        names, literal, comment = f"{_NAME}(?:,[ ]{_NAME}){{0,15}}+|{_BACKTICKS}", _LITERAL, "--"
    return re.compile(
        rf"""
            ( {names} )                                                              # 1: a name in quotes, or some of them
          | ( \s++ | {comment}[^\n]*+ )                                              # 2: nothing
          | ( %s | %\(\w*+\)s | \$\d++ | \?\d*+ | :[A-Za-z_]\w*+ | @[A-Za-z_]\w*+  # 3: a value
            | (?:[bBxXnN]|[uU]&)? {literal}
            | [eE] '(?:[^'\\]++|''|\\(?:.|\Z))*+ (?:'|\Z)
            | (?:\d[\w.]*+|\.\d\w*+) (?:(?<=[eE])[+-]\d++)?+ )
          | ( [^\W\d][\w$]*+ )                                                     # 4: a word
          | ( \$(?:[^\W\d]\w*+)?\$ )                                               # 5: a dollar quote opens
          | ( /\* )                                                                # 6: a comment opens
          | :: | := | => | ->>? | \#>>? | \#- | <=>? | >= | != | <> | <-> | <@ | @> | @@ | \|\| | && | << | >>
          | !?~~?\*? | == | %% | .                                                 # an operator, or a sign alone
        """,
        re.VERBOSE | re.DOTALL,
    )


_COMMENT = re.compile(r"/\*|\*/")

_KEYWORDS = frozenset(
    {
        "ALL", "ALTER", "ANALYZE", "AND", "ANY", "ARRAY", "AS", "ASC", "BEGIN", "BETWEEN", "BY", "CASCADE", "CASE",
        "CAST", "COMMIT", "CONFLICT", "CONSTRAINT", "CREATE", "CROSS", "CURRENT", "DECLARE", "DEFAULT", "DEFERRABLE",
        "DELETE", "DESC", "DISTINCT", "DO", "DROP", "ELSE", "END", "ESCAPE", "EXCEPT", "EXISTS", "EXPLAIN", "EXTRACT",
        "FALSE", "FETCH", "FILTER", "FIRST", "FOLLOWING", "FOR", "FROM", "FULL", "GROUP", "HAVING", "ILIKE", "IN",
        "INDEX", "INNER", "INSERT", "INTERSECT", "INTERVAL", "INTO", "IS", "ISNULL", "JOIN", "KEY", "LAST", "LATERAL",
        "LEFT", "LIKE", "LIMIT", "LOCAL", "LOCK", "LOCKED", "MATERIALIZED", "MERGE", "NATURAL", "NO", "NOT", "NOTHING",
        "NOTNULL", "NOWAIT", "NULL", "NULLS", "OF", "OFFSET", "ON", "ONLY", "OR", "ORDER", "OUTER", "OVER", "PARTITION",
        "PRECEDING", "PREPARE", "PRIMARY", "RANGE", "RECURSIVE", "RELEASE", "RETURNING", "RIGHT", "ROLLBACK", "ROW",
        "ROWS", "SAVEPOINT", "SELECT", "SET", "SHARE", "SIMILAR", "SKIP", "SOME", "START", "TABLE", "THEN", "TO",
        "TRANSACTION", "TRUE", "TRUNCATE", "UNBOUNDED", "UNION", "UNIQUE", "UPDATE", "USING", "VALUES", "VIEW", "WHEN",
        "WHERE", "WINDOW", "WITH", "WITHIN", "WORK"
    }
)  # fmt: skip
_WORDS_THAT_ARE_VALUES = frozenset({"NULL", "TRUE", "FALSE", "DEFAULT"})
# After these a minus sign belongs to the number that follows.
_BEFORE_A_SIGN = _KEYWORDS - {"ALL", "END", "FALSE", "NULL", "TRUE", "DEFAULT", "CURRENT", "KEY"}
_NO_SPACE_BEFORE = frozenset({",", ")", "]", ";", ".", "::", "["})
_NO_SPACE_AFTER = frozenset({"(", "[", ".", "::"})
_CLOSING = frozenset({")", "]"})


def assemble(sql: str, longest: int, *, mysql: bool = False) -> tuple[str, str]:
    """A statement without its values.

    Args:
        sql: its text.
        longest: characters of the shown text.
        mysql: literals as MySQL reads them.

    Returns:
        The whole text, and as much of it as may be shown, cut between two words.
    """
    builder = _Builder()
    match = _lexer(mysql).match
    position, end = 0, len(sql)
    while position < end:
        found = match(sql, position)
        assert found is not None  # the last alternative takes any sign
        position = found.end()
        group = found.lastindex
        if group == 2:
            continue
        if group == 1:
            builder.name(found.group())
        elif group == 3:
            builder.value()
        elif group == 4:
            builder.word(found.group())
        elif group == 5:
            closing = sql.find(found.group(), position)
            position = end if closing < 0 else closing + len(found.group())
            builder.value()
        elif group == 6:
            position = _after_comment(sql, position)
        else:
            sign = found.group()
            if sign in ('"', "`"):  # nobody ended it: what follows may be anything
                builder.value()
                break
            builder.sign(sign)
    builder.end()
    return _joined(builder.out, longest)


def statements_in(sql: str) -> list[str]:
    """The statements of a text, one for each, without comments and without what their literals hold."""
    match = _lexer(False).match
    found: list[list[str]] = [[]]
    position, end = 0, len(sql)
    while position < end:
        token = match(sql, position)
        assert token is not None  # as in `assemble`
        position, group, text = token.end(), token.lastindex, token.group()
        if group == 2:
            text = " "
        elif group == 3:
            text = VALUE
        elif group == 5:
            closing = sql.find(text, position)
            position = end if closing < 0 else closing + len(text)
            text = VALUE
        elif group == 6:
            position = _after_comment(sql, position)
            text = " "
        elif text == ";":
            found.append([])
            continue
        found[-1].append(text)
    return [text for each in found if (text := "".join(each).strip())]


def _after_comment(sql: str, position: int) -> int:
    depth = 1
    for mark in _COMMENT.finditer(sql, position):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return len(sql)


@dataclass(slots=True)
class _Level:
    """What is known between two brackets.

    Attributes:
        item: where in the output the present item of a list begins; -1 where no list is.
        last: where its predecessor begins and ends.
        named: the present item holds a name in quotes, so it is not one of many alike.
        rows: the list is that of VALUES, which no bracket ends.
        values: NULL and its like are values here.
    """

    item: int = -1
    last: tuple[int, int] | None = None
    named: bool = False
    rows: bool = False
    values: bool = False


class _Builder:
    """The output, word by word, in which an item of a list that repeats its predecessor is taken back."""

    __slots__ = ("level", "levels", "out")

    def __init__(self) -> None:
        self.out: list[str] = []
        self.level = _Level()
        self.levels: list[_Level] = []

    def name(self, text: str) -> None:
        if self._names_savepoint():
            text = VALUE
        self._leave_rows()
        self.level.named = True
        self.out.append(text)

    def value(self) -> None:
        self._leave_rows()
        out = self.out
        while out and out[-1] in ("-", "+") and (len(out) < 2 or _takes_sign(out[-2])):
            out.pop()
        out.append(VALUE)

    def word(self, text: str) -> None:
        upper = text.upper() if text.isascii() else text
        if upper not in _KEYWORDS:
            if self._names_savepoint():
                self.out.append(VALUE)
                return
            self._leave_rows()
            self.out.append(text.lower() if text.isascii() else text)
            return
        if upper in _WORDS_THAT_ARE_VALUES and self.level.values:
            self.value()
            return
        self._leave_rows()
        self.out.append(upper)
        if upper == "VALUES":
            level = self.level
            level.item, level.last, level.rows, level.named = len(self.out), None, True, False

    def sign(self, text: str) -> None:
        out, level = self.out, self.level
        if text in ("(", "["):
            if text == "[":
                self._leave_rows()
            before = out[-1] if out else ""
            # A row keeps its width; only its values are told from names.
            listed = before == "IN" if text == "(" else before == "ARRAY"
            values = listed or level.item >= 0
            out.append(text)
            self.levels.append(level)
            self.level = _Level(len(out) if listed else -1, values=values)
        elif text in _CLOSING:
            self._end_item()
            inner = level.named
            if self.levels:
                self.level = self.levels.pop()
                self.level.named = self.level.named or inner
            out.append(text)
        elif text == "," and level.item >= 0:
            self._end_item()
            out.append(text)
            level.item, level.named = len(out), False
        else:
            self._leave_rows()
            out.append(text)

    def end(self) -> None:
        """The text is over."""
        self._leave_rows()

    def _end_item(self) -> None:
        level, out = self.level, self.out
        if level.item < 0:
            return
        begin, end = level.item, len(out)
        if level.last is not None and not level.named:
            first, last = level.last
            if last - first == end - begin and out[first:last] == out[begin:end]:
                del out[begin - 1 :]  # with the comma before it
                return
        level.last = (begin, end)

    def _leave_rows(self) -> None:
        """Anything but brackets and commas ends a VALUES list."""
        level = self.level
        if level.rows:
            self._end_item()
            level.item, level.last, level.rows = -1, None, False

    def _names_savepoint(self) -> bool:
        out = self.out
        if not out or len(out) > 3:
            return False
        return out[-1] == "SAVEPOINT" or out == ["RELEASE"] or (out[0] == "ROLLBACK" and out[-1] == "TO")


def _takes_sign(before: str) -> bool:
    """Whether a minus sign after this is that of a number, and not a subtraction."""
    if before == VALUE or before in _CLOSING or before[0] in '"`':
        return False
    return before in _BEFORE_A_SIGN if before[0].isalpha() or before[0] == "_" else True


def _joined(words: list[str], longest: int) -> tuple[str, str]:
    parts: list[str] = []
    length, kept = 0, -1
    before = "("
    for word in words:
        if before in _NO_SPACE_AFTER or word in _NO_SPACE_BEFORE:
            spaced = word == CUT and bool(parts)
        else:
            # A bracket after a name that is no keyword is a call.
            spaced = word != "(" or before in _KEYWORDS or not (before[0].isalpha() or before[0] == "_")
        part = f" {word}" if spaced else word
        length += len(part)
        if kept < 0 and length > longest - 2:
            kept = len(parts)
        parts.append(part)
        before = word
    whole = "".join(parts)
    if length <= longest:
        return whole, whole
    return whole, "".join(parts[:kept]) + f" {CUT}"
