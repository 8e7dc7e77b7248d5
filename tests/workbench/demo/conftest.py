"""The demo under test: a private PostgreSQL, databases copied from a seeded one, Django only in processes of its own.

Django's settings are one per process, and other tests need theirs, so nothing here sets Django up in this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from workbench.demo.environment import DATABASE_VARIABLE, QUOTES_VARIABLE
from workbench.servers.postgres import PostgresServer

TEMPLATE = "demo_template"
#: Enough for every page and route, little enough to be copied for each test.
SIZES = ("--companies=6", "--bars=600", "--portfolios=3", "--seed=11")
_numbers = count(1)


@dataclass
class Demo:
    """The demo project on one database.

    Args:
        database: its DATABASES entry.
        settings: the settings module.
        extra: further environment variables.
    """

    database: Mapping[str, Any]
    settings: str = "workbench.demo.settings"
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a process that runs the demo."""
        inherited = {name: value for name, value in os.environ.items() if name != QUOTES_VARIABLE}
        return {
            **inherited,
            "DJANGO_SETTINGS_MODULE": self.settings,
            DATABASE_VARIABLE: json.dumps(dict(self.database)),
            **self.extra,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One management command, as a process; its exit code is the caller's to check."""
        return subprocess.run(
            [sys.executable, "-m", "workbench.demo.manage", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def manage(self, *arguments: str) -> str:
        """One management command that must succeed; what it printed."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, f"{arguments}: {ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def script(self, body: str) -> Any:
        """Run lines of Python with Django set up, and return what they left in ``result``, through JSON."""
        start = "import django, json, sys\ndjango.setup()\nresult = None\n"
        end = "\nprint('\\n' + json.dumps(result, default=str))\n"
        ended = subprocess.run(
            [sys.executable, "-c", start + textwrap.dedent(body) + end],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.rstrip().rsplit("\n", 1)[-1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of the demo; nothing here needs its data to outlive a power cut."""
    with PostgresServer(settings={"fsync": "off"}) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """The name of a migrated and seeded database to copy from."""
    postgres.create_database(TEMPLATE)
    demo = Demo(postgres.django_database(TEMPLATE))
    demo.manage("migrate", "--verbosity=0")
    demo.manage("seed", *SIZES)
    return TEMPLATE


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[Demo]:
    """The demo on a database without tables."""
    name = f"demo_{next(_numbers)}"
    postgres.create_database(name)
    yield Demo(postgres.django_database(name))
    postgres.drop_database(name)


@pytest.fixture
def demo(postgres: PostgresServer, template: str) -> Iterator[Demo]:
    """The demo on a seeded database of its own."""
    name = f"demo_{next(_numbers)}"
    postgres.create_database(name, template=template)
    yield Demo(postgres.django_database(name))
    postgres.drop_database(name)


@pytest.fixture
def sqlite(tmp_path: Path) -> Demo:
    """The demo on an SQLite file without tables."""
    return Demo({"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "demo.sqlite3")})
