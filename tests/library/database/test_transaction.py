# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""`with resilient_transaction()`: what is replayed, what is compared, what is refused, and what is no longer lost in silence."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.models import F, Value
from django.test import override_settings
from warehouse.models import Account, Company, Entry, Item, Special, Token, Word

from stalwart import resilient_transaction
from stalwart.database import mark_side_effect
from stalwart.events import TransactionReplayed
from stalwart.exceptions import ConfigurationError, ReplayMismatch, TransactionLost

pytestmark = pytest.mark.usefixtures("django_db")


def pid() -> int:
    connection.ensure_connection()
    return connection.connection.info.backend_pid


def terminate(postgres) -> None:
    assert pid() in postgres.terminate_backends("library")


def run_sql(sql: str, *params: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def elsewhere(postgres, sql: str) -> None:
    with postgres.connect("library") as other:
        other.execute(sql)


# -- what is compared


def test_a_changed_row_that_was_read_is_a_mismatch(postgres) -> None:
    """A row that the body has read and another transaction has changed since: ReplayMismatch, nothing written."""
    Account.objects.create(name="a", value=-1)
    with pytest.raises(ReplayMismatch) as caught, resilient_transaction():
        account = Account.objects.get(name="a")
        Entry.objects.create(text=str(account.value))
        terminate(postgres)
        elsewhere(postgres, "UPDATE warehouse_account SET value = -2")  # hash(-1) == hash(-2)
        Entry.objects.create(text="more")
    assert caught.value.position == 1
    assert "SELECT" in caught.value.statement
    assert Entry.objects.count() == 0


def test_a_body_that_swallows_the_mismatch_still_gets_it(postgres) -> None:
    """`except Exception: pass` around the failing statement does not end the block well."""
    Account.objects.create(name="a", value=1)
    with pytest.raises(ReplayMismatch), resilient_transaction():
        Account.objects.get(name="a")
        terminate(postgres)
        elsewhere(postgres, "UPDATE warehouse_account SET value = 2")
        with contextlib.suppress(Exception):
            Entry.objects.create(text="x")
    assert Entry.objects.count() == 0
    Entry.objects.create(text="the connection is fine afterwards")


def test_a_changed_row_that_was_not_fetched_is_no_mismatch(postgres) -> None:
    """Only what the body has consumed counts."""
    Entry.objects.bulk_create([Entry(text=letter) for letter in "abc"])
    with resilient_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT text FROM warehouse_entry ORDER BY id")
        assert cursor.fetchone() == ("a",)
        terminate(postgres)
        elsewhere(postgres, "UPDATE warehouse_entry SET text = 'z' WHERE text = 'c'")
        Account.objects.create(name="n")
        assert cursor.fetchall() == [("b",), ("z",)]  # the rest comes from the transaction that counts
    assert Account.objects.filter(name="n").exists()


def test_another_rowcount_is_a_mismatch(postgres) -> None:
    """The number of changed rows is a result."""
    Entry.objects.create(text="a")
    with pytest.raises(ReplayMismatch), resilient_transaction():
        Entry.objects.update(text="b")
        terminate(postgres)
        elsewhere(postgres, "INSERT INTO warehouse_entry (text) VALUES ('c')")
        Account.objects.create(name="n")
    assert not Account.objects.exists()


def test_a_new_row_at_the_end_of_a_read_is_a_mismatch(postgres) -> None:
    """The end of the rows, once seen, is a result, too."""
    with pytest.raises(ReplayMismatch), resilient_transaction():
        assert list(Entry.objects.all()) == []
        terminate(postgres)
        elsewhere(postgres, "INSERT INTO warehouse_entry (text) VALUES ('c')")
        Account.objects.create(name="n")


def test_without_verify_results_may_differ(postgres) -> None:
    """verify=False replays blindly, for bodies that decide nothing by what they read."""
    Account.objects.create(name="a", value=1)
    with resilient_transaction(verify=False):
        Account.objects.get(name="a")
        Entry.objects.create(text="x")
        terminate(postgres)
        elsewhere(postgres, "UPDATE warehouse_account SET value = 2")
        Entry.objects.create(text="y")
    assert Entry.objects.count() == 2


def test_an_error_that_does_not_come_again_is_a_mismatch(postgres) -> None:
    """An IntegrityError that the body has seen must recur."""
    Account.objects.create(name="a")
    with pytest.raises(ReplayMismatch), resilient_transaction():
        with pytest.raises(IntegrityError), transaction.atomic():
            Account.objects.create(name="a")
        terminate(postgres)
        elsewhere(postgres, "DELETE FROM warehouse_account")
        Entry.objects.create(text="x")
    assert not Account.objects.exists()
    assert not Entry.objects.exists()


# -- what is replayed


def test_generated_keys_of_every_kind_of_insert_are_kept(postgres) -> None:
    """Keys seen by the body hold, for single, bulk (VALUES and UNNEST), empty, inherited and raw inserts."""
    with resilient_transaction():
        company = Company.objects.create(name="c")
        special = Special.objects.create(company=company, price=Value(1) + Value(2), discount=5)
        bulk = Entry.objects.bulk_create([Entry(text="50%"), Entry(text="it's"), Entry(text="(x), (y)")])
        items = Item.objects.bulk_create([Item(company=company, price="1.5"), Item(company=company)])
        token = Token.objects.create(number=1)
        word = Word.objects.create(text="w")
        [(raw,)] = run_sql("INSERT INTO warehouse_entry (text) VALUES (%s) RETURNING id", "raw")
        [(bare,)] = run_sql("INSERT INTO warehouse_entry (text) VALUES ('100%%') RETURNING id")
        terminate(postgres)
        last = Entry.objects.create(text="last")
    assert Special.objects.get(pk=special.pk).discount == 5
    assert set(Item.objects.values_list("pk", flat=True)) == {special.pk, *(item.pk for item in items)}
    assert dict(Entry.objects.values_list("pk", "text")) == {
        bulk[0].pk: "50%", bulk[1].pk: "it's", bulk[2].pk: "(x), (y)", raw: "raw", bare: "100%", last.pk: "last",
    }  # fmt: skip
    assert Token.objects.get().pk == token.pk
    assert Word.objects.get() == word


def test_the_id_that_comes_along_is_not_seen(postgres) -> None:
    """The first INSERT of a block returns what was asked for, by every way to fetch, and describes nothing else."""
    sql = "INSERT INTO warehouse_entry (text) VALUES ('a'), ('b') RETURNING id, text"
    for fetch in (
        lambda cursor: cursor.fetchall(), lambda cursor: cursor.fetchmany(5), list,
        lambda cursor: [cursor.fetchone(), cursor.fetchone()],
    ):  # fmt: skip
        with resilient_transaction(), connection.cursor() as cursor:
            cursor.execute(sql)
            assert [column.name for column in cursor.description] == ["id", "text"]
            rows = fetch(cursor)
            terminate(postgres)
            Account.objects.count()
        assert [row[1:] for row in rows] == [("a",), ("b",)]
        assert set(rows) <= set(Entry.objects.values_list("id", "text"))


def test_an_upsert_returns_the_keys_it_returned(postgres) -> None:
    """bulk_create with update_conflicts, of a row that is there and one that is new."""
    old = Account.objects.create(name="old", value=1)
    with resilient_transaction():
        rows = Account.objects.bulk_create(
            [Account(name="old", value=7), Account(name="new", value=8)],
            update_conflicts=True, unique_fields=["name"], update_fields=["value"],
        )  # fmt: skip
        terminate(postgres)
        Entry.objects.create(text="x")
    assert dict(Account.objects.values_list("pk", "value")) == {old.pk: 7, rows[1].pk: 8}


def test_executemany_is_replayed(postgres) -> None:
    """Also when its parameters come from an iterator."""
    with resilient_transaction():
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", iter([("a",), ("b",)]))
        terminate(postgres)
        Account.objects.create(name="n")
    assert list(Entry.objects.order_by("id").values_list("text", flat=True)) == ["a", "b"]


def test_a_server_side_cursor_goes_on_where_it_was(postgres) -> None:
    """iterator() yields every row once, though its session is lost in the middle, twice."""
    Entry.objects.bulk_create([Entry(text=str(number)) for number in range(10)])
    seen = []
    with resilient_transaction():
        for entry in Entry.objects.order_by("id").iterator(chunk_size=3):
            seen.append(entry.text)
            Account.objects.create(name=entry.text)
            if entry.text in "25":
                terminate(postgres)
    assert seen == [str(number) for number in range(10)]
    assert Account.objects.count() == 10


def test_parameters_are_kept_as_they_were(postgres) -> None:
    """What the body does to a list after it was sent does not reach the replay."""
    numbers = [1, 2]
    with resilient_transaction():
        run_sql("INSERT INTO warehouse_entry (text) SELECT unnest(%s)::text", numbers)
        numbers.append(3)
        terminate(postgres)
        Account.objects.create(name="n")
    assert Entry.objects.count() == 2


def test_several_losses_in_one_block(postgres, seen) -> None:
    """Each is a replay of its own."""
    with resilient_transaction():
        for number in range(4):
            Entry.objects.create(text=str(number))
            terminate(postgres)
    assert Entry.objects.count() == 4
    assert [type(event) for event in seen].count(TransactionReplayed) == 4


def test_isolation_holds_in_the_replay_and_not_behind_the_block(postgres) -> None:
    """The level is asked for again on a new session, and the connection has its own level afterwards."""
    show = "SELECT current_setting('transaction_isolation')"
    with resilient_transaction(isolation="repeatable read"):
        assert run_sql(show) == [("repeatable read",)]
        terminate(postgres)
        assert run_sql(show) == [("repeatable read",)]
    with transaction.atomic():
        assert run_sql(show) == [("read committed",)]


def test_a_serialization_failure_is_replayed_or_a_mismatch(postgres) -> None:
    """An update lost under REPEATABLE READ: a blind one is repeated; one that rests on a read is a mismatch."""
    Account.objects.create(name="a", value=1)
    for reads in (False, True):
        expected = pytest.raises(ReplayMismatch) if reads else contextlib.nullcontext()
        with expected, resilient_transaction(isolation="repeatable read"):
            if reads:
                Account.objects.get(name="a")
            else:
                Entry.objects.count()
            elsewhere(postgres, "UPDATE warehouse_account SET value = value + 10")
            Account.objects.update(value=F("value") + 1)
    assert Account.objects.get().value == 22


def test_write_skew_is_found_at_commit(postgres) -> None:
    """SERIALIZABLE fails at COMMIT; the block is replayed and finds that what it has read is no longer so."""
    with postgres.connect("library", autocommit=False) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        with pytest.raises(ReplayMismatch) as caught, resilient_transaction(isolation="serializable"):
            Entry.objects.count()
            other.execute("SELECT count(*) FROM warehouse_entry")
            other.execute("INSERT INTO warehouse_entry (text) VALUES ('theirs')")
            Entry.objects.create(text="ours")
            other.commit()
    assert caught.value.position == 1
    assert list(Entry.objects.values_list("text", flat=True)) == ["theirs"]


def test_deadlocked_blocks_all_finish(postgres) -> None:
    """Four threads that lock two rows in opposite orders: every one gets through, every increment counts."""
    for name in "ab":
        Account.objects.create(name=name)
    barrier = threading.Barrier(4)

    def add(order: str) -> None:
        try:
            barrier.wait(10)
            for _ in range(3):
                with resilient_transaction(max_retries=50):
                    for name in order:
                        Account.objects.filter(name=name).update(value=F("value") + 1)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(add, order) for order in ("ab", "ba", "ab", "ba")]:
            future.result(60)
    assert list(Account.objects.values_list("value", flat=True)) == [12, 12]


