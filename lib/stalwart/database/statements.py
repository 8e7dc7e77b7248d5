"""What a statement means for a transaction that may have to be replayed, read from its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from stalwart.database.keys import RETURNING
from stalwart.database.sql_text import statements_in
from stalwart.database.watch import first_word, reads_only

OWN_COMMAND = "a transaction command of its own"

# Whatever these change belongs to the session, or reaches others before the commit; a new session has lost it, and doing
# it again would do it twice.
_UNREPLAYABLE = {
    "COPY": "COPY, whose data passes outside the statement",
    "LISTEN": "LISTEN, which belongs to the session",
    "UNLISTEN": "UNLISTEN, which belongs to the session",
    "NOTIFY": "NOTIFY",
    "RESET": "RESET, which belongs to the session",
    "DISCARD": "DISCARD, which belongs to the session",
    "LOAD": "LOAD, which belongs to the session",
    "PREPARE": "a prepared statement, which belongs to the session",
    "EXECUTE": "a prepared statement, which belongs to the session",
    "DEALLOCATE": "a prepared statement, which belongs to the session",
    "ATTACH": "ATTACH, which belongs to the session",
    "DETACH": "DETACH, which belongs to the session",
    "BEGIN": OWN_COMMAND,
    "START": OWN_COMMAND,
    "COMMIT": OWN_COMMAND,
    "END": OWN_COMMAND,
    "ABORT": OWN_COMMAND,
}
_TRANSACTION_LOCAL = re.compile(r"\bSET\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)\b", re.IGNORECASE)
_LOCAL_SET_CONFIG = re.compile(r"\bset_config\s*\([^()]*,\s*true\s*\)", re.IGNORECASE)
_FUNCTIONS = re.compile(
    r"\b(pg_(?:try_)?advisory_\w+|pg_notify|set_config|setval|lo_\w+|dblink\w*|pg_(?:terminate|cancel)_backend)\s*\(",
    re.IGNORECASE,
)
_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b|\bFOR\s+(?:KEY\s+)?SHARE\b", re.IGNORECASE)
_PRAGMA_ASSIGNS = re.compile(r"\bPRAGMA\s+[\w.]+\s*=", re.IGNORECASE)
_CALL = re.compile(r"([\w\"]+)\s*\(")
# What may stand before a bracket in a SELECT that surely changes nothing: words, and the functions of Django's ORM.
_HARMLESS_CALLS = frozenset(
    {
        "ABS", "ACOS", "ALL", "AND", "ANY", "ARRAY", "ARRAY_AGG", "AS", "ASCII", "ASIN", "ATAN", "ATAN2",
        "AVG", "BETWEEN", "BIT_AND", "BIT_OR", "BIT_XOR", "BOOL_AND", "BOOL_OR", "BY", "CASE", "CAST",
        "CEIL", "CEILING", "CHAR_LENGTH", "CHR", "COALESCE", "CONCAT", "CONCAT_WS", "CORR", "COS", "COT",
        "COUNT", "COVAR_POP", "COVAR_SAMP", "CUME_DIST", "CURRENT_SETTING", "DATE", "DATE_TRUNC", "DEGREES", "DENSE_RANK",
        "DISTINCT", "ELSE", "EXISTS", "EXP", "EXTRACT", "FILTER", "FIRST_VALUE", "FLOOR", "FROM",
        "GEN_RANDOM_UUID", "GREATEST", "GROUP", "HAVING", "IF", "ILIKE", "IN", "INTERVAL", "ISEMPTY",
        "JOIN", "JSONB_AGG", "JSONB_BUILD_ARRAY", "JSONB_BUILD_OBJECT", "LAG", "LAST_VALUE", "LEAD",
        "LEAST", "LEFT", "LENGTH", "LIKE", "LN", "LOG", "LOWER", "LOWER_INC", "LOWER_INF", "LPAD", "LTRIM",
        "MAX", "MD5", "MIN", "MOD", "NOT", "NOW", "NTH_VALUE", "NTILE", "NULLIF", "NUMERIC", "ON", "OR",
        "OVER", "PERCENT_RANK", "PG_IS_IN_RECOVERY", "PG_SLEEP", "PHRASETO_TSQUERY", "PI", "PLAINTO_TSQUERY", "POWER", "RADIANS",
        "RANDOM", "RANK", "REGR_AVGX", "REGR_AVGY", "REGR_COUNT", "REGR_INTERCEPT", "REGR_R2", "REGR_SLOPE",
        "REGR_SXX", "REGR_SXY", "REGR_SYY", "REPEAT", "REPLACE", "REVERSE", "RIGHT", "ROUND", "ROW_NUMBER",
        "RPAD", "RTRIM", "SELECT", "SETWEIGHT", "SHA224", "SHA256", "SHA384", "SHA512", "SIGN",
        "SIMILARITY", "SIN", "SQRT", "STATEMENT_TIMESTAMP", "STDDEV_POP", "STDDEV_SAMP",
        "STRICT_WORD_SIMILARITY", "STRING_AGG", "STRPOS", "SUBSTRING", "SUM", "TAN", "THEN", "TO_CHAR",
        "TO_TSQUERY", "TO_TSVECTOR", "TRIM", "TS_HEADLINE", "TS_RANK", "TS_RANK_CD", "UNACCENT", "UNION",
        "UNNEST", "UPPER", "UPPER_INC", "UPPER_INF", "VALUES", "VARCHAR", "VAR_POP", "VAR_SAMP",
        "WEBSEARCH_TO_TSQUERY", "WHEN", "WHERE", "WITH", "WORD_SIMILARITY"
    }
)  # fmt: skip
_LONGEST_CACHED = 5000


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a statement.

    Attributes:
        writes: it changes data, or may.
        locks: it takes row locks, or writes, so the server gives the transaction an id.
        counts: it has no rows to be fetched, so the number of rows that it changed is its result.
        inserts: it is an INSERT, whose rows may be generated keys.
        returns: it is an INSERT that ends in RETURNING and plain names, so that one more may be added.
        opaque: it only reads by its words, and calls functions that may do anything.
        sets: it changes settings, and those that a transaction sets for itself may be told of by the server.
        unreplayable: why a transaction that holds it cannot be replayed; None when it can.
        plain: it only reads, or manages savepoints; none of `writes`, `opaque`, `sets` and `unreplayable`.
    """

    writes: bool
    locks: bool
    counts: bool
    inserts: bool
    returns: bool
    opaque: bool
    sets: bool
    unreplayable: str | None
    plain: bool


