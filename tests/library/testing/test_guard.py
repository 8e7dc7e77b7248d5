"""Nothing but a test database is broken, and nothing is tested where nothing can be committed."""

from __future__ import annotations

import unittest

import pytest
from django.db import InternalError, OperationalError, connection, connections, transaction
from django.test import TestCase
from warehouse.models import Entry

from stalwart.exceptions import ConfigurationError
from stalwart.testing import (
    blackhole,
    deadlock_with,
    demote,
    fail_on_commit_hook,
    kill_connection_at,
    lock_timeout_on,
    lose_commit_reply,
    refuse_connections,
    serialization_failure_on,
)

FAULTS = (
    lambda **how: kill_connection_at("INSERT", **how),
    lose_commit_reply,
    fail_on_commit_hook,
    lambda **how: deadlock_with("SELECT 1", "SELECT 1", **how),
    lambda **how: serialization_failure_on("SELECT 1", **how),
    lambda **how: lock_timeout_on("SELECT 1", **how),
    demote,
    refuse_connections,
    blackhole,
)


def test_other_databases_are_left_alone(monkeypatch, postgres) -> None:
    """A database that no runner has made: refused before anything is done, by the name and with the way out."""
    monkeypatch.setitem(connection.settings_dict["TEST"], "NAME", None)
    Entry.objects.count()
    sessions = postgres.backends("library")
    for fault in FAULTS:
        with pytest.raises(ConfigurationError, match=r"'library'.*even_on='library'"), fault():
            pass
        with pytest.raises(ConfigurationError, match="refuses"), fault(even_on="another"):
            pass
    assert postgres.backends("library") == sessions


def test_it_may_be_named(monkeypatch) -> None:
    """even_on takes the database's own name."""
    monkeypatch.setitem(connection.settings_dict["TEST"], "NAME", None)
    with pytest.raises(OperationalError), kill_connection_at(1, even_on="library"):
        Entry.objects.count()


def test_names_of_test_databases(monkeypatch) -> None:
    """What Django's and pytest-django's runners call them, with the suffixes of parallel workers."""
    known = [("test_shop", None), ("test_shop_gw3", None), ("checks", "checks"), ("checks_2", "checks")]
    others = [("shop", None), ("latest_shop", None), ("checksums", "checks"), ("shop", "test_shop")]
    for name, test in known + others:
        monkeypatch.setitem(connection.settings_dict, "NAME", name)
        monkeypatch.setitem(connection.settings_dict["TEST"], "NAME", test)
        if (name, test) in known:
            demote().check(connection)
        else:
            with pytest.raises(ConfigurationError, match="not known to be a test database"):
                demote().check(connection)


def test_a_connection_to_somewhere_else_is_not_trusted(monkeypatch) -> None:
    """The settings name a test database, and the connection was opened before that, to another one."""
    connection.ensure_connection()
    monkeypatch.setitem(connection.settings_dict["TEST"], "NAME", None)
    monkeypatch.setitem(connection.settings_dict, "NAME", "test_library")
    with pytest.raises(ConfigurationError, match="'library'"), kill_connection_at(1):
        pass


def test_a_testcase_is_told_that_it_tests_nothing() -> None:
    """Django's TestCase (pytest-django's `db` is one) wraps the test in a transaction: refused with the way out."""

    class Wrapped(TestCase):
        databases = ["default"]

        def runTest(self) -> None:
            for fault in FAULTS:
                with (
                    pytest.raises(ConfigurationError, match=r"TransactionTestCase.*transaction=True"),
                    fault(),
                ):
                    pass
            assert Entry.objects.count() == 0

    result = unittest.TestSuite([Wrapped()]).run(unittest.TestResult())
    assert result.wasSuccessful(), result.errors + result.failures
    assert result.testsRun == 1


def test_a_fault_is_entered_once() -> None:
    """Its bites are those of one block."""
    fault = kill_connection_at(1)
    with pytest.raises(OperationalError), fault:
        Entry.objects.count()
    with pytest.raises(ConfigurationError, match="make a new one"), fault:
        pass


def test_a_fault_can_be_ended_early() -> None:
    """After heal() the database is whole, inside the block."""
    with kill_connection_at("INSERT", times=None) as fault:
        with pytest.raises(OperationalError):
            Entry.objects.create(text="x")
        fault.heal()
        Entry.objects.create(text="y")
    assert Entry.objects.count() == 1


def test_faults_may_overlap_and_end_in_any_order() -> None:
    """Each is undone without the other, and both bite."""
    one, two = kill_connection_at("INSERT"), lose_commit_reply(committed=False)
    one.__enter__()
    two.__enter__()
    with pytest.raises(OperationalError), transaction.atomic():
        Entry.objects.create(text="x")
    one.__exit__(None, None, None)
    with pytest.raises(OperationalError), transaction.atomic():
        Entry.objects.create(text="x")
    two.__exit__(None, None, None)
    assert (one.bites, two.bites) == (1, 1)
    assert Entry.objects.count() == 0


def test_a_cursor_that_outlives_a_fault_meets_the_next_one() -> None:
    """It was tapped for the first one."""
    with demote() as first:
        kept = connection.cursor()
        with pytest.raises(InternalError):
            kept.execute("DELETE FROM warehouse_entry")
    assert first.bites == 1
    with pytest.raises(OperationalError), kill_connection_at("SELECT 2"):
        kept.execute("SELECT 2")
    kept.close()


def test_what_cannot_begin_leaves_nothing_on(monkeypatch) -> None:
    """The server is away at the very beginning: the driver's error, and the class is as it was (the fixture looks)."""
    connections.close_all()
    monkeypatch.setitem(connection.settings_dict, "PORT", 1)
    with pytest.raises(Exception, match="refused"), kill_connection_at(1):
        pass


def test_other_aliases_are_left_alone() -> None:
    """A fault on one database is none on another."""
    with pytest.raises(AssertionError), kill_connection_at("INSERT"):
        Entry.objects.using("lite").create(text="x")
    assert Entry.objects.using("lite").count() == 1
