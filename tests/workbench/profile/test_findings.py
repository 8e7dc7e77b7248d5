"""A corpus with labels: each planted fault is found under its name, and the page that only looks like it is silent."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from workbench import project
from workbench.profile import pages, scaling
from workbench.profile.findings import suspects
from workbench.profile.loading import PLAIN, Data, Loaded
from workbench.profile.records import Finding
from workbench.project_process import ProjectProcess

RAILWAY = Path(__file__).resolve().parents[2] / "projects" / "railway"
SOURCE = (RAILWAY / "trips" / "faults.py").read_text(encoding="utf-8")
#: Those that only a plan can show are in `test_planned`.
NAMES = re.findall(r"^def (?!missing_index|slow_plan)(\w+__\w+)", SOURCE, re.MULTILINE)
#: page -> relation that must be named, and the verdict.
NAMED = {
    "n_plus_one__forward": ("trips.Trip.route", "scales"),
    "n_plus_one__reverse": ("trips.Route.trips", "scales"),
    "n_plus_one__page": ("trips.Trip.route", "scales"),
    "n_plus_one__detail": ("trips.Trip.passengers", "scales"),
    "n_plus_one__template": ("trips.Trip.passengers", "scales"),
    "n_plus_one__deferred": ("trips.Trip.notes", "scales"),
    "n_plus_one__prefetched_singly": ("trips.Trip.passengers", "scales"),
    "n_plus_one__ancestors": ("trips.Station.beyond", "untested"),
    "query_in_loop__keys": (None, "scales"),
    "query_in_loop__refreshed": (None, "scales"),
    "query_in_loop__cursor": (None, "untested"),
    "count_in_loop__count": ("trips.Route.trips", "scales"),
    "count_in_loop__exists": ("trips.Trip.crew", "scales"),
    "count_in_loop__first": ("trips.Route.trips", "scales"),
    "count_in_loop__manager": (None, "scales"),
    "duplicate__helper": (None, "untested"),
    "per_row_write__create": (None, "untested"),
    "per_row_write__save": (None, "scales"),
    "per_row_write__delete": (None, "scales"),
    "unused_eager_load__select": ("trips.Trip.route", "untested"),
    "unused_eager_load__beneath": ("trips.Trip.route__carrier", "untested"),
    "unused_eager_load__prefetch": ("trips.Trip.passengers", "untested"),
    "over_fetching__notes": ("trips.Trip.notes", "untested"),
}


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def railway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProjectProcess]:
    """The railway with a long line of stations; SQLite tells no rows of what it reads."""
    found = project.find(RAILWAY, settings="trips.settings")
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            loaded = stack.enter_context(Loaded(found, Data(rows=0)))
            assert loaded.server is not None
            process = loaded.process(attribution=True)
        else:
            folder = tmp_path_factory.mktemp("railway")
            databases = {
                f"DATABASES.{alias}": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / alias)}
                for alias in ("default", "archive")
            }
            process = ProjectProcess(found, PLAIN, databases, folder, attribution=True)
        stack.enter_context(process)
        process.call("trips.seed:fill")
        process.call("trips.seed:stations")
        yield process


def profile(process: ProjectProcess, name: str) -> tuple[Finding, ...]:
    """A page's findings, each tested."""
    url = f"/faults/{name}/"
    visit = partial(pages.visit, process, url)
    cold, warm, attributed = visit("cold"), visit("warm"), visit("attributed")
    assert (warm.error, warm.status) == (None, 200)
    assert sorted(query.sql for query in warm.queries) == sorted(query.sql for query in attributed.queries)
    found = scaling.judged(
        suspects(cold, warm, attributed), attributed, lambda limit: visit("truncated", limit=limit)
    )
    return tuple(one.finding for one in found)


def body(name: str) -> range:
    """The lines of a page's function."""
    lines = SOURCE.splitlines()
    start = next(n for n, line in enumerate(lines, 1) if line.startswith(f"def {name}("))
    return range(start, start + len(inspect.getblock([f"{line}\n" for line in lines[start - 1 :]])))


@pytest.mark.parametrize("name", NAMES)
def test_each_page_is_what_its_name_says(railway: ProjectProcess, name: str) -> None:
    """One finding under the label of the page, at a line of it, with its relation and verdict; a clean page has none."""
    if "over_fetching" in name or "notes" in name or "deferred" in name:
        railway.call("trips.seed:heavy", size=20_000)
    try:
        found = profile(railway, name)
    finally:
        railway.call("trips.seed:heavy", size=50)
    label = name.partition("__")[0].replace("_", "-")
    if label == "clean":
        assert found == ()
        return
    (finding,) = found
    assert finding.kind == label, finding
    relation, verdict = NAMED.get(name, (None, "untested"))
    assert (finding.relation, finding.verdict) == (relation, verdict), finding
    assert (finding.slope is not None) == (verdict != "untested")
    if finding.slope is not None:
        assert finding.slope >= scaling.STEEP
    file, _, line = finding.location.rpartition(":")
    if file.endswith(".html"):
        assert name == "n_plus_one__template"
    else:
        assert (file, int(line) in body(name)) == ("trips/faults.py", True)