def describe(sql: str) -> Kind:
    """Read a statement. Django sends the same texts again and again, so short ones are remembered."""
    return _remembered(sql) if len(sql) <= _LONGEST_CACHED else _read(sql)


def _read(sql: str) -> Kind:
    if ";" in sql and len(several := statements_in(sql)) > 1:
        return _of_several([_read(each) for each in several])
    word = first_word(sql)
    savepoint = word in ("SAVEPOINT", "RELEASE") or (word == "ROLLBACK" and " TO " in sql.upper())
    writes = not savepoint and word != "SET" and not reads_only(sql)
    locks = writes or _LOCKS.search(sql) is not None
    opaque = not writes and any(name.strip('"').upper() not in _HARMLESS_CALLS for name in _CALL.findall(sql))
    counts = writes and "RETURNING" not in sql.upper()
    inserts = word == "INSERT"
    commented = "--" in sql or "/*" in sql  # a column that is added to a comment is none
    returns = inserts and RETURNING.search(sql) is not None and ";" not in sql and not commented
    refusal = None if savepoint else _unreplayable(word, sql)
    sets = word == "SET" or opaque
    plain = not (writes or sets or refusal)
    return Kind(writes, locks, counts, inserts, returns, opaque, sets, refusal, plain)


def _of_several(kinds: list[Kind]) -> Kind:
    """Several statements in one text; it does what any of them does. The driver shows the result of the first one."""
    return Kind(
        writes=any(kind.writes for kind in kinds),
        locks=any(kind.locks for kind in kinds),
        counts=kinds[0].counts,
        inserts=False,
        returns=False,
        opaque=any(kind.opaque for kind in kinds),
        sets=any(kind.sets for kind in kinds),
        unreplayable=next((kind.unreplayable for kind in kinds if kind.unreplayable is not None), None),
        plain=all(kind.plain for kind in kinds),
    )


def _unreplayable(word: str, sql: str) -> str | None:
    if word == "ROLLBACK":
        return OWN_COMMAND
    if word == "SET" and not _TRANSACTION_LOCAL.search(sql):
        return "SET without LOCAL, which belongs to the session"
    if word == "PRAGMA" and _PRAGMA_ASSIGNS.search(sql):
        return "PRAGMA, which belongs to the session"
    if word in _UNREPLAYABLE:
        return _UNREPLAYABLE[word]
    called = _FUNCTIONS.search(_LOCAL_SET_CONFIG.sub("", sql))
    return None if called is None else f"{called.group(1).lower()}(), whose effect outlives a rollback"


_remembered = lru_cache(maxsize=1024)(_read)
