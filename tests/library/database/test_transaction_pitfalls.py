# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""Pitfalls of retried transactions that others have fallen into, each as a test of `resilient_transaction`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F
from warehouse.models import Account, Company, Entry

from stalwart import database_retry, events, resilient_transaction
from stalwart.database import mark_side_effect
from stalwart.events import CommitResolved, RetryScheduled, TransactionReplayed
from stalwart.exceptions import CommitOutcomeUnknown, ReplayMismatch
from stalwart.testing import lose_commit_reply
from workbench.servers.proxy import Proxy

pytestmark = pytest.mark.usefixtures("django_db")


def terminate(postgres) -> None:
    connection.ensure_connection()
    assert connection.connection.info.backend_pid in postgres.terminate_backends("library")


def level() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_isolation')")
        return cursor.fetchone()[0]


@dataclass(frozen=True)
class FrozenError(Exception):
    """An exception that refuses notes, as any frozen dataclass does."""

    reason: str


def test_the_isolation_level_survives_a_health_check(postgres, monkeypatch) -> None:
    """Django gives a dead idle session up at BEGIN; the level must be that of the session that takes its place."""
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    with resilient_transaction():
        assert level() == "read committed"
    terminate(postgres)
    connection.health_check_enabled, connection.health_check_done = True, False
    with resilient_transaction(isolation="serializable"):
        assert level() == "serializable"


def test_an_exception_that_refuses_notes_is_raised_as_it_came(postgres) -> None:
    """A note is a courtesy: an exception without room for it still arrives, with and without a repeat."""

    @resilient_transaction
    def work() -> None:
        mark_side_effect("sent it")
        try:
            terminate(postgres)
            Entry.objects.create(text="x")
        except OperationalError as error:
            raise FrozenError("body") from error

    with pytest.raises(FrozenError):
        work()
    with pytest.raises(FrozenError), resilient_transaction():
        Entry.objects.create(text="x")
        postgres.kill()
        raise FrozenError("body")
    postgres.start()
    assert Entry.objects.count() == 0


def test_an_unknown_outcome_inside_a_group_is_not_repeated(postgres) -> None:
    """An exception group that holds CommitOutcomeUnknown beside a lost connection does not run the function again."""
    calls = []

    @resilient_transaction
    def work() -> None:
        calls.append(1)
        try:
            terminate(postgres)
            Entry.objects.create(text="x")
        except OperationalError as error:
            raise ExceptionGroup("several", [CommitOutcomeUnknown("other")]) from error

    with pytest.raises(ExceptionGroup):
        work()
    assert len(calls) == 1


def test_settings_of_the_transaction_are_not_taken_for_those_of_the_session(postgres, seen) -> None:
    """SET LOCAL of what the server reports by itself: the new session begins without, and the replay sets it again."""
    with resilient_transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = 'Asia/Tokyo'")
        Entry.objects.create(text="x")
        terminate(postgres)
        cursor.execute("SELECT current_setting('timezone')")
        assert cursor.fetchone() == ("Asia/Tokyo",)
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_rows_that_were_changed_in_the_body_are_compared_as_they_came(postgres, seen) -> None:
    """Values that can be changed (JSON, arrays), many rows and long ones: what the body does to them is not compared."""
    Company.objects.bulk_create([Company(name="n" * 40, country="de") for _ in range(20)])
    with resilient_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(name ORDER BY id), repeat('x', 1000) FROM warehouse_company")
        [(names, _)] = cursor.fetchall()
        names.clear()
        cursor.execute("INSERT INTO warehouse_entry (text) VALUES ('a') RETURNING text, ARRAY[text]")
        [(_, keys)] = cursor.fetchall()
        assert len(list(Company.objects.all())) == 20
        terminate(postgres)
        keys[:] = []
        Entry.objects.filter(text="a").update(text="b")
    assert Entry.objects.get().text == "b"
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_what_the_server_makes_up_anew_is_a_mismatch(postgres) -> None:
    """now(), random() and the like give the body one value and the replay another: nothing is written on such ground."""
    for function in ("clock_timestamp()", "random()", "gen_random_uuid()"):
        with pytest.raises(ReplayMismatch), resilient_transaction(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}")
            cursor.fetchone()
            terminate(postgres)
            Entry.objects.create(text="x")
    assert Entry.objects.count() == 0


