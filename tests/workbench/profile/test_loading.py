"""What real projects do does not break the run, and nothing of theirs is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from workbench import project
from workbench.errors import WorkbenchError
from workbench.profile.loading import Data, Loaded, command_of
from workbench.profile.records import ProjectFacts, UrlRow

Visit = Callable[[str], Mapping[str, Any]]


@pytest.fixture(scope="module")
def facts(awkward: Loaded) -> ProjectFacts:
    return awkward.facts()


@pytest.fixture(scope="module")
def urls(awkward: Loaded) -> dict[str, UrlRow]:
    return {row.template: row for row in awkward.urls()}


@pytest.fixture(scope="module")
def visit(awkward: Loaded) -> Iterator[Visit]:
    with awkward.process() as process:
        yield lambda path: process.call("read_page:visit", url=path)


def test_every_page_is_a_row(urls: dict[str, UrlRow]) -> None:
    """Pages with arguments got one from the data, the admin is left out, a page that cannot be filled says so."""
    assert not [template for template in urls if template.startswith("backstage")]
    assert urls["people/<uuid:pk>/"].url
    assert urls["countries/<str:code>/"].url
    assert urls["places/<slug:slug>/"].url
    assert urls["^archive/(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/$"].url
    assert urls["en/about/"].url == "/en/about/"
    assert (urls["form/"].methods, urls["form/"].url) == (("POST",), None)
    assert urls["private/"].login
    assert not urls["mail/"].login
    assert urls["people/<uuid:pk>/"].methods == ("GET",)
    assert urls["people/<uuid:pk>/"].view == "places.views.PersonView"
    assert urls["unfillable/<token>/"].error == "no value was found for its arguments"


def test_pages_of_another_host_have_their_own_urls(urls: dict[str, UrlRow]) -> None:
    """A URL configuration for each host is read too."""
    assert (urls["api.localhost/v1/places/<int:pk>/"].url or "").startswith("http://api.localhost/v1/places/")


def test_filled_arguments_lead_to_pages(urls: dict[str, UrlRow], visit: Visit) -> None:
    """A page whose arguments were filled is found, on its own host too; the one that is broken as shipped answers 500, and that is all."""
    answers = {row.template: visit(row.url)["status"] for row in urls.values() if row.url}
    expected = dict.fromkeys(answers, 200) | {"broken/": 500, "count/": 500, "private/": 302}
    assert answers == expected


def test_each_thing_blocked_is_counted(visit: Visit) -> None:
    """Mail, other servers, other databases and files are kept from the world, and named."""
    assert visit("/mail/")["blocked"] == ["mail"]
    fetched = visit("/fetch/")
    assert fetched["blocked"] == ["HTTPS example.com:443"]
    assert "no quotes" in fetched["body"]
    assert visit("/other-database/")["blocked"] == ["SQLite own-side.sqlite3"]
    assert visit("/upload/")["blocked"] == ["file written"]


def test_the_relative_template_and_the_variable_are_there(visit: Visit) -> None:
    """The working directory is the project's, .env was read, static files need no manifest."""
    page = visit("/")["body"]
    assert "from the file" in page
    assert "/static/site.css" in page
    assert "<p>" in page


def test_models_that_cannot_be_counted_have_rows(facts: ProjectFacts) -> None:
    """count() of a manager is not asked; unmanaged tables are made, views of the database are read; keys may be strings."""
    rows = {row.model: row for row in facts.models}
    assert rows["places.Place"].rows == 24  # 12, and the parents of 12 harbours
    assert rows["places.Harbour"].rows == 12
    assert rows["places.Legacy"].rows == 12
    assert (rows["places.PlaceCount"].rows or 0) > 0
    assert rows["places.Event"].rows == 12
    assert rows["places.Person"].rows == 12
    assert "country_id" in rows["places.Place"].indexes
    assert (rows["places.Place"].bytes or 0) > 0
    assert not [row for row in facts.models if row.error]


def test_a_table_that_refuses_is_told(awkward: Loaded) -> None:
    """No made-up row passes its check; every other table is filled all the same."""
    assert [note for note in awkward.notes if "places.Impossible (0 made)" in note]


