"""What plans show: a table that is read as a whole, a page that is made to be skipped; plans of real servers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stalwart.database.plans import without_values
from workbench import project
from workbench.profile import pages
from workbench.profile.findings import findings
from workbench.profile.loading import Data, Loaded
from workbench.profile.planned import planned
from workbench.profile.records import Finding, PageView, Plan, Query, Site, TableFacts

RAILWAY = Path(__file__).resolve().parents[2] / "projects" / "railway"
INDEXES = """
SELECT am.amname, pg_get_indexdef(i.indexrelid, 1, true) FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam WHERE i.indrelid = 'trips_station'::regclass
"""


@pytest.fixture(scope="module")
def found() -> Iterator[Callable[[str], tuple[Finding, ...]]]:
    """The findings of a page of the railway, with the plans of its statements, on PostgreSQL."""
    with Loaded(project.find(RAILWAY, settings="trips.settings"), Data(rows=0)) as loaded:
        assert loaded.server is not None
        with (
            loaded.process(attribution=True) as process,
            loaded.server.connect(loaded.databases.name("default")) as connection,
        ):
            process.call("trips.seed:fill")
            process.call("trips.seed:stations")
            connection.execute("ANALYZE trips_station")

            def plan(query: Query) -> Plan:
                text = query.sql.replace("%s", "$1")
                ((tree,),) = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}").fetchall()
                ((rows,),) = connection.execute(
                    "SELECT reltuples FROM pg_class WHERE relname = 'trips_station'"
                ).fetchall()
                facts = TableFacts(rows, tuple(connection.execute(INDEXES).fetchall()))
                return Plan(query.sql, query.alias, without_values(tree), {"trips_station": facts}, 4 * 2**20)

            def visit(name: str) -> tuple[Finding, ...]:
                url = f"/faults/{name}/"
                cold, warm, seen = (pages.visit(process, url, p) for p in ("cold", "warm", "attributed"))
                return findings(cold, warm, seen, [plan(query) for query in warm.queries])

            yield visit


def test_a_missing_index_is_found(found: Callable[[str], tuple[Finding, ...]]) -> None:
    """12,000 rows are read to find one by its name."""
    (finding,) = found("missing_index__name")
    assert (finding.kind, finding.relation, finding.queries) == ("missing-index", "trips_station.name", 1)
    assert finding.location.startswith("trips/faults.py:")
    assert finding.milliseconds > 0


def test_a_deep_page_is_a_slow_plan(found: Callable[[str], tuple[Finding, ...]]) -> None:
    """10,000 rows are made to be skipped."""
    (finding,) = found("slow_plan__deep_page")
    assert finding.kind == "slow-plan"


@pytest.mark.parametrize("name", ["clean__by_key", "clean__first_page"])
def test_good_plans_are_no_findings(found: Callable[[str], tuple[Finding, ...]], name: str) -> None:
    """The same table by its key, and its first rows."""
    assert found(name) == ()


def view(sql: str) -> PageView:
    return PageView("/", "warm", 200, queries=(Query(sql, 3.0, site=Site("shop/views.py", 7)),))


@pytest.mark.parametrize(
    ("where", "rows", "expected"),
    [
        ('"item"."name" = %s', 20_000, ["item.name"]),
        ('"item"."name" = %s', 50, []),
        ('"item"."code" = %s', 20_000, []),
        ('"item"."id" = %s', 20_000, []),
        ('"item"."name" = %s AND "item"."code" = %s', 20_000, []),
        ("1 = 1", 20_000, []),
    ],
)
def test_sqlite_tells_what_it_scans(where: str, rows: int, expected: list[str]) -> None:
    """Its plan has no figures: the size of the table and the indexes that it has decide."""
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(
            "CREATE TABLE item (id integer PRIMARY KEY, name text, code text); CREATE INDEX item_code ON item (code);"
        )
        sql = f'SELECT "item"."id" FROM "item" WHERE {where}'
        lines = connection.execute(
            f"EXPLAIN QUERY PLAN {sql.replace('%s', '?')}", ["x"] * sql.count("%s")
        ).fetchall()
    facts = TableFacts(rows, (("btree", "id"), ("btree", "code")))
    plan = Plan(sql, "default", [line[-1] for line in lines], {"item": facts})
    assert [one.finding.relation for one in planned(view(sql), [plan])] == expected


@pytest.mark.parametrize(("actual", "expected"), [(50_000, 1), (500, 0), (9_000, 0)])
def test_an_analysed_plan_tells_where_it_was_wrong(actual: int, expected: int) -> None:
    """Far more rows than expected, and many: the plan was made for another table."""
    tree = [{"Plan": {"Node Type": "Index Scan", "Relation Name": "item", "Plan Rows": 10, "Actual Rows": actual, "Actual Loops": 1}}]  # fmt: skip
    (wanted,) = planned(view("SELECT 1"), [Plan("SELECT 1", "default", tree, analysed=True)]) or (None,)
    assert (wanted is not None) == bool(expected)
    if wanted:
        assert (wanted.finding.kind, wanted.finding.relation) == ("slow-plan", "item")


def test_plans_of_other_statements_and_databases_say_nothing() -> None:
    """A plan is joined to the statements of the page by text and by database."""
    facts = {"item": TableFacts(20_000)}
    sql = 'SELECT * FROM "item" WHERE "item"."name" = %s'
    assert planned(view("SELECT 2"), [Plan(sql, "default", ["SCAN item"], facts)]) == ()
    assert planned(view(sql), [Plan(sql, "archive", ["SCAN item"], facts)]) == ()
    assert len(planned(view(sql), [Plan(sql, "default", ["SCAN item"], facts)])) == 1
