"""A page view is a row whatever the page does, and says what a visitor would have got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbench import schema
from workbench.profile.records import PageView


@pytest.mark.parametrize("pass_", ["cold", "warm", "attributed", "truncated", "advised"])
def test_a_view_is_the_profile_s_record(railway: Any, pass_: str) -> None:
    """Every pass answers the fields of PageView and no others."""
    answer = railway.visit("/forward/", pass_)
    view: PageView = schema.from_json(PageView, answer)
    assert (view.url, view.pass_, view.status, view.error, view.wrote) == (
        "/forward/",
        pass_,
        200,
        None,
        False,
    )
    assert view.bytes > 100
    assert view.milliseconds >= sum(query.milliseconds for query in view.queries) > 0
    assert schema.to_json(view) == answer


def test_an_unknown_pass_is_refused(railway: Any) -> None:
    """A typing error must not become a silent warm pass."""
    with pytest.raises(AssertionError, match="no such pass: 'hot'"):
        railway.visit("/forward/", "hot")


def test_a_view_that_raises_is_a_row_without_secrets(railway: Any) -> None:
    """Status 500, what it had asked until then, and one line from which passwords are taken out."""
    view = railway.visit("/broken/")
    assert (view["status"], len(view["queries"])) == (500, 1)
    assert view["error"] == (
        "RuntimeError: no way: postgres://me:********@db/x password=******** token: ********"
    )


def test_a_view_that_leaves_the_process_is_a_row(railway: Any) -> None:
    """`sys.exit()` ends the view, not the guest."""
    view = railway.visit("/leaving/")
    assert (view["status"], view["error"]) == (0, "SystemExit: 3")
    assert railway.visit("/workers/")["status"] == 200


def test_a_missing_page_is_a_status(railway: Any) -> None:
    """404 is an answer, not an error."""
    view = railway.visit("/nowhere/")
    assert (view["status"], view["error"]) == (404, None)


def test_a_page_that_asks_without_end_is_cut(railway: Any) -> None:
    """Although it swallows every Exception."""
    view = railway.visit("/endless/", limit={"queries": 200})
    assert (view["status"], view["error"], len(view["queries"])) == (0, "cut after 200 statements", 200)


@pytest.mark.parametrize("url", ["/spinning/", "/sleeping/", "/endless/"])
def test_a_page_that_takes_too_long_is_cut(railway: Any, url: str) -> None:
    """Whether it computes, waits or asks; and the guest goes on."""
    view = railway.visit(url, limit={"seconds": 0.5})
    assert (view["status"], view["error"]) == (0, "cut after 0.5 s")
    assert 400 < view["milliseconds"] < 10_000
    assert railway.visit("/forward/")["error"] is None


def test_the_clock_works_off_the_main_thread(railway: Any) -> None:
    """Where no signal can be had, as under a kernel's worker thread."""
    assert railway.call("trips.seed:cut_in_thread") == ["cut after 0.2 s", 500_000]


def test_streams_are_read_to_their_end(railway: Any) -> None:
    """The body and what it asks while it is sent; an asynchronous one too."""
    view = railway.visit("/streaming/")
    assert (view["bytes"], len(view["queries"])) == (96, 13)
    assert railway.visit("/stream-asynchronous/")["bytes"] > 20


def test_a_stream_without_end_is_left(railway: Any) -> None:
    """After 64 MiB nothing more is learnt."""
    assert railway.visit("/stream-without-end/")["bytes"] == 64 * 2**20


def test_the_host_is_one_that_the_project_answers_to(railway: Any) -> None:
    """ALLOWED_HOSTS has neither this machine nor the test client's name; the digest is of the body all the same."""
    view = railway.visit("/headers/")
    assert view["status"] == 200
    other = railway.visit("https://shop.railway.example/headers/")
    assert other["status"] == 200
    assert other["digest"] != view["digest"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "two.railway.example"}, 200),
        ({"Host": "two.railway.example:8080"}, 200),
        ({"SERVER_NAME": "three.railway.example"}, 200),
        ({"Host": "elsewhere.example"}, 400),
        ({"X-Api-Key": "k", "Cookie": "a=b", "Authorization": "Bearer x"}, 200),
    ],
)
def test_headers_go_in(railway: Any, headers: dict[str, str], status: int) -> None:
    """Host and SERVER_NAME choose per-host URLs; others are headers."""
    plain = railway.visit("/headers/")
    view = railway.visit("/headers/", headers=headers)
    assert view["status"] == status
    assert view["digest"] != plain["digest"]


