"""A statement's place is the project's nearest frame: not Django's, not a tool's, not a middleware's that only handed it on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RAILWAY = Path(__file__).parents[2] / "projects" / "railway"


@pytest.mark.parametrize("pass_", ["warm", "attributed"])
def test_the_project_s_line_is_named_in_both_passes(
    railway: Any, line: Callable[[str], int], pass_: str
) -> None:
    """Timed and attributed passes agree on file, line and function, so that their statements can be joined."""
    view = railway.visit("/forward/", pass_)
    first, *others = view["queries"]
    assert (first["site"]["file"], first["site"]["line"]) == ("trips/views.py", line("forward-asked"))
    assert {query["site"]["line"] for query in others} == {line("forward-asked")}
    assert first["origin"] == "iterate"
    assert {query["origin"] for query in others} == {"lazy"}


def test_a_template_s_node_is_the_place(railway: Any) -> None:
    """The node in the loop, not the line that rendered the page."""
    view = railway.visit("/template/")
    places = [(q["site"], q["template"]["file"], q["template"]["line"]) for q in view["queries"]]
    name = "trips/templates/trips/list.html"
    assert places == [(None, name, 2), *[(None, name, 3)] * 12]


def test_a_property_read_by_a_template_has_both(railway: Any) -> None:
    """The line in the model, and in an attributed pass the node that read it."""
    view = railway.visit("/template-property/", "attributed")
    asked = [query for query in view["queries"] if query["origin"] == "lazy"]
    assert {(q["site"]["file"], q["site"]["function"]) for q in asked} == {("trips/models.py", "route_name")}
    assert {q["template"]["line"] for q in asked} == {2}


def test_middlewares_are_not_blamed(railway: Any) -> None:
    """The session that Django saves after the view ran beneath a middleware of the project's, which made no statement."""
    view = railway.visit("/session/")
    saving = [query for query in view["queries"] if "django_session" in query["sql"]]
    assert saving
    assert {query["site"] and query["site"]["file"] for query in saving} == {None}


def test_a_middleware_s_own_statement_is_its_own(railway: Any) -> None:
    """What the middleware itself asks has its line."""
    view = railway.visit("/headers/", headers={"X-Count": "1"})
    assert [query["site"]["file"] for query in view["queries"]] == ["trips/middleware.py"]


def test_raw_statements_are_told_apart(railway: Any) -> None:
    """A cursor has no frame of the ORM's."""
    view = railway.visit("/cursor/")
    assert {query["origin"] for query in view["queries"]} == {"raw"}
    assert [query["rows"] for query in view["queries"]] == [-1] * 4  # SQLite does not count


@pytest.mark.parametrize(
    ("url", "origins"),
    [
        ("/count/", {"iterate", "count"}),
        ("/exists/", {"iterate", "exists"}),
        ("/first/", {"iterate", "first"}),
        ("/keys/", {"iterate", "get"}),
        ("/deferred/", {"iterate", "deferred"}),
        ("/prefetched/", {"iterate", "prefetch"}),
        ("/bulk/", {"bulk"}),
        ("/deleting/", {"get", "delete"}),
        ("/writing/", {"save", "other", "count"}),
    ],
)
def test_origins_are_told_without_attribution(railway: Any, url: str, origins: set[str]) -> None:
    """What in Django made a statement is read off the code of its frames alone."""
    assert {query["origin"] for query in railway.visit(url)["queries"]} == origins


def test_an_installed_app_in_site_packages_is_named_where_the_project_has_no_frame(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """As a project from PyPI lies: everything in site-packages, and the folder of manage.py elsewhere."""
    packages = tmp_path / "lib" / "site-packages"
    shutil.copytree(RAILWAY / "trips", packages / "trips")
    own = tmp_path / "own"
    own.mkdir()
    guest = start(root=own, path=packages)
    guest.call("trips.seed:fill", trips=2)
    view = guest.visit("/forward/", "attributed")
    assert view["error"] is None
    assert {query["site"]["file"] for query in view["queries"]} == {str(packages / "trips" / "views.py")}
    assert {query["producer"] for query in view["queries"] if query["origin"] == "lazy"} == {1}
