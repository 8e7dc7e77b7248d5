"""Indexes that were really made, on databases of ours, and what the trial says of each."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import project
from workbench.errors import WorkbenchError
from workbench.profile import connection_settings, holding, indexes, interleaved, pages, plans
from workbench.profile.findings import findings
from workbench.profile.loading import Data, Loaded
from workbench.profile.records import Advice, Finding, PageView, Plan
from workbench.profile.trial_index import Place, TrialIndex
from workbench.project_process import ProjectProcess

RAILWAY = Path(__file__).resolve().parents[2] / "projects" / "railway"
NAME = "workbench_trial_index"
EXTRA = """
from django.http import JsonResponse
from django.urls import path
from trips.models import Label, Station
from trips.urls import urlpatterns as own

def answer(queryset):
    return JsonResponse({"rows": list(queryset.values_list("pk", flat=True))})

def cased(request):
    return answer(Station.objects.filter(name__iexact="STATION 77"))

def pattern(request):
    return answer(Station.objects.filter(name__icontains="tion 777"))

def sorted_by_two(request):
    return answer(Station.objects.order_by("-name", "beyond_id")[:5])

def unordered(request):
    return answer(Station.objects.filter(name__gt="station 99")[:3])

urlpatterns = [*[path(f"{v.__name__}/", v) for v in (cased, pattern, sorted_by_two, unordered)], *own]
"""


@pytest.fixture(scope="module")
def railway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The railway with 12,000 stations on PostgreSQL, and pages that want an index."""
    root = tmp_path_factory.mktemp("extra") / "railway"
    shutil.copytree(RAILWAY, root)
    (root / "trips" / "extra.py").write_text(EXTRA)
    with (root / "trips" / "settings.py").open("a") as settings:
        settings.write("ROOT_URLCONF = 'trips.extra'\n")
    found = project.find(root, settings="trips.settings")
    with Loaded(found, Data(rows=0)) as loaded:
        with loaded.process() as process:
            process.call("trips.seed:fill")
            process.call("trips.seed:stations")
        loaded.databases.analyze()
        yield loaded


@pytest.fixture(scope="module")
def process(railway: Loaded) -> Iterator[ProjectProcess]:
    with railway.process() as made:
        yield made


def looked_at(process: ProjectProcess, url: str) -> tuple[PageView, tuple[Plan, ...]]:
    pages.visit(process, url, "cold")
    view = pages.visit(process, url, "warm")
    assert view.error is None, view.error
    return view, plans.of(process, view)


def advised(railway: Loaded, process: ProjectProcess, url: str) -> tuple[Finding, Advice]:
    """The page's one missing index, tried."""
    view, found = looked_at(process, url)
    (finding,) = [
        one for one in indexes.advised(railway, findings(None, view, view, found), found) if one.advice
    ]
    (advice,) = finding.advice
    assert left(railway) == []
    return finding, advice


def left(railway: Loaded) -> list[str]:
    """What trials have left on the server: indexes, extensions, databases."""
    assert railway.server is not None
    with railway.server.connect(railway.databases.name()) as connection:
        found = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'workbench%' UNION ALL "
            "SELECT extname FROM pg_extension WHERE extname = 'pg_trgm' UNION ALL "
            "SELECT datname FROM pg_database WHERE datname LIKE '%grown'"
        ).fetchall()
    return [str(name) for (name,) in found]


def applied(change: str, path: str, folder: Path) -> str:
    """A file of the railway after its diff."""
    target = folder / path
    target.parent.mkdir(parents=True)
    target.write_bytes((RAILWAY / path).read_bytes())
    subprocess.run(["git", "apply", "-"], input=change, text=True, cwd=folder, check=True)
    return target.read_text()


def test_a_missing_index_is_made_and_helps(railway: Loaded, process: ProjectProcess, tmp_path: Path) -> None:
    """One of 12,000 rows by its name: the plan uses it, statement and page are timed, and the models file's diff is shown."""
    finding, advice = advised(railway, process, "/faults/missing_index__name/")
    assert finding.relation == "trips_station.name"
    assert (advice.rejected, advice.applied, advice.same_response) == (None, True, True)
    assert advice.before is not None
    assert advice.after is not None
    assert advice.before.queries == advice.after.queries == 1
    assert advice.reduction is not None
    shown = re.search(r"the statement alone: ([\d.]+) → ([\d.]+) ms", advice.note)
    assert shown
    assert float(shown[2]) < float(shown[1]) / 2
    assert advice.before.low <= advice.before.milliseconds <= advice.before.high
    assert "MiB" in advice.note
    text = applied(advice.change, "trips/models.py", tmp_path)
    assert 'indexes = [models.Index(fields=["name"], name="trips_station_name_idx")]' in text
    # Nothing was written, neither there nor anywhere else in the project.
    assert (railway.project.root / "trips/models.py").read_bytes() == (
        RAILWAY / "trips/models.py"
    ).read_bytes()
    assert {path.name for path in (railway.project.root / "trips/migrations").iterdir()} == {
        path.name for path in (RAILWAY / "trips/migrations").iterdir() if path.name != "__pycache__"
    }


