"""EXPLAIN of slow statements: when it is done, how little it disturbs, and what its plans do not tell."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Account, Company, Entry, Item

from stalwart.database import explain, explain_slow_query, forget_slow_queries, queries, slow_queries
from stalwart.database.explain import explain_now, numbered
from stalwart.database.explained import Explained
from stalwart.database.plans import nodes, without_values

pytestmark = pytest.mark.usefixtures("django_db", "anew")

ON = override_settings(STALWART={"DATABASE": {"SLOW_QUERY": 1e-9, "EXPLAIN_SLOW_QUERIES": True}})


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No records, and no pause between two explanations."""
    monkeypatch.setattr(queries, "EXPLAIN_EVERY", -1.0)
    monkeypatch.setattr(queries, "EXPLAIN_AGAIN", -1.0)
    forget_slow_queries()
    yield
    forget_slow_queries()


def state() -> tuple[object, ...]:
    """What Django and the server know of the connection's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
            "current_setting('transaction_read_only')"
        )
        row = cursor.fetchone()
    driver = connection.connection
    return (driver.info.backend_pid, driver.info.transaction_status.name, connection.in_atomic_block,
            connection.errors_occurred, connection.needs_rollback, *row)  # fmt: skip


def explained(part: str) -> Explained:
    """What the record of the statement with this text says."""
    (found,) = [record.explained for record in slow_queries() if part in record.sql]
    return found


def test_a_slow_read_gets_its_plan_and_nothing_else_changes() -> None:
    """The plan is that of the statement with its values, without showing them; session and result are as before."""
    Account.objects.create(name="a secret", value=4711)
    connection.ensure_connection()
    before = state()
    with ON:
        assert [one.name for one in Account.objects.filter(name="a secret", value=4711)] == ["a secret"]
    assert state() == before
    made = explained('FROM "warehouse_account" WHERE')
    assert made.skipped == ""
    assert not made.generic
    assert {node.relation for node in nodes(made.plan)} == {"warehouse_account"}
    told = json.dumps([record.as_dict() for record in slow_queries()])
    assert "a secret" not in told
    assert "4711" not in told


def test_its_own_statements_are_not_watched() -> None:
    """EXPLAIN is no statement of the application: no wrapper sees it, no record, no log."""
    log = []

    def note(execute, sql, params, many, context):
        log.append(sql)
        return execute(sql, params, many, context)

    connection.ensure_connection()
    with ON, connection.execute_wrapper(note):
        Entry.objects.count()
    assert explained("warehouse_entry").plan
    assert len(log) == 1
    assert len(slow_queries()) == 1


def test_each_kind_is_explained_once(monkeypatch) -> None:
    """A plan that is there is not asked for again; and not every thread asks every time."""
    asked = []
    real = explain.explain_now
    monkeypatch.setattr(
        explain, "explain_now", lambda *args, **kwargs: asked.append(1) or real(*args, **kwargs)
    )
    connection.ensure_connection()
    with ON:
        for _ in range(3):
            Entry.objects.count()
        assert len(asked) == 1
        monkeypatch.setattr(queries, "EXPLAIN_EVERY", 60.0)
        for _ in range(3):
            Account.objects.count()
    assert len(asked) == 1


def test_a_plan_that_cannot_be_had_is_asked_for_once_a_minute(monkeypatch) -> None:
    """A statement whose EXPLAIN always runs into its limit is not held up each time."""
    monkeypatch.setattr(queries, "EXPLAIN_AGAIN", 60.0)
    asked = []
    real = explain.explain_now
    monkeypatch.setattr(explain, "explain_now", lambda *args: asked.append(1) or real(*args))
    connection.ensure_connection()
    with ON, connection.cursor() as cursor:
        for _ in range(3):
            cursor.execute("SELECT 1 /* ; */")
    assert explained("SELECT ?").skipped == "there is a semicolon in it"
    assert len(asked) == 1


def test_without_the_opt_in_nothing_is_explained() -> None:
    """The default only watches."""
    with override_settings(STALWART={"DATABASE": {"SLOW_QUERY": 1e-9}}):
        Entry.objects.count()
    assert explained("warehouse_entry").skipped == "not asked for"


def test_a_write_is_not_explained_by_itself() -> None:
    """Neither an INSERT nor a WITH that changes something; both are done once."""
    with ON:
        Entry.objects.create(text="a")
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH x AS (INSERT INTO warehouse_entry (text) VALUES ('b') RETURNING id) SELECT * FROM x"
            )
    assert Entry.objects.count() == 2
    assert {record.explained.skipped for record in slow_queries()} == {"it writes"}


@pytest.mark.parametrize("isolated", [True, False])
def test_inside_a_transaction_nothing_is_explained(isolated: bool) -> None:
    """The user's transaction stays the user's: its snapshot, its state, its rollback."""
    connection.ensure_connection()
    with ON:
        if isolated:
            with transaction.atomic():
                Account.objects.count()
                Entry.objects.create(text="kept")
        else:
            connection.set_autocommit(False)
            Account.objects.count()
            Entry.objects.create(text="kept")
            connection.commit()
            connection.set_autocommit(True)
    assert explained("warehouse_account").skipped == "the connection is in a transaction"
    assert Entry.objects.count() == 1


def test_a_transaction_of_the_users_own_words_is_seen() -> None:
    """BEGIN by hand, which Django knows nothing of: the driver does."""
    with ON, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM warehouse_entry")
        cursor.execute("ROLLBACK")
    assert explained("warehouse_entry").skipped == "the connection is in a transaction"


def test_after_a_failure_nothing_is_explained_but_after_a_time_limit() -> None:
    """The error is told as it was; the slowest statement of all, which the server cancelled, is explained."""
    connection.ensure_connection()
    with ON, connection.cursor() as cursor:
        with pytest.raises(Exception, match="no_such_column"):
            cursor.execute("SELECT no_such_column FROM warehouse_entry")
        cursor.execute("SET statement_timeout = 30")
        with pytest.raises(OperationalError, match="statement timeout"):
            cursor.execute("SELECT pg_sleep(30) FROM (VALUES (1)) x")
        cursor.execute("SET statement_timeout = 0")
    assert explained("no_such_column").skipped == "it failed with ProgrammingError"
    assert explained("pg_sleep(?) FROM").plan


def test_on_a_lost_connection_nothing_is_asked(postgres) -> None:
    """The error of the statement is the error that is seen, and the next statement has a new connection."""
    connection.ensure_connection()
    with ON:
        assert connection.connection.info.backend_pid in postgres.terminate_backends("library")
        with pytest.raises(OperationalError):
            Entry.objects.count()
        assert explained("warehouse_entry").skipped == "it failed with OperationalError"
        assert explain_now(connection, "SELECT 1", None).skipped == "the connection is broken"
        connection.close()
        assert Entry.objects.count() == 0


def test_a_connection_lost_while_explaining_is_given_back_as_none(postgres, monkeypatch) -> None:
    """Killed between BEGIN and EXPLAIN: the result that the caller has is good, and so is the next statement."""
    Entry.objects.create(text="a")
    pid = connection.connection.info.backend_pid
    monkeypatch.setattr(
        explain,
        "without_values",
        lambda plan: postgres.terminate_backends("library") and without_values(plan),
    )
    with ON:
        assert [one.text for one in Entry.objects.all()] == ["a"]
    assert explained("warehouse_entry").skipped.startswith("EXPLAIN failed with")
    assert Entry.objects.count() == 1
    assert connection.connection.info.backend_pid != pid


def test_a_locked_table_is_not_waited_for(postgres) -> None:
    """The wait for a lock has its own, short limit; the session's limits are as they were."""
    connection.ensure_connection()
    before = state()
    with postgres.connect("library", autocommit=False) as other:
        other.execute("LOCK TABLE warehouse_entry IN ACCESS EXCLUSIVE MODE")
        made = explain_now(connection, "SELECT * FROM warehouse_entry", None)
        other.rollback()
    assert made.skipped == "EXPLAIN failed with LockNotAvailable (55P03)"
    assert state() == before


