# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""What a statement means is read from its text, and from all of it."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from psycopg import sql
from warehouse.models import Entry

from stalwart import database_retry, resilient_transaction
from stalwart.database.statements import describe
from stalwart.database.watch import reads_only
from stalwart.exceptions import CommitOutcomeUnknown, ReplayMismatch
from stalwart.testing import kill_connection_at, lose_commit_reply

ON = {"even_on": "library"}


def execute(text: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; UPDATE x SET a = 1",
        "SET TIME ZONE 'UTC'; INSERT INTO x VALUES (1)",
        "SELECT 1 -- it's\n; DELETE FROM x",
        r"SELECT E'\'' ; DELETE FROM x; SELECT '1'",
        "SELECT 1; COMMIT",
        "SELECT * INTO copy FROM x",
        "/* all */ select a into temp copy from x",
        "WITH a AS (SELECT 1) SELECT * INTO copy FROM a",
        "",
    ],
)
def test_a_write_behind_a_harmless_first_word_is_a_write(text) -> None:
    """A second statement in the same text, and SELECT INTO."""
    assert not reads_only(text)
    assert describe(text).writes


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "SELECT ';' ; ",
        "SELECT 'a; DELETE FROM x', ' into '",
        'SELECT "points_into", "into" FROM x',
        "SELECT $$; DELETE FROM x$$",
        "SET LOCAL lock_timeout = 1; SET LOCAL work_mem = '1MB'",
    ],
)
def test_semicolons_and_words_in_literals_make_no_write(text) -> None:
    """What a literal, a name or a comment holds is none of the statement's words."""
    assert reads_only(text)
    assert not describe(text).locks


def test_any_statement_of_a_text_can_end_the_possibility_of_a_replay() -> None:
    """Not only the first one; the body of a function or of DO is none."""
    assert "transaction command" in str(describe("UPDATE x SET a = 1; COMMIT; BEGIN").unreplayable)
    assert "SET without LOCAL" in str(describe("SELECT 1; SET search_path = b").unreplayable)
    assert describe("SELECT 1; SELECT some_function()").opaque
    assert describe("DO $$ BEGIN DELETE FROM x; END $$").unreplayable is None


def test_row_locks_are_told_by_their_clause() -> None:
    """A statement that locks gets an id of the server, which a standby would refuse to one that only has the word FOR."""
    assert not describe("SELECT substring(a FROM 1 FOR 2), 'x FOR y' FROM b").locks
    for clause in ("UPDATE", "NO KEY UPDATE", "share", "KEY SHARE", "UPDATE OF a NOWAIT"):
        assert describe(f"SELECT 1 FROM a FOR {clause}").locks


@pytest.mark.usefixtures("django_db")
def test_a_comment_at_the_end_is_none_of_the_statement() -> None:
    """RETURNING in there returns nothing."""
    with resilient_transaction(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO warehouse_entry (text) VALUES ('a') -- RETURNING id")
        assert cursor.description is None
    assert Entry.objects.count() == 1


@pytest.mark.usefixtures("django_db")
def test_a_write_behind_a_setting_is_not_done_twice() -> None:
    """Both go in one message in autocommit mode; when its reply is lost, the INSERT is done, and nobody could know."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        execute("SET TIME ZONE 'UTC'; INSERT INTO warehouse_entry (text) VALUES ('x')")

    with pytest.raises(CommitOutcomeUnknown), kill_connection_at("INSERT", when="after", **ON):
        write()
    assert (len(calls), Entry.objects.count()) == (1, 1)


@pytest.mark.usefixtures("django_db")
@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("SELECT 1; INSERT INTO warehouse_entry (text) VALUES ('x')", "warehouse_entry"),
        ("SELECT 'x' AS text INTO warehouse_made", "warehouse_made"),
    ],
)
def test_a_hidden_write_whose_commit_never_arrived_is_done(text, table) -> None:
    """A transaction that only read would count as done when the reply to its COMMIT is lost; one that wrote is asked after."""
    try:
        with lose_commit_reply(committed=False, **ON), resilient_transaction():
            execute(text)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (1,)
    finally:
        execute("DROP TABLE IF EXISTS warehouse_made")


@pytest.mark.usefixtures("django_db")
def test_statements_composed_by_psycopg_are_understood() -> None:
    """`psycopg.sql` and bytes pass through database_retry, and a replay writes seen keys into what was composed."""
    select = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("warehouse_entry"))
    insert = sql.SQL("INSERT INTO warehouse_entry (text) VALUES ({}) RETURNING id").format(sql.Literal("50%"))
    calls = []

    @database_retry
    def read(text: object) -> int:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute(text)
            return int(cursor.fetchone()[0])

    for text in (select, b"SELECT count(*) FROM warehouse_entry"):
        with kill_connection_at("SELECT", **ON):
            assert read(text) == 0
    assert len(calls) == 4
    with kill_connection_at("SELECT", **ON), resilient_transaction(), connection.cursor() as cursor:
        cursor.execute(insert)
        key = cursor.fetchone()[0]
        cursor.execute(select)
        assert cursor.fetchone() == (1,)
    assert Entry.objects.get().pk == key


@pytest.mark.usefixtures("django_db")
@pytest.mark.parametrize(
    "commands", [["COMMIT"], ["COMMIT; BEGIN"], ["INSERT INTO warehouse_entry (text) VALUES ('a'); COMMIT"]]
)
def test_the_transaction_that_is_asked_after_is_the_one_that_was_lost(commands) -> None:
    """A body that commits by a statement of its own is in another transaction then, whose COMMIT never arrives."""
    with (
        pytest.raises(OperationalError),
        lose_commit_reply(committed=False, **ON),
        resilient_transaction(),
    ):
        Entry.objects.create(text="a")
        for command in commands:
            execute(command)
        Entry.objects.create(text="lost")
    assert not Entry.objects.filter(text="lost").exists()


@pytest.mark.usefixtures("django_db")
def test_a_mismatch_shows_no_value() -> None:
    """Neither one that was written into the text, nor one that psycopg has composed into it."""
    secret = sql.SQL("SELECT clock_timestamp(), {}").format(sql.Literal("s3cret"))
    for text in (secret, "SELECT clock_timestamp(), 's3cret'"):
        with (
            pytest.raises(ReplayMismatch) as caught,
            kill_connection_at("INSERT", **ON),
            resilient_transaction(),
        ):
            with connection.cursor() as cursor:
                cursor.execute(text)
                cursor.fetchone()
            Entry.objects.create(text="x")
        assert "clock_timestamp" in str(caught.value)
        assert "s3cret" not in str(caught.value)