# -- what is not replayed, and says so


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT pg_advisory_xact_lock(1)", "pg_advisory_xact_lock()"),
        ("LISTEN quotes", "LISTEN"),
        ("NOTIFY quotes", "NOTIFY"),
        ("SET statement_timeout = '10s'", "SET without LOCAL"),
        ("SELECT set_config('app.tenant', '1', false)", "set_config()"),
    ],
)
def test_what_belongs_to_the_session_is_not_replayed(postgres, sql, reason) -> None:
    """The database's own error comes, with a note that says why; nothing is written."""
    with pytest.raises(OperationalError) as caught, resilient_transaction():
        Entry.objects.create(text="x")
        run_sql(sql)
        terminate(postgres)
        Entry.objects.create(text="y")
    assert any(reason in note for note in caught.value.__notes__)
    assert Entry.objects.count() == 0


def test_a_session_with_settings_of_its_own_is_not_replaced(postgres) -> None:
    """A search_path from before the block is lost with the session: the replay would write elsewhere, so it is refused."""
    run_sql("SET search_path = public, pg_temp")
    with pytest.raises(OperationalError) as caught, resilient_transaction():
        Entry.objects.create(text="x")
        terminate(postgres)
        Entry.objects.create(text="y")
    assert any("search_path" in note for note in caught.value.__notes__)
    assert Entry.objects.count() == 0