def test_a_condition_on_what_is_computed_gets_its_expression(
    railway: Loaded, process: ProjectProcess
) -> None:
    """`iexact` compares UPPER(name): an index on the bare column would not serve it."""
    _, advice = advised(railway, process, "/cased/")
    assert advice.rejected is None, advice
    assert "+from django.db.models.functions import Upper" in advice.change
    assert 'models.Index(Upper("name"), name="trips_station_name_idx")' in advice.change


def test_a_pattern_gets_a_trigram_index(railway: Loaded, process: ProjectProcess) -> None:
    """The extension is made for the trial and goes with it."""
    _, advice = advised(railway, process, "/pattern/")
    assert advice.rejected is None, advice
    assert (
        'GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="trips_station_name_trgm")'
        in advice.change
    )
    assert "TrigramExtension()" in advice.note
    assert "needs django.contrib.postgres in INSTALLED_APPS" in advice.note


def test_an_order_gets_an_index_with_its_directions(railway: Loaded, process: ProjectProcess) -> None:
    """Falling by one column and rising by the other: an index that only rises cannot be read either way for it."""
    _, advice = advised(railway, process, "/sorted_by_two/")
    assert advice.rejected is None, advice
    assert 'fields=["-name", "beyond"]' in advice.change


def test_a_small_table_is_rather_scanned(railway: Loaded, process: ProjectProcess) -> None:
    """Twelve rows: the planner does not use the index, and that is what is said."""
    _, found = looked_at(process, "/faults/query_in_loop__cursor/")
    (plan,) = [one for one in found if "number = %s" in one.sql]
    url = "/faults/query_in_loop__cursor/"
    finding = Finding("missing-index", url, "trips_trip.number", "trips/faults.py:1", 1, sql=plan.sql)
    (tried,) = indexes.advised(railway, [finding], [plan])
    (advice,) = tried.advice
    assert advice.rejected == "the planner does not use it: the table has 12 rows, and another way is cheaper"
    assert advice.applied
    assert (advice.before, advice.after) == (None, None)
    assert left(railway) == []


def test_on_grown_data_it_would_help(railway: Loaded, process: ProjectProcess) -> None:
    """The same page with 12,000 trips, made up in a copy that is thrown away; the profile's own database stays as it is."""
    counts = process.call("trips.seed:counts")
    view, found = looked_at(process, "/faults/query_in_loop__cursor/")
    (finding,) = indexes.foreseen(railway, view, found)
    assert (finding.kind, finding.relation, finding.verdict) == (
        "missing-index",
        "trips_trip.number",
        "untested",
    )
    assert finding.text.startswith("on grown data: ")
    assert "12 rows here, 12,000 made up" in finding.text
    (advice,) = finding.advice
    assert advice.rejected is None
    assert "12 rows here" in advice.note
    assert process.call("trips.seed:counts") == counts
    assert left(railway) == []


def test_clean_pages_foresee_nothing(railway: Loaded, process: ProjectProcess) -> None:
    """Rows by their keys are found as fast in a large table; nothing is copied for that."""
    for name in ("clean__by_key", "clean__select_related", "clean__first_page"):
        view, found = looked_at(process, f"/faults/{name}/")
        assert indexes.foreseen(railway, view, found) == ()


def test_without_a_plan_nothing_is_tried(railway: Loaded) -> None:
    """And with too many findings the costliest have the turn."""
    finding = Finding("missing-index", "/", "trips_station.name", "", 1, 2.0, sql="SELECT 1")
    other = Finding("n-plus-one", "/", None, "", 1)
    first, second = indexes.advised(railway, [finding, other], [])
    assert first.advice[0].rejected == "not tried: there is no plan of the statement"
    assert second is other
    (tried,) = indexes.advised(railway, [finding], [], most=0)
    assert tried.advice[0].rejected == "not tried: 0 indexes were"


def test_another_database_is_never_touched(railway: Loaded, process: ProjectProcess) -> None:
    """A process that speaks to any other than the one that was made for it is refused before anything is done."""
    assert railway.server is not None
    Place.of(railway, "default").check(process)
    with pytest.raises(WorkbenchError, match="is not the private database"):
        Place("default", "postgres", railway.server).check(process)
    with pytest.raises(WorkbenchError, match="is not the private database"):
        Place("archive", railway.databases.name("default"), railway.server).check(process)


def test_the_index_goes_whatever_happens(railway: Loaded) -> None:
    """An error in between, a statement that fails, and one that a killed trial left behind."""
    place = Place.of(railway, "default")
    create = f'CREATE INDEX "{NAME}" ON trips_station (name)'
    with contextlib.suppress(ZeroDivisionError), TrialIndex(place, NAME, create, "trips_station") as index:
        index.show(True)
        assert left(railway) == [NAME]
        raise ZeroDivisionError
    assert left(railway) == []
    with (
        pytest.raises(WorkbenchError, match='column "nothing" does not exist'),
        TrialIndex(place, NAME, create.replace("(name)", "(nothing)"), "trips_station", "pg_trgm"),
    ):
        pass
    assert left(railway) == []
    abandoned = TrialIndex(place, NAME, create, "trips_station").__enter__()
    with TrialIndex(place, NAME, create, "trips_station"):
        assert left(railway) == [NAME]
    assert left(railway) == []
    abandoned.close()