def test_several_databases_become_as_many(awkward: Loaded, facts: ProjectFacts) -> None:
    """The mirror shares its primary's database, the routed one has its own."""
    databases = awkward.databases
    assert databases.name("replica") == databases.name("default") != databases.name("events")
    assert "2 databases" in facts.database
    assert awkward.server is not None
    with awkward.server.connect(databases.name("events")) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert {name for (name,) in found if name.startswith("places")} == {"places_event"}


def test_settings_that_matter_are_judged_by_the_projects_own(facts: ProjectFacts) -> None:
    """What the workbench laid over them is not what is judged; no secret is shown."""
    rows = {row.name: row for row in facts.settings_rows}
    assert not rows["DEBUG"].good
    assert rows["CACHES.default.BACKEND"].value == "RedisCache"
    assert not rows["CACHES.default.socket timeout"].good
    assert not rows["ATOMIC_REQUESTS"].good
    assert all(bool(row.advice) != row.good for row in facts.settings_rows)
    assert "6379" not in str(facts.settings_rows)
    assert facts.blocked["cache default (RedisCache)"] >= 1


def test_the_project_stays_as_it_is(awkward: Loaded, visit: Visit) -> None:
    """After migrations, rows and pages that write, every file in its folder is what it was, and none is new."""
    for path in ("/upload/", "/writes/", "/other-database/", "/"):
        visit(path)
    assert awkward.untouched()  # type: ignore[attr-defined]


def test_allow_network_opens_the_network_only(awkward: Loaded) -> None:
    """Another server may then be reached, another database still may not."""
    with Loaded(awkward.project, Data(rows=0), allow_network=True) as loaded:
        assert loaded.sandbox()["allow_network"] is True
        with loaded.process() as process:
            assert process.call("read_page:visit", url="/other-database/")["body"].startswith("refused")
            assert process.call("read_page:visit", url="/mail/")["blocked"] == ["mail"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("manage.py seed --users 20", ["seed", "--users", "20"]),
        ("python ./manage.py seed 'a b'", ["seed", "a b"]),
        ("seed", ["seed"]),
        ("/usr/bin/python3 /srv/app/manage.py loaddemo", ["loaddemo"]),
    ],
)
def test_a_seed_is_a_management_command(text: str, words: list[str]) -> None:
    """However it is written."""
    assert command_of(text) == words


@pytest.mark.parametrize("text", ["python seed.py", "", "./load.sh"])
def test_another_program_is_no_seed(text: str) -> None:
    """It would run outside the sandbox."""
    with pytest.raises(WorkbenchError, match="no management command"):
        command_of(text)


def test_fixtures_and_seeds_fill_the_copy(tmp_path: Path) -> None:
    """A fixture's rows come in, a seed command's too, and none are generated beside them."""
    root = tmp_path / "small"
    commands = root / "small" / "management" / "commands"
    commands.mkdir(parents=True)
    for folder in (root / "small", commands.parent, commands):
        (folder / "__init__.py").write_text("")
    (root / "manage.py").write_text('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "small.settings")\n')
    (root / "small" / "settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth', 'small']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'own.sqlite3'}}\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\n"
    )
    (commands / "seed.py").write_text(
        "from django.contrib.auth.models import Group\nfrom django.core.management.base import BaseCommand\n"
        "class Command(BaseCommand):\n"
        "    def add_arguments(self, parser):\n        parser.add_argument('--groups', type=int)\n"
        "    def handle(self, *args, groups, **options):\n"
        "        for number in range(groups):\n            Group.objects.create(name=f'seeded {number}')\n"
    )
    fixture = tmp_path / "groups.json"
    fixture.write_text('[{"model": "auth.group", "pk": 900, "fields": {"name": "from the fixture"}}]')
    data = Data(seed=["manage.py seed --groups 3"], fixtures=[str(fixture)])
    with Loaded(project.find(root), data) as loaded:
        rows = {row.model: row.rows for row in loaded.facts().models}
        assert (rows["auth.Group"], rows["auth.User"]) == (4, 0)
        assert "groups.json" in loaded.facts().database
    assert not (root / "own.sqlite3").exists()
