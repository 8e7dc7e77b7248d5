"""A statement's fingerprint: its text without values and layout, and a short hash of that.

Two runs of one line of code give one fingerprint, whatever the values and however long its IN list. What is in quotes or is
a number goes, whether it is a literal or stands for a parameter, so the text may be logged and shown. Names in quotes stay
as they are; words fold to one case; comments, white space, the names of savepoints, the further items of lists and the
further rows of VALUES go.

Nothing but the standard library is needed. Nothing is ever raised, and the time grows with the length of the text, which is
read up to `LONGEST_READ` characters: an unfinished literal, as the cut may leave one, is a value to its end.

The rules follow PostgreSQL's lexer (dollar quotes, E'', nested comments, casts); what SQLite and MySQL add to them
(backticks, `:name`, `@name`) is understood too. In MySQL a backslash escapes in every literal, and double quotes make one:
say so with `mysql=True`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from stalwart.database.sql_text import assemble

__all__ = ["LONGEST_READ", "LONGEST_TEXT", "VERSION", "Fingerprint", "fingerprint"]

#: Goes into the hash: other rules, other hashes.
VERSION = b"stalwart-1"
#: Characters of a statement that are read.
LONGEST_READ = 65_536
#: Characters of the text that is kept; the hash is of the whole.
LONGEST_TEXT = 2_000

_LONGEST_CACHED = 8_000
_CACHED = 1_024
_UTF8 = "utf-8"
# Long lists as Django writes them, shortened by the regex engine before they are read word by word.
_LONG_LIST = re.compile(r"\bIN \((?:%s|-?\d++)(?:, (?:%s|-?\d++))++\)")
_MANY_ROWS = re.compile(r"\bVALUES (\((?:%s, )*+%s\))(?:, \1)++")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a statement is, without its values.

    Attributes:
        hash: 16 hexadecimal digits; the same in every process and on every machine.
        text: the statement without values, at most `LONGEST_TEXT` characters; a longer one ends in "…".
    """

    hash: str
    text: str


def fingerprint(sql: object, *, mysql: bool = False) -> Fingerprint:
    """The fingerprint of a statement.

    Costs about 0.2 µs for a text that was seen lately, else some tenths of a µs for each word of it.

    Args:
        sql: a text, bytes, or an object whose `str()` is read; where that fails, the name of its type is.
        mysql: read literals as MySQL does.
    """
    if type(sql) is str and len(sql) <= _LONGEST_CACHED:
        return _remembered(sql, mysql)
    return _made(_text(sql), mysql)


def _text(sql: object) -> str:
    try:
        if isinstance(sql, bytes | bytearray):
            return sql[:LONGEST_READ].decode(_UTF8, "replace")
        return str(sql)
    except Exception:  # noqa: BLE001  somebody's __str__: there must be an answer whatever it does
        return type(sql).__name__


def _made(sql: str, mysql: bool) -> Fingerprint:
    if " IN (" in sql:
        sql = _LONG_LIST.sub("IN (%s)", sql)
    if "), (" in sql:
        sql = _MANY_ROWS.sub(r"VALUES \1", sql)
    whole, shown = assemble(sql[:LONGEST_READ], LONGEST_TEXT, mysql=mysql)
    digest = blake2b(whole.encode(_UTF8, "surrogatepass"), digest_size=8, person=VERSION)
    return Fingerprint(digest.hexdigest(), shown)


_remembered = lru_cache(maxsize=_CACHED)(_made)