@pytest.mark.parametrize(
    "sql", ["SELECT 1; DELETE FROM warehouse_entry", "SELECT 1; COMMIT; DELETE FROM warehouse_entry", r"SELECT '\'; DELETE FROM warehouse_entry; --'"]
)  # fmt: skip
@pytest.mark.parametrize("generic", [True, False])
def test_a_second_statement_is_never_done_by_explaining(sql: str, generic: bool) -> None:
    """What stands behind a semicolon would be executed, so such a text is refused, by every reading of it."""
    Entry.objects.create(text="a")
    for params in (None, []):
        made = explain_now(connection, sql, params, generic=generic, writes=True)
        assert made.skipped == "there is a semicolon in it"
    assert Entry.objects.count() == 1


def test_a_function_that_writes_is_not_called() -> None:
    """Explaining plans; a volatile function is not run, and a write could not be committed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.writes() RETURNS int VOLATILE LANGUAGE sql AS "
            "$$ INSERT INTO warehouse_entry (text) VALUES ('x') RETURNING 1 $$"
        )
    assert explain_now(connection, "SELECT pg_temp.writes()", None).plan
    assert Entry.objects.count() == 0


def test_a_percent_sign_and_named_values() -> None:
    """Placeholders are the driver's; a doubled percent sign is one sign with values, and two without."""
    connection.ensure_connection()
    for sql, params in (
        ("SELECT 7 %% %s", [4]),
        ("SELECT 7 % 4", None),
        ("SELECT %(a)s || %(a)s", {"a": "x"}),
        ("SELECT * FROM warehouse_item WHERE sold_at > %s AND id = ANY(%s)", [None, [1, 2]]),
    ):
        assert explain_now(connection, sql, params).skipped == "", sql


