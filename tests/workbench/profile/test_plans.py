"""Plans of a page's statements, asked of real servers with the values that the page gave and none of them in the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import project
from workbench.errors import WorkbenchError
from workbench.profile import pages, plan_table, plans
from workbench.profile.findings import findings
from workbench.profile.loading import Data, Loaded
from workbench.profile.planned import planned
from workbench.profile.records import PageView, Plan
from workbench.project_process import ProjectProcess
from workbench.records import Arm

RAILWAY = Path(__file__).resolve().parents[2] / "projects" / "railway"

#: Statements that no page of the railway runs; a view of theirs is put beside its own.
EXTRA = """
from django.db import connection
from django.http import HttpResponse

SECRET = "fyodor@example.com"

def rows(request, sql, params=()):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return HttpResponse(len(cursor.fetchall()))

def secret(request):
    return rows(request, "SELECT id FROM trips_station WHERE name = %s AND id > %s", [SECRET, 4711])

def named(request):
    return rows(request, "SELECT id FROM trips_station WHERE name = %(name)s", {"name": SECRET})

def locking(request):
    return rows(request, "SELECT id FROM trips_station WHERE id = %s FOR UPDATE", [3])

def lock(request):
    return rows(request, "SELECT pg_advisory_lock(%s)", [42])

def slow(request):
    return rows(request, "SELECT count(*) FROM trips_station a, generate_series(1, %s) b", [100])

def twice(request):
    return rows(request, "SELECT 1; SELECT id FROM trips_station")

def percent(request):
    return rows(request, "SELECT id FROM trips_station WHERE name LIKE 'station 11%%9'", [])

def bare_percent(request):
    return rows(request, "SELECT id FROM trips_station WHERE name LIKE 'station 11%9'", None)

def spilling(request):
    return rows(request, "SELECT name, md5(name) FROM trips_station, generate_series(1, 5) ORDER BY md5(name), name")

def looping(request):
    sql = "SELECT a.id, (SELECT count(*) FROM trips_station b WHERE b.name = a.name || 'x') FROM trips_station a LIMIT 40"
    return rows(request, sql)

def deleting(request):
    sql = "WITH gone AS (DELETE FROM trips_station WHERE id = %s RETURNING id) SELECT id FROM gone"
    return rows(request, sql, [2])

def bound(name, value):
    from workbench.guest import plans

    setattr(plans, name, value)

def prepared():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        return cursor.fetchone()[0]

def advisory():
    # Each release gives one hold back, until there is none.
    with connection.cursor() as cursor:
        for number in range(100):
            cursor.execute("SELECT pg_advisory_unlock(42)")
            if not cursor.fetchone()[0]:
                return number

from django.urls import path
from trips.urls import urlpatterns as own
urlpatterns = [*[path(f"{v.__name__}/", v) for v in (secret, named, locking, lock, slow, twice, percent,
    bare_percent, spilling, looping, deleting)], *own]
"""


@pytest.fixture(scope="module")
def railway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The railway with 12,000 stations on PostgreSQL, and pages that run odd statements."""
    folder = tmp_path_factory.mktemp("extra")
    (folder / "extra_pages.py").write_text(EXTRA)
    found = project.find(RAILWAY, settings="trips.settings", env=[f"PYTHONPATH={folder}"])
    with Loaded(found, Data(rows=0)) as loaded:
        with loaded.process() as process:
            process.call("trips.seed:fill")
            process.call("trips.seed:stations")
        loaded.databases.analyze()
        yield loaded


@pytest.fixture(scope="module")
def process(railway: Loaded) -> Iterator[ProjectProcess]:
    with railway.process({"ROOT_URLCONF": "extra_pages"}) as made:
        yield made


def warm(process: ProjectProcess, url: str) -> PageView:
    pages.visit(process, url, "cold")
    view = pages.visit(process, url, "warm")
    assert view.error is None, view.error
    return view


def one_plan(process: ProjectProcess, url: str) -> Plan:
    (found,) = plans.of(process, warm(process, url))
    return found


def test_a_page_s_plan_says_what_really_happened(process: ProjectProcess) -> None:
    """12,000 stations are read and all but one of them in vain; the page's own finding comes of it, and a row for people."""
    view = warm(process, "/faults/missing_index__name/")
    (plan,) = plans.of(process, view)
    assert (plan.analysed, plan.note, plan.alias) == (True, "", "default")
    assert plan.tables["trips_station"].rows == 12_000
    assert ("btree", "id") in plan.tables["trips_station"].indexes
    row = plan_table.rows(plan)[0]
    assert (row.node, row.table, row.actual, row.removed) == ("Seq Scan", "trips_station", 1, 11_999)
    assert "11,999 read in vain" in plan_table.tree(plan)
    assert row.milliseconds is not None
    assert row.milliseconds > 0
    (finding,) = findings(None, view, view, [plan])
    assert (finding.kind, finding.relation) == ("missing-index", "trips_station.name")


