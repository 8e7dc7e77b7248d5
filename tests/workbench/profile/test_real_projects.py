"""Three projects of other people, from PyPI, each under a Django and a Python of its own: loaded, read, and visited.

Their environments are made once and kept in a cache outside the repository (`STALWART_TEST_CACHE`, else the user's cache).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from workbench import project
from workbench.profile import advice, pages, scaling
from workbench.profile.findings import suspects
from workbench.profile.loading import Data, Loaded
from workbench.profile.records import Advice, ProjectFacts, UrlRow

PROJECTS = Path(__file__).resolve().parents[2] / "projects"
#: Pages visited of each: enough to meet every kind, and no more than the time that a test may take.
MOST = 40


@dataclass(frozen=True)
class Real:
    """A project and its environment.

    Attributes:
        name: of the folder, or of what makes it.
        django: its version when a Python for it is at hand.
        pythons: versions of Python that it runs under, the wanted one first.
        packages: what is installed beside Django.
        otherwise: Django and packages where this machine has none of these Pythons: under ours, whichever it is.
    """

    name: str
    django: str
    pythons: tuple[str, ...]
    packages: tuple[str, ...]
    otherwise: tuple[str, ...]


OSCAR = Real(
    "oscar_site",
    "4.2.30",
    ("3.9", "3.10", "3.11"),
    ("django-oscar==3.2.6", "sorl-thumbnail==12.11.0"),
    ("django>=5.2,<5.3", "django-oscar>=4.1,<5", "sorl-thumbnail==12.11.0"),
)
WAGTAIL = Real(
    "wagtail",
    "5.2.19",
    ("3.12", "3.11", "3.13"),
    ("wagtail==8.0.1", "psycopg[binary]==3.3.9"),
    ("django>=5.2,<6.1", "wagtail>=8.0,<9", "psycopg[binary]"),
)
HELPDESK = Real(
    "helpdesk_site",
    "6.0.10",
    ("3.13", "3.12", "3.14"),
    ("django-helpdesk==2.6.1", "celery==5.7.0", "django-debug-toolbar==8.0.0", "psycopg[binary]==3.3.9"),
    (
        "django>=5.2,<5.3",
        "django-helpdesk>=2.4,<3",
        "celery>=5.5",
        "django-debug-toolbar>=5",
        "psycopg[binary]",
    ),
)


def cache() -> Path:
    """Where environments are kept between runs."""
    named = os.environ.get("STALWART_TEST_CACHE")
    base = (
        Path(named)
        if named
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stalwart"
    )
    return base / "projects"


def python(versions: tuple[str, ...]) -> tuple[str, str]:
    """An interpreter of the first of these versions that this machine has, and which; else ours."""
    for version in versions:
        if sys.version.startswith(f"{version}."):
            return sys.executable, version
        kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        for found in (shutil.which(f"python{version}"), *map(str, kept)):
            if found is None or "shims" in found:  # a shim runs whichever version is chosen, or none
                continue
            done = subprocess.run(
                [found, "-c", "import venv, ensurepip, sys; print(sys.version)"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0 and done.stdout.startswith(f"{version}."):
                return found, version
    return sys.executable, ".".join(map(str, sys.version_info[:2]))


def interpreter(real: Real) -> Path:
    """The interpreter of a project's environment, made when it is not in the cache."""
    program, version = python(real.pythons)
    wanted = (f"django=={real.django}", *real.packages) if version in real.pythons else real.otherwise
    digest = hashlib.sha256(" ".join([version, *wanted]).encode()).hexdigest()[:10]
    place = cache() / f"{real.name}-{version}-{digest}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([program, "-m", "venv", str(place)], check=True)
            clean = {
                name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
            }
            target = str(place / "bin" / "python")
            pip = [target, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            if uv := shutil.which("uv"):  # many times quicker
                pip = [uv, "pip", "install", "-q", "--python", target]
            subprocess.run([*pip, *wanted], env=clean, check=True, timeout=600)
            (place / "complete").touch()
    return place / "bin" / "python"


def installed_django(program: Path) -> str:
    """The version of Django in an environment, as its own interpreter says."""
    command = [str(program), "-c", "import django; print(django.get_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Seen:
    """What one project showed."""

    facts: ProjectFacts
    urls: tuple[UrlRow, ...]
    answers: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer["status"] for answer in self.answers.values())


def see(root: Path, program: Path, visiting: Mapping[str, Any]) -> Seen:
    """Load, read and visit a project."""
    found = project.find(root, python=program, **visiting)
    with Loaded(found, Data(rows=8)) as loaded:
        urls = loaded.urls()
        answers = {}
        with loaded.process() as process:
            for row in [row for row in urls if row.url][:MOST]:
                answers[str(row.url)] = process.call("read_page:visit", url=row.url)
        return Seen(loaded.facts(), urls, answers, tuple(loaded.notes))


def files(root: Path) -> set[str]:
    return {str(path) for path in root.rglob("*") if "__pycache__" not in path.parts}


pytestmark = pytest.mark.skipif(os.name == "nt", reason="paths of a POSIX environment")


def test_oscar_with_redis_solr_and_no_postgresql_driver(visiting: dict[str, Any]) -> None:
    """django-oscar on Django 4.2: no driver for PostgreSQL, so SQLite; its Redis and its Solr are not there, and not missed."""
    root = PROJECTS / OSCAR.name
    before = files(root)
    program = interpreter(OSCAR)
    seen = see(root, program, visiting)
    assert seen.facts.django == installed_django(program)
    assert "no driver for PostgreSQL" in seen.facts.database
    rows = {row.model: row.rows for row in seen.facts.models}
    assert rows["catalogue.Product"] == rows["order.Order"] == rows["catalogue.Category"] == 8
    assert not [row for row in seen.facts.models if row.error]
    assert len(seen.urls) > 100
    assert seen.statuses[200] > seen.statuses[404] + seen.statuses[500], seen.statuses
    product = next(url for url in seen.answers if re.fullmatch(r"/catalogue/[\w-]+_\d+/", url))
    assert seen.answers[product]["status"] == 200
    assert seen.facts.blocked.keys() >= {"mail", "cache default (RedisCache)"}
    assert files(root) == before


def test_wagtail_from_its_own_template(visiting: dict[str, Any], tmp_path: Path) -> None:
    """The project that `wagtail start` makes, on Django 5.2 and PostgreSQL; the home page of its migrations is there."""
    program = interpreter(WAGTAIL)
    (tmp_path / "site").mkdir()
    made = [str(program.parent / "wagtail"), "start", "mysite", str(tmp_path / "site")]
    subprocess.run(made, check=True, capture_output=True)
    before = files(tmp_path)
    seen = see(tmp_path / "site", program, visiting)
    assert seen.facts.django == installed_django(program)
    assert seen.facts.database.startswith("private PostgreSQL")
    assert seen.facts.settings == "mysite.settings.dev"
    rows = {row.model: row.rows for row in seen.facts.models}
    assert rows["wagtailcore.Page"] == 2
    assert rows["wagtailimages.Image"] == 8
    assert seen.answers["/"]["status"] == 200
    assert "Welcome to your new Wagtail site" in seen.answers["/"]["body"]
    assert not [row for row in seen.urls if row.template.startswith(("admin", "django-admin"))]
    assert files(tmp_path) == before


def test_helpdesk_with_celery_and_the_debug_toolbar(visiting: dict[str, Any]) -> None:
    """django-helpdesk on Django 6.0: a database and a queue that do not exist, a toolbar on every page, an API."""
    root = PROJECTS / HELPDESK.name
    before = files(root)
    seen = see(root, interpreter(HELPDESK), visiting)
    assert seen.facts.database.startswith("private PostgreSQL")
    rows = {row.model: row.rows for row in seen.facts.models}
    assert rows["helpdesk.Ticket"] == rows["helpdesk.FollowUp"] == rows["auth.User"] == 8
    by_template = {row.template: row for row in seen.urls}
    assert by_template["tickets/<int:ticket_id>/"].login
    assert not [row for row in seen.urls if "djdt" in row.template or "__debug__" in row.template]
    assert seen.answers["/later/"]["blocked"] == [
        "task (Celery)",
        "task helpdesk.tasks.helpdesk_process_email",
    ]
    assert seen.answers["/later/"]["body"] == "PENDING"
    assert not [url for url, answer in seen.answers.items() if "djDebug" in answer["body"]]
    # Whoever is not logged in is sent to the login by most of its pages.
    assert seen.statuses[302] + seen.statuses[200] > MOST * 3 // 4, seen.statuses
    assert files(root) == before


def test_oscar_by_one_command(tmp_path: Path) -> None:
    """`workbench profile` on it: the document, findings proven at lines of an installed app, and its files as they were."""
    root = PROJECTS / OSCAR.name
    before = files(root)
    urls = tmp_path / "urls.txt"
    urls.write_text("/catalogue/any_2/reviews/add/\n/basket/\n/no-such-page/\n")
    command = [
        sys.executable,
        "-m",
        "workbench",
        "profile",
        "--project",
        str(root),
        "--python",
        str(interpreter(OSCAR)),
    ]
    options = ["--rows", "6", "--urls", str(urls), "--json", "--no-advice", "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["status"] for row in document["urls"]] == [200, 200, 404]
    assert not [row["error"] for row in document["urls"] if row["error"]]
    proven = [one for one in document["findings"] if one["verdict"] == "scales"]
    assert {"n-plus-one"} <= {one["kind"] for one in proven}
    assert all("site-packages" in one["location"] or "oscar" in one["location"] for one in proven)
    assert document["project"]["blocked"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "site-packages" not in page  # nor any other folder of this machine
    assert str(root) not in page
    assert files(root) == before


def test_advice_on_other_peoples_code(tmp_path: Path) -> None:
    """django-helpdesk on Django 6.0, once as it is installed and once as a copy among the project's own files.

    Where the code is somebody else's, it is told in words what holds; where it can be changed, the diff was measured.
    """
    program = interpreter(HELPDESK)
    (package,) = (program.parent.parent / "lib").glob("python3*/site-packages/helpdesk")
    root = tmp_path / "site"
    shutil.copytree(PROJECTS / HELPDESK.name, root, ignore=shutil.ignore_patterns("__pycache__"))
    with Loaded(project.find(root, python=program), Data(rows=8)) as loaded:
        with loaded.process() as process:
            options = {"username": "boss", "email": "boss@example.com", "interactive": False}
            process.call("workbench.guest.manage:command", name="createsuperuser", **options)
            headers = process.call("workbench.guest.pages:login", user="boss")
        (words,) = advised(loaded, "/tickets/merge", headers)
        assert (words.applied, words.same_response, words.before) == (True, True, None)
        assert words.change.startswith(
            '.select_related("user") on the helpdesk.SavedSearch rows from helpdesk/'
        )
        assert words.rejected is not None
        assert "it is made in helpdesk, which is not the project's own code" in words.rejected
        shutil.copytree(package, root / "helpdesk", ignore=shutil.ignore_patterns("__pycache__"))
        before = files(root)
        best = advised(loaded, "/tickets/merge", headers)[0]
        assert files(root) == before
    assert (best.rejected, best.same_response) == (None, True)
    assert best.change.startswith("--- a/helpdesk/templatetags/saved_queries.py\n")
    assert best.before is not None
    assert best.after is not None
    assert best.after.queries < best.before.queries


def advised(loaded: Loaded, url: str, headers: Mapping[str, str]) -> tuple[Advice, ...]:
    """The advice for the page's N+1."""
    with loaded.process(attribution=True) as process:
        visit = partial(pages.visit, process, url, headers=headers)
        cold, warm, view = visit("cold"), visit("warm"), visit("attributed")
        judged = scaling.judged(
            suspects(cold, warm, view), view, lambda limit: visit("truncated", limit=limit)
        )
    found = tuple(one for one in judged if one.finding.relation == "helpdesk.SavedSearch.user")
    (finding,) = advice.advised(
        loaded, [advice.Page(view, found, headers)], pairs=2, budget_seconds=600
    ).findings
    return finding.advice