def test_sessions_see_it_come_and_go(railway: Loaded) -> None:
    """In their next statement, also one whose plan a session keeps."""
    assert railway.server is not None
    place = Place.of(railway, "default")
    with (
        TrialIndex(place, NAME, f'CREATE INDEX "{NAME}" ON trips_station (name)', "trips_station") as index,
        railway.server.connect(railway.databases.name()) as connection,
    ):
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute("PREPARE one AS SELECT id FROM trips_station WHERE name = 'station 7'")
        for shown in (False, True, False, True):
            index.show(shown)
            for statement in ("SELECT id FROM trips_station WHERE name = 'station 7'", "EXECUTE one"):
                lines = connection.execute(f"EXPLAIN {statement}").fetchall()
                assert (NAME in str(lines)) == shown


def test_a_third_party_s_model_gets_a_migration(railway: Loaded, process: ProjectProcess) -> None:
    """Its models file is nobody's to edit: the statement, and a migration of one's own behind its latest one."""
    view, found = looked_at(process, "/faults/clean__by_key/")
    finding = Finding("missing-index", view.url, "auth_user.first_name", "", 1, sql=found[0].sql)
    (tried,) = indexes.advised(railway, [finding], found)
    change = tried.advice[0].change
    assert change.startswith(
        'CREATE INDEX CONCURRENTLY "auth_user_first_name_idx" ON "auth_user" ("first_name");'
    )
    assert 'dependencies = [("auth", "0012_' in change
    assert "DROP INDEX CONCURRENTLY" in change
    assert "atomic = False" in change
    compile(change.partition("\n")[2], "migration", "exec")


def test_a_project_on_sqlite_is_told_nothing_of_connections(railway: Loaded, process: ProjectProcess) -> None:
    """Its own database is a file; that ours is PostgreSQL says nothing of it."""
    view, _ = looked_at(process, "/faults/connection_per_query__closed/")
    (suspect,) = holding.connections(view)
    (finding,) = connection_settings.advised(railway, [suspect.finding], [view])
    assert finding.advice[0].rejected == "not tried: the project's own default is no PostgreSQL"


def test_on_sqlite_it_is_made_and_dropped(tmp_path: Path) -> None:
    """A copied file: the same trial, with the index really made for one arm and dropped for the other; the original is not touched."""
    root = tmp_path / "railway"
    shutil.copytree(RAILWAY, root)
    for alias in ("default", "archive"):
        run = [sys.executable, "manage.py", "migrate", "--run-syncdb", "-v0", f"--database={alias}"]
        subprocess.run(run, cwd=root, check=True)
    seed = [sys.executable, "manage.py", "shell", "-c", "from trips import seed; seed.stations()"]
    subprocess.run(seed, cwd=root, check=True)
    before = (root / "db.sqlite3").read_bytes()
    with Loaded(project.find(root, settings="trips.settings"), Data(copy=True)) as loaded:
        assert loaded.server is None
        with loaded.process() as process:
            view, found = looked_at(process, "/faults/missing_index__name/")
        (finding,) = indexes.advised(loaded, findings(None, view, view, found), found)
        (advice,) = finding.advice
        assert (advice.rejected, advice.same_response) == (None, True)
        assert 'models.Index(fields=["name"]' in advice.change
        with contextlib.closing(sqlite3.connect(loaded.databases.name())) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'workbench%'")
            assert names.fetchall() == []
        assert [one.relation for one in indexes.foreseen(loaded, view, found)] == []
    assert (root / "db.sqlite3").read_bytes() == before


def test_both_arms_take_turns() -> None:
    """The first calls are thrown away, and each arm begins every other round; time alone cannot make a difference."""
    order: list[str] = []
    one, other = interleaved.alternated(
        lambda: order.append("a") or len(order), lambda: order.append("b") or len(order), rounds=4
    )
    assert "".join(order) == "ab" + "abbaabba"
    assert (sum(one), sum(other)) == (3 + 6 + 7 + 10, 4 + 5 + 8 + 9)
    one, _ = interleaved.alternated(lambda: 1, lambda: 1, rounds=50, seconds=0)
    assert len(one) == interleaved.LEAST


@pytest.mark.parametrize(
    ("off", "on", "shown"),
    [
        ([10.0, 10.1, 9.9, 10.0, 10.2], [1.0, 1.1, 0.9, 1.0, 1.1], True),
        ([10.0, 10.1, 9.9, 10.0, 10.2], [9.5, 9.6, 9.4, 9.5, 9.7], False),
        ([10.0, 2.0, 17.0, 5.0, 30.0], [6.0, 1.0, 20.0, 2.0, 18.0], False),
        ([1.0, 1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0], False),
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0], False),
    ],
)
def test_a_saving_is_shown_when_it_is_certain_and_worth_it(
    off: list[float], on: list[float], shown: bool
) -> None:
    """Not where it is small, where it may be accident, where it is a loss, and where there is nothing to save."""
    assert interleaved.saving(off, on).shown == shown