@pytest.mark.parametrize("name", ["secret", "named"])
def test_no_value_leaves_the_process(process: ProjectProcess, name: str) -> None:
    """Neither a name nor a number that the page searched for stands in its plan."""
    plan = one_plan(process, f"/{name}/")
    assert plan.analysed
    text = json.dumps(plan.tree) + plan.sql + plan.note + plan_table.tree(plan)
    assert "fyodor" not in text
    assert "4711" not in text
    assert "Seq Scan" in text


@pytest.mark.parametrize("name", ["percent", "bare_percent"])
def test_percent_signs_are_those_of_the_statement(process: ProjectProcess, name: str) -> None:
    """With values they are doubled, without any they are not; both are explained as they ran."""
    assert one_plan(process, f"/{name}/").analysed


def test_what_locks_rows_is_planned_and_not_run(process: ProjectProcess) -> None:
    """A transaction that may only read refuses it; the plan is the planner's."""
    plan = one_plan(process, "/locking/")
    assert (plan.analysed, plan.note) == (False, "as the planner expects it: it was not run")
    assert plan_table.rows(plan)[0].expected == 1


def test_what_outlives_a_transaction_is_not_run_again(process: ProjectProcess) -> None:
    """A second advisory lock would have to be given back a second time: there are as many as visits."""
    plan = one_plan(process, "/lock/")  # a cold view, a warm one, and the one for the values
    assert plan.tree
    assert not plan.analysed
    assert process.call("extra_pages:advisory") == 3
    with pytest.raises(WorkbenchError, match="not run a second time"):
        process.call("workbench.guest.plans:timed", alias="default", sql=plan.sql)


def test_a_statement_that_takes_too_long_is_planned(process: ProjectProcess) -> None:
    """The server's own clock ends it, and the expectation remains."""
    process.call("extra_pages:bound", name="RUNNING", value=5)
    try:
        plan = one_plan(process, "/slow/")
    finally:
        process.call("extra_pages:bound", name="RUNNING", value=5_000)
    assert plan.tree
    assert (plan.analysed, plan.note) == (False, "as the planner expects it: it was not run")


def test_two_statements_in_one_text_are_refused(process: ProjectProcess) -> None:
    """What came behind the semicolon would be executed."""
    plan = one_plan(process, "/twice/")
    assert (plan.tree, plan.note) == (None, "no plan: there is a semicolon in it")
    assert plan_table.rows(plan) == ()
    assert "semicolon" in plan_table.tree(plan)


def test_a_write_is_never_explained(process: ProjectProcess) -> None:
    """Not even where it hides behind WITH."""
    assert plans.of(process, warm(process, "/deleting/")) == ()


def test_a_sort_that_spills_is_found(process: ProjectProcess) -> None:
    """The server tells how much of it went to disk."""
    view = warm(process, "/spilling/")
    (plan,) = plans.of(process, view)
    assert any((row.spilled or 0) > 512 for row in plan_table.rows(plan))
    kinds = {(one.finding.kind, "disk" in one.finding.text) for one in planned(view, [plan])}
    assert ("slow-plan", True) in kinds


def test_a_table_that_is_read_for_each_row_is_found(process: ProjectProcess) -> None:
    """A subquery reads 12,000 rows forty times."""
    view = warm(process, "/looping/")
    (plan,) = plans.of(process, view)
    texts = [one.finding.text for one in planned(view, [plan])]
    assert any("read as a whole 40 times, 480,000 rows in all" in text for text in texts)


def test_plans_that_are_known_are_not_asked_again(process: ProjectProcess) -> None:
    """A statement of every page costs once; another page may run one that this one does not."""
    view = warm(process, "/faults/clean__by_key/")
    first = plans.of(process, view)
    assert len(first) == 1
    assert plans.of(process, view, known=first) == ()


def test_the_costliest_come_first_and_no_more_than_asked(process: ProjectProcess) -> None:
    """A page of four statements, two asked for: those that took the longest on the view that is given."""
    view = warm(process, "/faults/clean__counts/")
    times = sorted((query.milliseconds for query in view.queries), reverse=True)
    found = plans.of(process, view, most=2)
    taken = {query.sql: query.milliseconds for query in view.queries}
    assert [taken[plan.sql] for plan in found] == times[:2]