def test_a_server_side_cursor_is_left_alone() -> None:
    """Its rows still come; a statement in between is not ours to make."""
    Entry.objects.bulk_create(Entry(text=str(number)) for number in range(5))
    with ON, transaction.atomic():
        assert len(list(Entry.objects.iterator(chunk_size=2))) == 5
    forget_slow_queries()
    with ON:
        assert len(list(Entry.objects.iterator(chunk_size=2))) == 5
    assert explained('"text" FROM').skipped == "its rows stream from a server-side cursor"


def test_values_of_many_megabytes_are_not_sent_again() -> None:
    """EXPLAIN would need all of them once more."""
    connection.ensure_connection()
    made = explain_now(connection, "SELECT length(%s)", ["x" * 1_100_000])
    assert made.skipped.startswith("with its values it has 1,100,0")


def test_a_plan_without_end_is_not_kept() -> None:
    """Its suggestions are; a record stays small."""
    connection.ensure_connection()
    many = " UNION ALL ".join(["SELECT id FROM warehouse_entry"] * 400)
    made = explain_now(connection, many, None)
    assert made.plan is None
    assert made.skipped.endswith("characters and is not kept")


def test_an_executemany_is_not_explained() -> None:
    """It is many statements."""
    with ON, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO warehouse_entry (text) VALUES (%s)", [["a"]])
    assert explained("INSERT").skipped == "an executemany"


# -- on demand


def test_a_record_is_explained_without_the_values_of_any_run() -> None:
    """GENERIC_PLAN: the plan has $1 where the value stood; the record keeps it."""
    with override_settings(STALWART={"DATABASE": {"SLOW_QUERY": 1e-9}}):
        list(Account.objects.filter(name="a secret", value__in=[1, 2]))
    (record,) = slow_queries()
    made = explain_slow_query(record)
    assert made.skipped == ""
    assert made.generic
    assert "$1" in json.dumps(made.plan)
    assert slow_queries()[0].explained == made


def test_a_write_is_explained_on_demand_and_not_done() -> None:
    """EXPLAIN alone never executes, and the transaction is read-only and rolled back."""
    entry = Entry.objects.create(text="a")
    with override_settings(STALWART={"DATABASE": {"SLOW_QUERY": 1e-9}}):
        Entry.objects.filter(pk=entry.pk).update(text="b")
    (record,) = slow_queries()
    Entry.objects.update(text="c")
    assert next(nodes(explain_slow_query(record).plan)).kind == "ModifyTable"
    assert Entry.objects.get().text == "c"


