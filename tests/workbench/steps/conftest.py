"""A process in which somebody has set Django up, and asks for profiles: a script, a test run, a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parents[3]
RAILWAY = ROOT / "tests" / "projects" / "railway"
#: Seconds for one piece of code.
LIMIT = 60.0

LOOP = """
import json, sys, traceback
def serve():
    for line in sys.stdin:
        value = error = None
        try:
            exec(compile(json.loads(line), "<asked>", "exec"), globals())
            value = globals().pop("answer", None)
        except BaseException as raised:
            error = [type(raised).__name__, str(raised), traceback.format_exc()]
        print("answer:" + json.dumps([value, error]), flush=True)
"""

SET_UP = '''
import sys
sys.path.insert(0, {root!r})
import django
from django.conf import settings
settings.configure(
    DATABASES={{name: {{"ENGINE": "django.db.backends.sqlite3", "NAME": {folder!r} + "/" + name}} for name in ("default", "archive")}},
    INSTALLED_APPS=["django.contrib.contenttypes", "trips"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIGRATION_MODULES={{"trips": None, "contenttypes": None}},
    ROOT_URLCONF="trips.urls",
    SECRET_KEY="for tests",
)
django.setup()
from django.core.management import call_command
for alias in ("default", "archive"):
    call_command("migrate", run_syncdb=True, verbosity=0, database=alias)
from trips.models import Carrier, Route, Trip
carrier = Carrier.objects.create(name="Coast")
for number in range(12):
    Trip.objects.create(route=Route.objects.create(carrier=carrier, name=f"Line {{number}}"), number=number)
import workbench
from django.db import connections, models
from django.db.backends.signals import connection_created
from django.db.models import manager, query


def state():
    """Whatever of Django's might be patched."""
    classes = (models.Model, query.QuerySet, manager.BaseManager, query.RawQuerySet, query.ModelIterable, query.ValuesIterable)
    return (
        [{{name: id(value) for name, value in vars(one).items()}} for one in classes],
        [list(one.execute_wrappers) for one in connections.all()],
        [one[0] for one in connection_created.receivers],
    )
'''


class Script:
    """The process; a context manager.

    Args:
        folder: its working directory.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "loop.py").write_text(LOOP)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
        paths = (str(folder), str(ROOT / "lib"), str(ROOT), os.environ.get("PYTHONPATH", ""))
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from loop import *; serve()"],
            cwd=folder,
            env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def run(self, code: str) -> Any:
        """Run code there; what it gives the name `answer` comes back."""
        value, error = self._ask(code)
        assert error is None, error[2]
        return value

    def fail(self, code: str) -> str:
        """Run code that fails; its error comes back as "Kind: text"."""
        _, error = self._ask(code)
        assert error is not None
        return f"{error[0]}: {error[1]}"

    def _ask(self, code: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        clock = threading.Timer(LIMIT, self._process.kill)
        clock.start()
        try:
            self._process.stdin.write(json.dumps(code) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith("answer:"):
                    return json.loads(line.removeprefix("answer:"))
        finally:
            clock.cancel()
        raise AssertionError(f"the process ended, or gave no answer within {LIMIT:.0f} s")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Script]:
    """A process without Django."""
    with Script(tmp_path_factory.mktemp("bare")) as made:
        made.run("import workbench")
        yield made


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Script]:
    """One with Django set up on SQLite files, twelve trips, and a module of functions that lies outside of every app."""
    folder = tmp_path_factory.mktemp("script")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "reports.py").write_text(REPORTS)
    with Script(folder) as made:
        made.run(SET_UP.format(root=str(RAILWAY), folder=str(folder)))
        made.run(f"sys.path.insert(0, {str(elsewhere)!r})\nimport reports")
        yield made


REPORTS = """
import threading
from django.db import connection
from trips.models import Carrier, Route, Trip


def names():
    return [trip.route.name for trip in Trip.objects.order_by("number")]


def names_with_a_limit():
    return [trip.route.name for trip in Trip.objects.select_related("route")]


def archived():
    return Trip.objects.count(), Carrier.objects.using("archive").count()


def in_a_thread():
    def ask():
        names()
        connection.close()
    thread = threading.Thread(target=ask, name="elsewhere")
    thread.start()
    thread.join()


def fails():
    Trip.objects.count()
    raise LookupError("as shipped")


async def asynchronous():
    return [trip.number async for trip in Trip.objects.all()]
"""