def test_local_settings_are_replayed(postgres) -> None:
    """SET LOCAL belongs to the transaction."""
    with resilient_transaction():
        run_sql("SET LOCAL statement_timeout = '77s'")
        terminate(postgres)
        assert run_sql("SELECT current_setting('statement_timeout')") == [("77s",)]


def test_copy_a_foreign_cursor_and_a_side_effect_are_not_replayed(postgres) -> None:
    """COPY, a cursor from before the block, and what mark_side_effect declares."""
    before = connection.cursor()

    def copy() -> None:
        with connection.cursor() as cursor, cursor.copy("COPY warehouse_entry (text) FROM STDIN") as writer:
            writer.write_row(["x"])

    def foreign() -> None:
        before.execute("INSERT INTO warehouse_entry (text) VALUES ('x')")

    for act, reason in (
        (foreign, "before the block"),
        (copy, "COPY"),
        (lambda: mark_side_effect("sent it"), "sent it"),
    ):
        with pytest.raises(OperationalError) as caught, resilient_transaction():
            act()
            terminate(postgres)
            Entry.objects.create(text="y")
        assert any(reason in note for note in caught.value.__notes__)
    assert Entry.objects.count() == 0
    before.close()


@override_settings(STALWART={"DATABASE": {"REPLAY_MAX_BYTES": 3000}})
def test_a_log_above_the_cap_is_given_up(postgres) -> None:
    """The note names the setting; below the cap the same block is replayed."""
    for size, fits in ((100, True), (4000, False)):
        expected = contextlib.nullcontext() if fits else pytest.raises(OperationalError)
        with expected as caught, resilient_transaction():
            run_sql("SELECT %s", "x" * size)
            terminate(postgres)
            Entry.objects.create(text="y")
        if not fits:
            assert "REPLAY_MAX_BYTES" in caught.value.__notes__[0]
    assert Entry.objects.count() == 1