def test_a_forgotten_record_says_so() -> None:
    """The text is not in the record, on purpose."""
    with ON:
        Entry.objects.count()
    (record,) = slow_queries()
    forget_slow_queries()
    assert "forgotten" in explain_slow_query(record).skipped


def test_sqlite_gives_its_query_plan() -> None:
    """EXPLAIN QUERY PLAN, with values and without; nothing is suggested from it, since it has no figures."""
    Account.objects.using("lite").create(name="a", value=1)
    with ON:
        list(Account.objects.using("lite").filter(value=1))
    (record,) = slow_queries("lite")
    assert record.explained.plan == ["SCAN warehouse_account"]
    assert record.explained.suggestions == ()
    assert explain_slow_query(record).plan == ["SCAN warehouse_account"]
    with transaction.atomic(using="lite"):
        Account.objects.using("lite").update(value=2)
        assert (
            explain_now(connections["lite"], "SELECT 1", None).skipped == "the connection is in a transaction"
        )


def test_a_thread_in_a_transaction_does_not_hinder_another() -> None:
    """What is asked is the calling thread's own connection."""
    made: list[Explained] = []

    def elsewhere() -> None:
        connection.ensure_connection()
        made.append(explain_now(connection, "SELECT 1", None))
        connection.close()

    with transaction.atomic():
        Entry.objects.create(text="a")
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert made[0].plan


# -- texts


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("a = %s AND b = %s", "a = $1 AND b = $2"),
        ("a = %(x)s AND b = %(y)s AND c = %(x)s", "a = $1 AND b = $2 AND c = $1"),
        ("a %% %s", "a % $1"),
        ("a LIKE '%%x'", "a LIKE '%x'"),
        ("no values", "no values"),
    ],
)
def test_placeholders_are_numbered(sql: str, expected: str) -> None:
    """As the server wants them."""
    assert numbered(sql) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("(name = 'secret'::text)", "(name = '?'::text)"),
        ("(value = 4711)", "(value = ?)"),
        ("(value > '-4711'::integer)", "(value > '?'::integer)"),
        ("((name)::text ~~ '%secret%'::text)", "((name)::text ~~ '%?%'::text)"),
        ("((name)::text ~~* 'secret%'::text)", "((name)::text ~~* '?%'::text)"),
        ("(name ~~ 'it''s %'::text)", "(name ~~ '?%'::text)"),
        ("(id = ANY ('{1,2,3}'::bigint[]))", "(id = ANY ('{?*3}'::bigint[]))"),
        (r"(name = E'se\\cret'::text)", "(name = '?'::text)"),
        ('("Odd 5 \'name" = 1.5)', '("Odd 5 \'name" = ?)'),
        ("(col1 = $1)", "(col1 = $1)"),
        ("(upper((name)::text) = 'SECRET'::text)", "(upper((name)::text) = '?'::text)"),
    ],
)
def test_values_are_taken_out_of_a_plan(expression: str, expected: str) -> None:
    """Wherever they stand, but for the signs that the suggestions read."""
    plan = [
        {
            "Plan": {
                "Node Type": "Seq Scan",
                "Relation Name": "t1",
                "Filter": expression,
                "Plans": [{"Output": [expression]}],
            }
        }
    ]
    made = without_values(plan)
    assert made[0]["Plan"]["Filter"] == expected
    assert made[0]["Plan"]["Plans"][0]["Output"] == [expected]
    assert made[0]["Plan"]["Relation Name"] == "t1"
    assert without_values(made) == made


def test_a_join_is_explained_with_its_tables() -> None:
    """Several tables, sub-plans and all."""
    company = Company.objects.create(name="a")
    Item.objects.create(company=company)
    with ON:
        list(Item.objects.filter(company__name__contains="a").select_related("company").order_by("price"))
    made = explained("INNER JOIN")
    assert {node.relation for node in nodes(made.plan) if node.relation} == {
        "warehouse_item",
        "warehouse_company",
    }
    assert json.loads(json.dumps(made.as_dict()))["skipped"] == ""
