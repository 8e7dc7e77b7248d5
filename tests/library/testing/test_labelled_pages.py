"""`assert_no_n_plus_one` around pages with a label each: those that repeat for rows fail, those that only look like it do not.

The pages are those of the profiler's own corpus; a process of its own, for its project has other settings than the library's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RAILWAY = Path(__file__).resolve().parents[2] / "projects" / "railway"

CODE = """
import json, re, sys
folder, root = sys.argv[1:]
sys.path.insert(0, root)
import django
from django.conf import settings
settings.configure(
    DATABASES={
        name: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/{name}"} for name in ("default", "archive")
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "trips"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIGRATION_MODULES={"trips": None, "contenttypes": None},
    ROOT_URLCONF="trips.urls",
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["*"],
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [f"{root}/trips/templates"]}
    ],
)
django.setup()
from django.core.management import call_command
from django.db import transaction
from django.test import Client
for alias in ("default", "archive"):
    call_command("migrate", run_syncdb=True, verbosity=0, database=alias)
from stalwart import testing
from trips import faults, seed
seed.fill()
seed.stations(30)
found = {}
for name in vars(faults):
    if re.match(r"(n_plus_one|query_in_loop|count_in_loop|clean)__", name):
        with transaction.atomic():
            try:
                with testing.assert_no_n_plus_one(repeats=3):
                    Client().get(f"/faults/{name}/")
                found[name] = None
            except testing.NothingShown:
                found[name] = None
            except testing.NPlusOneFound as error:
                found[name] = str(error)
            transaction.set_rollback(True)
print(json.dumps(found))
"""

RELATIONS = {
    "n_plus_one__forward": "trips.Trip.route",
    "n_plus_one__reverse": "trips.Route.trips",
    "n_plus_one__page": "trips.Trip.route",
    "n_plus_one__detail": "trips.Trip.passengers",
    "n_plus_one__template": "trips.Trip.passengers",
    "n_plus_one__deferred": "trips.Trip.notes",
    "n_plus_one__prefetched_singly": "trips.Trip.passengers",
    "n_plus_one__ancestors": "trips.Station.beyond",
    "count_in_loop__count": "trips.Route.trips",
    "count_in_loop__first": "trips.Route.trips",
}


def test_labelled_pages(tmp_path: Path) -> None:
    """Each with its relation and place; no clean page among them."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path), str(RAILWAY)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) > 35
    assert [name for name, text in found.items() if name.startswith("clean__") == (text is not None)] == []
    for name, relation in RELATIONS.items():
        assert f"for {relation}" in found[name]
    for name, text in found.items():
        if text is not None:
            assert ("trips/list.html:3" if name == "n_plus_one__template" else f"trips.faults.{name}") in text
