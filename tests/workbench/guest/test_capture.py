"""Every statement is taken down, whoever runs it and however many there are."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.guest.capture import writes


def test_more_statements_than_django_s_log_keeps(railway: Any) -> None:
    """12,000 are 12,000; connection.queries_log ends at 9,000."""
    assert railway.call("trips.seed:long_run", statements=12_000) == [12_000, 9_000]


def test_connections_that_were_there_before(railway: Any) -> None:
    """Another thread's, opened before anything was watched, is seen too; lazy objects met on the way stay lazy."""
    assert railway.call("trips.seed:older_thread") == [2, False, True]


def test_a_wrapper_of_the_project_s_is_never_mistaken_for_ours(railway: Any) -> None:
    """Django takes the last wrapper off; ours stands first, so a connection opened in between loses nothing."""
    assert railway.call("trips.seed:opened_within") == [2, False]


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("SELECT 1", False),
        ("  -- a comment\n/* another */ (SELECT 1) UNION (SELECT 2)", False),
        ("WITH a AS (SELECT 'UPDATE x' AS t) SELECT * FROM a", False),
        ('WITH a AS (SELECT "delete from" FROM b) SELECT * FROM a', False),
        ("WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a", True),
        ("EXPLAIN SELECT 1", False),
        ("SHOW server_version", False),
        ("PRAGMA foreign_keys", False),
        ("SET LOCAL statement_timeout = 10", False),
        ("insert into a values (1)", True),
        ("UPDATE a SET b = 1", True),
        ("TRUNCATE a", True),
        ("CREATE TABLE a (b int)", True),
        ("CALL something()", True),
        ("", True),
    ],
)
def test_writes_are_known_by_their_words(sql: str, written: bool) -> None:
    """Whatever is not known to read counts as a write."""
    assert writes(sql) is written


def test_a_failed_statement_is_marked(railway: Any) -> None:
    """Its place and its time are kept."""
    failed = [query for query in railway.visit("/caught/")["queries"] if query["failed"]]
    assert [query["origin"] for query in failed] == ["save", "save", "raw"]
    assert {query["site"]["function"] for query in failed} == {"caught"}


def test_our_own_transaction_is_no_statement_of_the_page(railway: Any) -> None:
    """Savepoints stand where the page has transactions, and BEGIN is ours: neither is counted."""
    view = railway.visit("/writing/")
    assert [query["sql"].split()[0] for query in view["queries"]] == [*["INSERT"] * 4, "UPDATE", "SELECT"]
    threaded = railway.visit("/threaded/")
    assert [query["sql"].split()[0] for query in threaded["queries"]] == ["SELECT", "INSERT"]
