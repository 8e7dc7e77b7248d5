"""What a statement of a page is, without its values: a thin use of the library's fingerprints."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stalwart.database.fingerprint import fingerprint
from stalwart.database.watch import first_word, reads_only
from workbench.profile.records import PageView, Query

_LIMIT = re.compile(r"\bLIMIT (\d+)")
_AFTER = re.compile(r"\bOFFSET \d+|[<>]=? (?:%s|\?|\(%s\))")


def of(query: Query) -> str:
    """The hash that all runs of one statement share."""
    return of_text(query.sql)


def of_text(sql: str) -> str:
    """The same of a text."""
    return fingerprint(sql).hash


def reads(query: Query) -> bool:
    """Whether it surely changes nothing."""
    return reads_only(query.sql)


def writes_rows(query: Query) -> bool:
    """Whether it inserts, updates or deletes."""
    return first_word(query.sql) in ("INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE")


def rows_of(view: PageView, query: Query) -> int:
    """Rows that it returned or changed, also where the driver does not tell but Django made instances of them; else -1."""
    if query.rows >= 0:
        return query.rows
    return next((batch.rows for batch in view.batches if batch.id == query.batch), -1)


def is_paging(view: PageView, queries: Sequence[Query]) -> bool:
    """Whether statements read one result piece by piece: by OFFSET, or each after the last row of the one before.

    All pieces but the last are as long as their LIMIT says; a loop that asks for the few rows of each of many things is not
    like that.
    """
    limits = [int(found[1]) if (found := _LIMIT.search(query.sql)) else 0 for query in queries]
    if min(limits, default=0) < 2 or not all(_AFTER.search(query.sql) for query in queries[1:]):
        return False
    rows = [rows_of(view, query) for query in queries]
    return rows[:-1] == limits[:-1] and 0 <= rows[-1] <= limits[-1]