def test_used_up_retries_end_in_the_first_kind_of_error(postgres) -> None:
    """max_retries=1 and two losses: the database's error with a note, nothing written, and the connection is fine."""
    with pytest.raises(OperationalError) as caught, resilient_transaction(max_retries=1):
        for _ in range(3):
            Entry.objects.create(text="x")
            terminate(postgres)
    assert "max_retries=1" in caught.value.__notes__[-1]
    assert Entry.objects.count() == 0


# -- silent losses


def test_closing_the_connection_inside_is_an_error(postgres) -> None:
    """Plain atomic ends well with nothing written; ours raises TransactionLost."""
    for block, close in (
        (transaction.atomic, connection.close), (resilient_transaction, connection.close),
        (resilient_transaction, close_old_connections),
    ):  # fmt: skip
        expected = (
            pytest.raises(TransactionLost) if block is resilient_transaction else contextlib.nullcontext()
        )
        with expected, block():
            Entry.objects.create(text="x")
            close()
        assert Entry.objects.count() == 0


def test_a_swallowed_error_is_an_error(postgres) -> None:
    """Caught in atomic(savepoint=False), or on a raw cursor with no savepoint at all."""
    Account.objects.create(name="a")

    def without_savepoint() -> None:
        with transaction.atomic(savepoint=False):
            Account.objects.create(name="a")

    def raw() -> None:
        run_sql("INSERT INTO warehouse_account (name, value) VALUES ('a', 1)")

    for swallowed in (without_savepoint, raw):
        hooks: list[int] = []
        with pytest.raises(TransactionLost), resilient_transaction():
            Entry.objects.create(text="x")
            transaction.on_commit(lambda: hooks.append(1))  # noqa: B023
            with pytest.raises(IntegrityError):
                swallowed()
        with transaction.atomic():
            pass
        assert hooks == []
        assert Entry.objects.count() == 0


def test_a_rollback_on_purpose_is_none(postgres) -> None:
    """transaction.set_rollback(True) ends the block well, as in Django."""
    with resilient_transaction():
        Entry.objects.create(text="x")
        transaction.set_rollback(True)
    assert Entry.objects.count() == 0


# -- its place among others


