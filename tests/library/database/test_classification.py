"""Errors told apart: the tables, the walk through the chain, and what is read where in Django."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from psycopg import errors as pg
from psycopg_pool import PoolTimeout
from warehouse.models import Entry

from stalwart.database.classification import ErrorClass, chain, classify, failures
from stalwart.database.decision import GiveUp, Repeat, Unknown, decide
from stalwart.database.origin import Site, origin_of
from stalwart.database.watch import first_word, reads_only


def wrapped(driver_error: Exception, kind: type[Exception] = OperationalError) -> Exception:
    """The error as Django raises it."""
    error = kind(*driver_error.args)
    error.__cause__ = error.__context__ = driver_error
    return error


@pytest.mark.parametrize(
    ("driver_error", "expected", "lost"),
    [
        (pg.SerializationFailure("x"), ErrorClass.CONFLICT, False),
        (pg.DeadlockDetected("x"), ErrorClass.CONFLICT, False),
        (pg.LockNotAvailable("x"), ErrorClass.LOCK_WAIT, False),
        (pg.AdminShutdown("x"), ErrorClass.CONNECTION, True),
        (pg.CrashShutdown("x"), ErrorClass.CONNECTION, True),
        (pg.CannotConnectNow("x"), ErrorClass.CONNECTION, True),
        (pg.IdleSessionTimeout("x"), ErrorClass.CONNECTION, True),
        (pg.IdleInTransactionSessionTimeout("x"), ErrorClass.CONNECTION, True),
        (pg.ConnectionFailure("x"), ErrorClass.CONNECTION, True),
        (pg.ReadOnlySqlTransaction("x"), ErrorClass.ROLE, False),
        (pg.TooManyConnections("x"), ErrorClass.CAPACITY, False),
        (pg.DiskFull("x"), ErrorClass.CAPACITY, False),
        (pg.ConfigurationLimitExceeded("x"), ErrorClass.CAPACITY, False),
        (PoolTimeout("x"), ErrorClass.CAPACITY, False),
        (pg.UniqueViolation("x"), ErrorClass.CONDITIONAL, False),
        (pg.ExclusionViolation("x"), ErrorClass.CONDITIONAL, False),
        (pg.StatementCompletionUnknown("x"), ErrorClass.AMBIGUOUS, False),
        (pg.QueryCanceled("canceling statement due to statement timeout"), ErrorClass.NEVER, False),
        (pg.InFailedSqlTransaction("x"), ErrorClass.NEVER, False),
        (pg.ForeignKeyViolation("x"), ErrorClass.NEVER, False),
        (pg.UndefinedTable("server closed the connection"), ErrorClass.NEVER, False),
        (psycopg.OperationalError("server closed the connection unexpectedly"), ErrorClass.CONNECTION, True),
        (psycopg.OperationalError("the connection is closed"), ErrorClass.CONNECTION, True),
        (psycopg.OperationalError("sending query failed: too many parameters"), ErrorClass.NEVER, False),
        (psycopg.ProgrammingError("the connection is closed"), ErrorClass.NEVER, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_postgresql_codes(driver_error, expected, lost) -> None:
    """The SQLSTATE decides; text counts only where there is no code."""
    known = classify(wrapped(driver_error))
    assert (known.error_class, known.connection_lost) == (expected, lost)


class MySQLError(Exception):
    """Stands in for the drivers of MySQL, which are not installed here; they give a number as the first argument."""


MySQLError.__module__, MySQLError.__name__ = "MySQLdb", "Error"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1213, ErrorClass.CONFLICT), (1205, ErrorClass.LOCK_WAIT), (2006, ErrorClass.CONNECTION), (2013, ErrorClass.CONNECTION),
     (1290, ErrorClass.ROLE), (1040, ErrorClass.CAPACITY), (1062, ErrorClass.CONDITIONAL), (1146, ErrorClass.NEVER)],
)  # fmt: skip
def test_mysql_codes(number, expected) -> None:
    """MySQL's number decides, as its drivers give it."""
    known = classify(wrapped(MySQLError(number, "text")))
    assert (known.error_class, known.code) == (expected, str(number))


