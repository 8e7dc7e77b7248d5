"""`max_queries`: what counts, from where, and what a failure says."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction
from warehouse.models import Company

from stalwart.exceptions import ConfigurationError
from stalwart.testing import TooManyQueries, max_queries


def names(using: str = "default") -> list[str]:
    """Asks once for each of three companies."""
    return [Company.objects.using(using).get(pk=pk).name for pk in Company.objects.using(using).values_list("pk", flat=True)]  # fmt: skip


def fill(number: int = 3, using: str = "default") -> None:
    Company.objects.using(using).bulk_create([Company(name=f"item {n}") for n in range(number)])


@pytest.mark.parametrize("using", ["default", "lite"])
def test_a_failure_lists_statements_by_call_site(using: str) -> None:
    """How many, how many too many, and of each place how often, where and what; values are not in it."""
    fill(using=using)
    with pytest.raises(TooManyQueries) as raised, max_queries(2):
        names(using)
    text = str(raised.value)
    assert text.startswith("4 statements, 2 more than the 2 allowed. By call site:\n")
    assert "    3 x  " in text
    assert "test_max_queries.names:" in text
    assert "SELECT" in text
    assert "item 1" not in text
    assert ("on 'lite'" in text) == (using == "lite")


def test_as_many_as_allowed_pass() -> None:
    """Up to the number, none at all included; what was asked can be looked at."""
    fill()
    with max_queries(4) as asked:
        names()
    assert len(asked.statements) == 4
    with max_queries(0):
        Company.objects.all()
    with pytest.raises(TooManyQueries, match=r"^1 statement, 1 more than the 0 allowed"), max_queries(0):
        Company.objects.count()


def test_repeated_values_are_told() -> None:
    """The same question twice is no loop over rows: the message says which repetitions had values that came before."""
    fill()
    first, second = Company.objects.values_list("pk", flat=True)[:2]
    with pytest.raises(TooManyQueries) as raised, max_queries(0):
        [Company.objects.get(pk=pk) for pk in (first, first, second)]
    assert "3 x" in str(raised.value)
    assert "1 of them with the same values as one before" in str(raised.value)


def test_all_threads_and_all_databases_count_together() -> None:
    """Connections of other threads, those that were open before too; the message names alias and thread."""
    begin, asked = threading.Event(), threading.Event()

    def ask() -> None:
        Company.objects.count()
        asked.set()
        begin.wait(30)
        Company.objects.count()
        connections.close_all()

    thread = threading.Thread(target=ask, name="the other one")
    thread.start()
    assert asked.wait(30)

    def work() -> None:
        Company.objects.using("lite").count()
        begin.set()
        thread.join(30)

    with pytest.raises(TooManyQueries) as raised, max_queries(1):
        work()
    assert "on 'lite'" in str(raised.value)
    assert "in thread the other one" in str(raised.value)
    with max_queries(1, using="lite"):
        Company.objects.count()
        Company.objects.using("lite").count()


def test_how_a_test_is_run_counts_nothing() -> None:
    """Transactions, savepoints and opening a connection are sent or not, depending on the test's own class."""
    connection.close()
    with max_queries(1), transaction.atomic(), transaction.atomic():
        Company.objects.count()
    connections["lite"].close()
    with max_queries(1), transaction.atomic("lite"):
        Company.objects.using("lite").count()


def test_raw_cursors_writes_and_failures_count() -> None:
    """Whatever is sent, by whatever means; many rows of one executemany are one statement."""
    with max_queries(3) as asked, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.executemany("DELETE FROM warehouse_company WHERE id = %s", [(1,), (2,)])
        with pytest.raises(Exception, match="no_such"):
            cursor.execute("SELECT no_such")
    assert [one.sql.split()[0] for one in asked.statements] == ["SELECT", "DELETE", "SELECT"]


def test_an_error_of_the_block_is_the_tests_own() -> None:
    """It is not covered by the number of statements."""

    def fail() -> None:
        Company.objects.count()
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"), max_queries(0):
        fail()


def test_one_inside_the_other() -> None:
    """Each has its own count, and the class of connections is plain again afterwards (the fixture looks)."""
    with max_queries(3) as outer:
        Company.objects.count()
        with max_queries(1) as inner:
            Company.objects.count()
        Company.objects.count()
    assert (len(outer.statements), len(inner.statements)) == (3, 1)


@pytest.mark.parametrize("most", [-1, True, 2.0, None])
def test_what_is_no_number_is_refused(most: object) -> None:
    """At once, with the value."""
    with pytest.raises(ConfigurationError, match="is no number of statements"):
        max_queries(most)  # type: ignore[arg-type]


def test_an_unknown_alias_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(
        ConfigurationError, match=r"no database 'reporting'; settings\.DATABASES has default, lite"
    ):
        max_queries(1, using="reporting")