def test_a_temporary_table_of_the_lost_session_is_missed(postgres) -> None:
    """What the session had before the block is gone with it: a mismatch, nothing written."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE scratch (value int)")
    with pytest.raises(ReplayMismatch), resilient_transaction(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO scratch VALUES (1)")
        Entry.objects.create(text="x")
        terminate(postgres)
        Entry.objects.create(text="y")
    assert Entry.objects.count() == 0


def test_a_killed_server_a_swallowed_error_and_close_end_in_an_error(postgres) -> None:
    """The usual recipe for recovery, inside a block: plain atomic ends cleanly with nothing written; ours does not."""

    def body() -> None:
        Entry.objects.create(text="x")
        terminate(postgres)
        with contextlib.suppress(OperationalError):
            Entry.objects.create(text="y")
        connection.close()

    with transaction.atomic():
        body()
    assert Entry.objects.count() == 0
    with pytest.raises(OperationalError), resilient_transaction(max_retries=0):
        body()
    assert Entry.objects.count() == 0


def test_the_first_error_is_the_one_that_is_told(postgres) -> None:
    """Later statements would say "the connection is closed", and COMMIT "is lost": the cause is what ended the session."""
    with pytest.raises(OperationalError) as caught, resilient_transaction(max_retries=0):
        terminate(postgres)
        with contextlib.suppress(OperationalError):
            Entry.objects.create(text="x")
        with pytest.raises(transaction.TransactionManagementError, match="administrator command"):
            Entry.objects.create(text="y")
    assert caught.value.__cause__.sqlstate == "57P01"


def conflicting(postgres) -> None:
    """A statement that fails with 40001 under REPEATABLE READ, as long as the transaction's snapshot is older."""
    Entry.objects.count()
    with postgres.connect("library") as other:
        other.execute("UPDATE warehouse_account SET value = value + 10")
    Account.objects.update(value=F("value") + 1)


def test_a_serialization_failure_is_not_repeated_from_the_middle(postgres) -> None:
    """Inside plain atomic a repeat could never succeed: one call, and the error goes to whoever owns the transaction."""
    Account.objects.create(name="a")
    calls = []

    @resilient_transaction
    def inner() -> None:
        calls.append(1)
        conflicting(postgres)

    with pytest.raises(OperationalError) as caught, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        inner()
    assert (caught.value.__cause__.sqlstate, len(calls)) == ("40001", 1)


def test_a_serialization_failure_in_a_nested_block_is_the_outermost_ones(postgres, seen) -> None:
    """The nested function runs once; the outermost block replays all of it in a new transaction."""
    Account.objects.create(name="a")
    calls = []

    @resilient_transaction
    def inner() -> None:
        calls.append(1)
        conflicting(postgres)

    with resilient_transaction(isolation="repeatable read"):
        Entry.objects.create(text="x")
        inner()
    assert (len(calls), Entry.objects.count(), Account.objects.get().value) == (1, 1, 11)
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_a_server_without_a_free_connection_is_waited_for(postgres) -> None:
    """53300 comes without a code while connecting; nothing was begun, so the block waits for its turn."""
    connection.close()
    with postgres.connect() as admin:
        admin.execute("ALTER ROLE app CONNECTION LIMIT 0")
        refusals: list[object] = []

        def free(event: object) -> None:
            if isinstance(event, RetryScheduled):
                refusals.append(event.error_class)
                admin.execute("ALTER ROLE app CONNECTION LIMIT -1")

        undo = events.subscribe(free)
        try:
            with resilient_transaction():
                Entry.objects.create(text="x")
        finally:
            undo()
            admin.execute("ALTER ROLE app CONNECTION LIMIT -1")
    assert refusals == ["capacity"]
    assert Entry.objects.count() == 1