@pytest.mark.parametrize(
    ("statement", "expected", "name"),
    [
        ("INSERT INTO t VALUES (1)", ErrorClass.CONDITIONAL, "SQLITE_CONSTRAINT_PRIMARYKEY"),
        ("SELECT * FROM missing", ErrorClass.NEVER, "SQLITE_ERROR"),
    ],
)
def test_sqlite_codes(statement, expected, name) -> None:
    """SQLite's code decides and its name is shown."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.Error) as caught:
        database.execute(statement)
    known = classify(wrapped(caught.value))
    database.close()
    assert (known.error_class, known.code, known.connection_lost) == (expected, name, False)


def test_other_errors_are_none_of_ours() -> None:
    """An error without a database error in its chain has no class."""
    assert classify(LookupError("connection is closed")) is None


def during(newer: Exception, older: Exception) -> Exception:
    """`newer`, raised while `older` was being handled: Python links the innermost of the newer ones to it."""
    innermost = newer
    while innermost.__context__ is not None:
        innermost = innermost.__context__
    innermost.__context__ = older
    return newer


def test_reconnect_error_does_not_mask_the_first_loss() -> None:
    """Of a refused reconnect over a lost session, the lost session is what counts."""
    first = wrapped(pg.AdminShutdown("terminating"))
    known = classify(during(wrapped(psycopg.OperationalError("server closed the connection")), first))
    assert known.code == "57P01"
    assert known.error is first


def test_handled_errors_of_another_kind_do_not_count() -> None:
    """A handled unique violation in the context of a lost connection changes nothing, and the reverse neither."""
    unique = wrapped(pg.UniqueViolation("x"), IntegrityError)
    lost = wrapped(psycopg.OperationalError("server closed the connection"))
    assert classify(during(lost, unique)).error_class is ErrorClass.CONNECTION
    assert classify(during(wrapped(pg.DeadlockDetected("x")), wrapped(pg.AdminShutdown("x")))).code == "40P01"


def test_chain_ends_and_stops_at_the_callers_error() -> None:
    """Cycles end, and what was being handled before is left out with all behind it."""
    outer = wrapped(pg.DeadlockDetected("x"))
    inner = during(LookupError(), outer)
    assert outer in list(chain(inner))
    assert outer not in list(chain(inner, until=outer))
    first, second = ValueError(), TypeError()
    first.__context__, second.__context__ = second, first
    assert list(chain(first)) == [first, second]


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1", True),
        ("select 1", True),
        ("  -- comment\n /* more */ (SELECT 1)", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", False),
        ("EXPLAIN SELECT 1", True),
        ("EXPLAIN ANALYZE SELECT 1", False),
        ("SAVEPOINT a", True),
        ("SET LOCAL x = 1", True),
        ("INSERT INTO t VALUES (1)", False),
        ("/* SELECT */ DELETE FROM t", False),
        ("CALL f()", False),
        ("VACUUM", False),
        ("", False),
        ("42", False),
    ],
)
def test_reads_are_told_from_writes(sql, reads) -> None:
    """Only what is known to change nothing counts as a read."""
    assert reads_only(sql) is reads


def test_first_word() -> None:
    """The first word stands behind comments and brackets."""
    assert first_word("/* a */ ( -- b\n insert INTO") == "INSERT"


@pytest.mark.usefixtures("django_db")
def test_places_in_django(postgres) -> None:
    """The names in Django that places are read from are there: connect, statement, COMMIT, hook."""

    def site_of(act) -> tuple[Site, str]:
        with pytest.raises((OperationalError, ZeroDivisionError)) as caught:
            act()
        origins = [each.origin for each in failures(caught.value)] or [origin_of(caught.value)]
        return origins[-1].site, origins[-1].connection.alias

    def statement() -> None:
        connection.ensure_connection()
        postgres.terminate_backends("library")
        Entry.objects.count()

    def commit() -> None:
        with transaction.atomic():
            Entry.objects.count()
            postgres.terminate_backends("library")

    def hook() -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: 1 / 0)

    def connect() -> None:
        port, connection.settings_dict["PORT"] = connection.settings_dict["PORT"], 1
        try:
            connection.ensure_connection()
        finally:
            connection.settings_dict["PORT"] = port

    assert site_of(statement) == (Site.STATEMENT, "default")
    connection.close()
    assert site_of(commit) == (Site.COMMIT, "default")
    connection.close()
    assert site_of(connect) == (Site.CONNECT, "default")
    assert site_of(hook) == (Site.HOOK, "default")


@pytest.mark.usefixtures("django_db")
def test_too_many_connections_at_connect_is_capacity(postgres) -> None:
    """A server without free slots is told from one that is away, though neither error has a code."""
    with postgres.connect() as admin:
        admin.execute("ALTER ROLE app CONNECTION LIMIT 0")
        try:
            with pytest.raises(OperationalError) as caught:
                connection.ensure_connection()
        finally:
            admin.execute("ALTER ROLE app CONNECTION LIMIT -1")
    known = classify(caught.value)
    assert (known.error_class, known.connection_lost, known.code) == (ErrorClass.CAPACITY, True, None)


@pytest.mark.usefixtures("django_db")
def test_missing_database_is_never_repeated() -> None:
    """A database that does not exist is a mistake, not an outage."""
    settings = connections["default"].settings_dict
    name, settings["NAME"] = settings["NAME"], "missing"
    try:
        with pytest.raises(OperationalError) as caught:
            connection.ensure_connection()
    finally:
        settings["NAME"] = name
    assert classify(caught.value).error_class is ErrorClass.NEVER


def verdict(error: Exception | None = None, **facts: object) -> Repeat | GiveUp | Unknown:
    known = failures(error) if error else []
    given = {
        "opted_in": False, "on": frozenset({ErrorClass.CONFLICT, ErrorClass.CONNECTION}), "committed": False,
        "doubtful": None, "hook_failed": False, "lost": [],
    }  # fmt: skip
    return decide(known, classify(error) if error else None, **(given | facts))


def test_decisions() -> None:
    """What may be repeated, what is given up with a reason, what is unknown."""
    deadlock, syntax = wrapped(pg.DeadlockDetected("x")), wrapped(pg.SyntaxError("x"))
    assert verdict(deadlock) == Repeat()
    assert verdict(syntax) == GiveUp()
    assert verdict(syntax, on=frozenset({ErrorClass.NEVER})) == Repeat()
    assert verdict(opted_in=True) == Repeat()
    assert verdict() == GiveUp()
    assert "committed" in verdict(deadlock, committed=True).reason
    assert verdict(syntax, committed=True) == GiveUp()
    assert "committed" in verdict(opted_in=True, hook_failed=True).reason
    assert verdict(deadlock, doubtful=("INSERT", "default")) == Unknown("default", "INSERT")
    assert isinstance(verdict(wrapped(pg.StatementCompletionUnknown("x"))), Unknown)