def test_nested_blocks_are_savepoints_and_the_outermost_replays(postgres, seen) -> None:
    """An inner block is plain atomic: it rolls back alone, and a loss inside it is the outer one's to heal."""
    with resilient_transaction():
        with pytest.raises(ValueError), resilient_transaction():
            Entry.objects.create(text="inner")
            raise ValueError
        with resilient_transaction():
            Entry.objects.create(text="kept")
            terminate(postgres)
    assert list(Entry.objects.values_list("text", flat=True)) == ["kept"]
    assert [type(event) for event in seen].count(TransactionReplayed) == 1


def test_durable_and_isolation_belong_outside(postgres) -> None:
    """Inside another transaction a durable block is refused, and so is a level that could not be had."""
    with resilient_transaction():
        with pytest.raises(RuntimeError), resilient_transaction(durable=True):
            pass
        with pytest.raises(RuntimeError), transaction.atomic(durable=True):
            pass
        with pytest.raises(ConfigurationError), resilient_transaction(isolation="serializable"):
            pass
    with pytest.raises(ConfigurationError, match="read committed"):
        resilient_transaction(isolation="chaos")


@override_settings(STALWART={"DATABASE": {"ENABLED": False}})
def test_switched_off_it_is_atomic(postgres) -> None:
    """No replay, no errors of ours, and it commits and rolls back."""
    with resilient_transaction():
        Entry.objects.create(text="x")
    with resilient_transaction():
        Entry.objects.create(text="y")
        connection.close()
    with pytest.raises(OperationalError), resilient_transaction():
        terminate(postgres)
        Entry.objects.create(text="z")
    assert list(Entry.objects.values_list("text", flat=True)) == ["x"]


def test_two_databases_keep_to_themselves(postgres) -> None:
    """A block on one database replays that one; the other's transaction goes on."""
    with resilient_transaction(), resilient_transaction("lite"):
        Entry.objects.create(text="x")
        Entry.objects.using("lite").create(text="y")
        terminate(postgres)
        Entry.objects.create(text="z")
    assert (Entry.objects.count(), Entry.objects.using("lite").count()) == (2, 1)


def test_a_failing_hook_does_not_repeat_the_block(postgres) -> None:
    """An on_commit hook that raises OperationalError comes through; the rows are there once."""

    def fail() -> None:
        raise OperationalError("the hook's")

    with pytest.raises(OperationalError, match="the hook's"), resilient_transaction():
        Entry.objects.create(text="x")
        transaction.on_commit(fail)
    assert Entry.objects.count() == 1


def test_the_query_log_shows_what_the_body_sent(postgres) -> None:
    """With the debug cursor too, a statement that was repeated is logged once."""
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries, resilient_transaction():
        Entry.objects.count()
        terminate(postgres)
        Entry.objects.count()
    assert len([query for query in queries if query["sql"].startswith("SELECT")]) == 2


def test_a_dead_idle_connection_is_no_matter(postgres) -> None:
    """The session died before the block, while it was idle."""
    Entry.objects.count()
    terminate(postgres)
    with resilient_transaction():
        Entry.objects.create(text="x")
    assert Entry.objects.count() == 1


def test_cursors_from_before_the_loss_go_on(postgres) -> None:
    """One that was opened and not used yet, one that was read in part, one whose statement had failed: no further attempt."""
    Entry.objects.bulk_create([Entry(text=letter) for letter in "abc"])
    with (
        resilient_transaction(max_retries=1),
        connection.cursor() as unused,
        connection.cursor() as reading,
        connection.cursor() as failed,
    ):
        reading.execute("SELECT text FROM warehouse_entry ORDER BY id")
        assert reading.fetchone() == ("a",)
        with contextlib.suppress(DatabaseError), transaction.atomic():
            failed.execute("SELECT * FROM nothing")
        terminate(postgres)
        Entry.objects.create(text="d")
        assert reading.fetchall() == [("b",), ("c",)]
        for cursor in (unused, failed):
            cursor.execute("SELECT count(*) FROM warehouse_entry")
            assert cursor.fetchone() == (4,)


@pytest.mark.parametrize("lost", [False, True])
def test_nothing_waits_for_the_garbage_collector(postgres, lost) -> None:
    """A block that is over is freed at once, with its log and its cursors; also one that was replayed."""
    gc.collect()
    gc.disable()
    try:
        with resilient_transaction():
            Entry.objects.create(text="a")
            block = weakref.ref(connections["default"].__dict__["_stalwart_open_blocks"][0])
            if lost:
                terminate(postgres)
            Entry.objects.create(text="b")
        assert block() is None
    finally:
        gc.enable()
