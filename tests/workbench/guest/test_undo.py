"""A page view leaves nothing behind, and the page hardly notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

WRITING = [
    "/writing/",
    "/bulk/",
    "/deleting/",
    "/durable/",
    "/hooked/",
    "/caught/",
    "/closing/",
    "/by-hand/",
    "/threaded/",
    "/session/",
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def rails(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The railway on each database."""
    begin: Callable[..., Any] = request.getfixturevalue("guest_type")
    folder = tmp_path_factory.mktemp("rails")
    if request.param == "sqlite":
        databases = {
            alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / alias)}
            for alias in ("default", "archive")
        }
    else:
        server = request.getfixturevalue("postgres")
        names = {alias: f"rails_{alias}" for alias in ("default", "archive")}
        for name in names.values():
            server.create_database(name)
        databases = {alias: server.django_database(name) for alias, name in names.items()}
        databases["default"]["ATOMIC_REQUESTS"] = False
    with begin(folder, databases) as guest:
        guest.call("trips.seed:fill", trips=6)
        yield guest
    if request.param == "postgresql":
        for name in names.values():
            server.drop_database(name)


@pytest.mark.parametrize("url", WRITING)
@pytest.mark.parametrize("pass_", ["warm", "attributed"])
def test_nothing_stays(rails: Any, url: str, pass_: str) -> None:
    """Rows of every table, in both databases, are as before."""
    before = rails.call("trips.seed:counts")
    view = rails.visit(url, pass_)
    assert rails.call("trips.seed:counts") == before
    assert view["wrote"] is (url != "/by-hand/")
    # Another session would see what had been committed, and wait for what had not been ended.
    again = rails.visit(url, pass_)
    assert (again["status"], len(again["queries"])) == (view["status"], len(view["queries"]))


def test_autocommit_is_kept_inside_the_transaction(rails: Any) -> None:
    """What failed costs only itself: a refused row, a refused block, a refused SELECT; what had succeeded is still there."""
    view = rails.visit("/caught/")
    assert (view["status"], view["error"]) == (200, None)
    body = rails.call("trips.seed:body", url="/caught/")
    assert body == '{"rows": ["kept"]}'


def test_durable_blocks_are_let_in(rails: Any) -> None:
    """`atomic(durable=True)` refuses to be nested; nested in ours it is still the page's outermost."""
    assert rails.visit("/durable/")["status"] == 200


def test_hooks_of_a_commit_are_run(rails: Any) -> None:
    """Production would have run them: their statements belong to the page, those of hooks in hooks too."""
    view = rails.visit("/hooked/")
    assert [(q["origin"], q["site"]["function"]) for q in view["queries"]] == [
        ("save", "<lambda>"),
        ("count", "<lambda>"),
    ]
    failing = rails.visit("/hook-fails/")
    assert (failing["status"], failing["error"]) == (
        200,
        "on_commit: ZeroDivisionError: division by zero",
    )


def test_a_page_may_give_its_connection_back(rails: Any) -> None:
    """A closed connection would have thrown away what the page itself had written."""
    assert rails.call("trips.seed:body", url="/closing/") == '{"rows": [4]}'


def test_a_page_that_commits_by_hand_is_an_error_row(rails: Any) -> None:
    """Nothing can be rolled back around it; Django says so."""
    view = rails.visit("/by-hand/")
    assert view["status"] == 500
    assert "TransactionManagementError" in view["error"]


def test_an_unreachable_database_hurts_only_who_asks_it(start: Callable[..., Any], tmp_path: Any) -> None:
    """An alias that cannot be opened is no reason for the others' pages to fail."""
    databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "default")},
        "archive": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "no" / "such" / "folder")},
    }
    guest = start(databases)
    guest.call("trips.seed:fill_default")
    assert guest.visit("/workers/")["status"] == 200
    view = guest.visit("/archive/")
    assert view["status"] == 500
    assert "OperationalError" in view["error"]