def test_cold_and_warm_are_told_apart(railway: Any) -> None:
    """A cold pass finds empty caches, those of Django's content types too; a warm one what the cold one left."""
    railway.visit("/shelf/", "warm")
    cold, warm = railway.visit("/shelf/", "cold"), railway.visit("/shelf/", "warm")
    assert (len(cold["queries"]), len(warm["queries"])) == (2, 0)
    assert cold["digest"] == warm["digest"]


def test_other_threads_and_databases_are_seen(railway: Any) -> None:
    """A thread of the view's has connections of its own; a router sends statements elsewhere."""
    view = railway.visit("/threaded/")
    assert {(q["alias"], q["thread"]) for q in view["queries"]} == {
        ("default", "railway-worker"),
        ("archive", "railway-worker"),
    }
    assert {q["alias"] for q in railway.visit("/archive/")["queries"]} == {"archive"}


def test_a_thread_that_goes_on_is_left_behind(railway: Any) -> None:
    """It is waited for two seconds, and its connection is taken from it."""
    view = railway.visit("/unwaited/")
    assert (view["status"], view["error"], len(view["queries"])) == (200, None, 1)
    assert view["milliseconds"] < 1500


def test_what_changes_by_itself_is_masked(railway: Any) -> None:
    """CSRF tokens and the time of day differ between two visits; the digest does not."""
    digests = {railway.visit("/form/")["digest"] for _ in range(3)}
    assert len(digests) == 1


def test_two_baselines_find_what_else_changes(railway: Any) -> None:
    """Words that differ between two visits of an unchanged page are masked by their position."""
    assert len({railway.visit("/changing/")["digest"] for _ in range(2)}) == 2
    base = railway.call("workbench.guest.pages:baseline", url="/changing/")
    assert (base["stable"], base["reason"]) == (True, None)
    seen = {railway.visit("/changing/", masks=base["masks"])["digest"] for _ in range(3)}
    assert seen == {base["digest"]}


def test_an_unstable_page_is_refused(railway: Any) -> None:
    """When two visits differ in more than words nothing can be said of a change."""
    base = railway.call("workbench.guest.pages:baseline", url="/unstable/")
    assert (base["stable"], base["masks"]) == (False, [])
    broken = railway.call("workbench.guest.pages:baseline", url="/endless/", limit={"queries": 20})
    assert (broken["stable"], broken["reason"]) == (False, "cut after 20 statements")


def test_a_login_is_a_cookie(railway: Any) -> None:
    """The session lies in the private copy, so that every process of the project can use it."""
    railway.call("trips.seed:user", name="ada")
    headers = railway.call("workbench.guest.pages:login", user="ada")
    anonymous, known = railway.visit("/who/"), railway.visit("/who/", headers=headers)
    assert (anonymous["status"], known["status"]) == (302, 200)
    with pytest.raises(AssertionError, match="no user 'eve'"):
        railway.call("workbench.guest.pages:login", user="eve")


def test_tools_for_developers_are_left_out(start: Callable[..., Any]) -> None:
    """A debug toolbar, installed as most projects ship it, is neither measured nor a part of the answer."""
    guest = start(settings={"DEBUG": True, "INTERNAL_IPS": ["127.0.0.1"]})
    guest.call("trips.seed:fill", trips=3)
    if not guest.call("trips.seed:has_toolbar"):
        pytest.skip("no debug toolbar for this interpreter")
    view = guest.visit("/template/")
    assert (view["status"], view["error"], len(view["queries"])) == (200, None, 4)
    assert {query["template"]["line"] for query in view["queries"]} == {2, 3}
    again = guest.visit("/template/", "attributed")
    assert again["digest"] == view["digest"]
    assert again["bytes"] == view["bytes"] < 500


def test_one_page_at_a_time(railway: Any) -> None:
    """The recorder is the process's: a second one beside it would mix two pages up."""
    assert railway.call("trips.seed:two_at_once") == "RuntimeError"