def test_values_that_the_server_binds_are_explained_too(railway: Loaded) -> None:
    """With server-side binding a statement reaches the server with its placeholders."""
    binding = {"ROOT_URLCONF": "extra_pages", "DATABASES.default.OPTIONS.server_side_binding": True}
    with railway.process(binding) as process:
        plan = one_plan(process, "/secret/")
        assert plan.analysed
        assert "4711" not in str(plan.tree)
        assert process.call("workbench.guest.plans:timed", alias="default", sql=plan.sql)["rows"] == 0


@pytest.mark.parametrize("since", [160_000, 10**9])
def test_without_values_it_is_planned_for_any(process: ProjectProcess, since: int) -> None:
    """By GENERIC_PLAN, and by a prepared statement where the server is older; neither leaves anything behind."""
    sql = 'SELECT "id" FROM trips_station WHERE "name" = %s AND id < %s LIMIT %s'
    process.call("extra_pages:bound", name="_GENERIC_PLAN_SINCE", value=since)
    try:
        plan = plans.explained(process, "default", sql)
    finally:
        process.call("extra_pages:bound", name="_GENERIC_PLAN_SINCE", value=160_000)
    assert (plan.analysed, plan.note) == (False, "planned without its values")
    assert "trips_station" in plan.tables
    assert process.call("extra_pages:prepared") == 0


def test_a_statement_that_cannot_be_planned_says_so(process: ProjectProcess) -> None:
    """The error's class and code, not its text, in which values may stand."""
    plan = plans.explained(process, "default", "SELECT nothing FROM nowhere WHERE a = %s")
    assert plan.tree is None
    assert plan.note.startswith("no plan: ProgrammingError")
    # The connection is as good as before.
    assert plans.explained(process, "default", "SELECT 1").tree


def test_where_the_database_may_not_be_ours_nothing_is_run(railway: Loaded) -> None:
    """A process outside the sandbox: planned with its values, and neither analysed nor timed."""
    arm = Arm("absent", "the project itself")
    shared = {**railway.databases.settings(), "ROOT_URLCONF": "extra_pages", "ALLOWED_HOSTS": ["*"]}
    with ProjectProcess(railway.project, arm, shared, railway.folder) as open_process:
        plan = one_plan(open_process, "/secret/")
        assert plan.tree
        assert (plan.analysed, plan.note) == (False, "as the planner expects it: it was not run")
        with pytest.raises(WorkbenchError, match="not run a second time"):
            open_process.call("workbench.guest.plans:timed", alias="default", sql=plan.sql)


def test_a_statement_s_time_and_rows(process: ProjectProcess) -> None:
    """As many times as asked, with the values of the page; a statement that it did not run has none."""
    plan = one_plan(process, "/secret/")
    answer = process.call("workbench.guest.plans:timed", alias="default", sql=plan.sql, times=4)
    assert len(answer["milliseconds"]) == 4
    assert min(answer["milliseconds"]) > 0
    assert answer["rows"] == 0
    with pytest.raises(WorkbenchError, match="did not run this statement"):
        process.call("workbench.guest.plans:timed", alias="default", sql="SELECT 2")


def test_sqlite_tells_its_lines_and_the_tables_facts(tmp_path: Path) -> None:
    """Of a large table that is scanned: rows, what its indexes begin with, and the finding that comes of it."""
    shared = {
        f"DATABASES.{alias}": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / alias)}
        for alias in ("default", "archive")
    }
    looked = project.find(RAILWAY, settings="trips.settings")
    sandbox = {"folder": str(tmp_path), "databases": [], "allow_network": False}
    with ProjectProcess(looked, Arm("absent", ""), shared, tmp_path, sandbox=sandbox) as process:
        process.call("trips.seed:fill")
        process.call("trips.seed:stations")
        view = warm(process, "/faults/missing_index__name/")
        (plan,) = plans.of(process, view)
        assert plan.tree == ["SCAN trips_station"]
        assert plan.tables["trips_station"].rows == 12_000
        assert {first for _, first in plan.tables["trips_station"].indexes} == {"id", "beyond_id"}
        assert plan_table.tree(plan) == "SCAN trips_station"
        (finding,) = findings(None, view, view, [plan])
        assert (finding.kind, finding.relation) == ("missing-index", "trips_station.name")
        unseen = 'SELECT "trips_station"."id" FROM "trips_station" WHERE "trips_station"."id" = %s'
        assert plans.explained(process, "default", unseen).tree == [
            "SEARCH trips_station USING INTEGER PRIMARY KEY (rowid=?)"
        ]