def test_a_commit_that_runs_too_long_for_a_client_that_is_gone_is_ended(postgres, seen) -> None:
    """It would hold its locks for a minute: its session is ended by the id, which is then aborted, and the block replayed."""
    with postgres.connect("library") as admin:
        admin.execute(
            "CREATE SEQUENCE once OWNED BY NONE; GRANT ALL ON SEQUENCE once TO app;"
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN IF nextval(''once'') = 1 THEN PERFORM pg_sleep(60); END IF; RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON warehouse_entry DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    settings = connection.settings_dict
    connection.close()
    try:
        with Proxy((postgres.host, postgres.port)) as proxy:
            settings["PORT"] = proxy.port
            with resilient_transaction():
                Entry.objects.create(text="x")
                proxy.add("cut_after_message", message="Query", sql_prefix="COMMIT", stream="upstream", partition=True)  # fmt: skip
            connection.close()
    finally:
        settings["PORT"] = postgres.port
        with postgres.connect("library") as admin:
            admin.execute("DROP TRIGGER slow ON warehouse_entry; DROP FUNCTION slow(); DROP SEQUENCE once")
    assert Entry.objects.count() == 1
    assert [event.committed for event in seen if isinstance(event, CommitResolved)] == [False]


@pytest.mark.parametrize("form", ["block", "decorator"])
@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("text", ["SELECT * FROM hidden_write", "SELECT hidden_write/**/()"])
def test_a_write_that_nobody_could_see_is_neither_lost_nor_doubled(form, committed, text) -> None:
    """A view and a function that write: by their words these only read, and the reply to their COMMIT is lost."""

    def body() -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)

    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION hidden_write() RETURNS integer LANGUAGE sql AS "
            "$$ INSERT INTO warehouse_entry (text) VALUES ('x') RETURNING 1 $$; "
            "CREATE VIEW hidden_write AS SELECT hidden_write() AS one"
        )
    try:
        with lose_commit_reply(committed=committed, even_on="library"):
            if (
                form == "block"
            ):  # has not asked for its id, which would be a round trip for every block that reads
                with pytest.raises(CommitOutcomeUnknown), resilient_transaction():
                    body()
            else:
                resilient_transaction(body)()
        assert Entry.objects.count() == (1 if form == "decorator" else committed)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP VIEW hidden_write; DROP FUNCTION hidden_write()")


@pytest.mark.parametrize("isolation", [None, "serializable"])
def test_a_block_that_surely_read_only_ends_well(isolation, seen) -> None:
    """Its statements run again where the server lets nothing be written, and so its lost COMMIT is no matter."""
    Entry.objects.bulk_create([Entry(text=str(number)) for number in range(30)])
    with lose_commit_reply(even_on="library"), resilient_transaction(isolation=isolation):
        assert len(list(Entry.objects.iterator(chunk_size=20))) == 30
        with contextlib.suppress(LookupError), transaction.atomic():
            raise LookupError
    assert not any(isinstance(event, events.OutcomeUnknown) for event in seen)
    Entry.objects.create(text="the connection is fine afterwards")


@pytest.mark.parametrize("returning", ["", " RETURNING id"])
def test_the_pipeline_of_the_driver_works_as_ever(returning) -> None:
    """There a message holds one statement only, so the question for the transaction's id does not go along with one."""

    def write() -> None:
        with connection.connection.pipeline(), connection.cursor() as cursor:
            for text in "ab":
                cursor.execute(f"INSERT INTO warehouse_entry (text) VALUES ('{text}'){returning}")

    connection.ensure_connection()
    with lose_commit_reply(even_on="library"), resilient_transaction():
        write()
    database_retry(transaction.atomic(write))()
    assert Entry.objects.count() == 4
