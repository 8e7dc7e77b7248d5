"""Verdicts: what follows the rows, what does not, and what could not be tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from workbench.profile import scaling
from workbench.profile.findings import findings, suspects
from workbench.profile.loads import read_elsewhere
from workbench.profile.records import Batch, Finding, PageView, Query, Site, Transaction

MADE, ASKED = Site("shop/views.py", 10, "index", 4), Site("shop/views.py", 12, "index", 9)
LIST = 'SELECT "item"."id" FROM "item"'


def page(rows: int, asked: int, *, status: int = 200, error: str | None = None, **asking: Any) -> PageView:
    """A view that makes `rows` items and asks for the maker of `asked` of them."""
    lazy = Query(
        'SELECT * FROM "maker" WHERE "maker"."id" = %s',
        1.0,
        rows=1,
        origin="lazy",
        site=ASKED,
        relation="shop.Item.maker",
        producer=1,
    )
    queries = (
        Query(LIST, 1.0, rows, origin="iterate", site=MADE, batch=1),
        *[replace(lazy, **asking)] * asked,
    )
    batches = (Batch(1, "shop.Item", rows, (MADE,), MADE),)
    return PageView("/", "attributed", status, queries=queries, batches=batches, error=error)


def verdict(whole: PageView, visit: Callable[[dict[str, Any]], PageView]) -> tuple[str, float | None]:
    (one,) = scaling.judged(suspects(None, whole, whole), whole, visit)
    return one.finding.verdict, one.finding.slope


def test_statements_that_follow_the_rows_scale() -> None:
    """One for each: the slope is one, whatever the cut leaves."""
    assert verdict(page(10, 10), lambda limit: page(limit["rows"], limit["rows"])) == ("scales", 1.0)


@pytest.mark.parametrize(("asked", "cut"), [(3, 3), (4, 2)])
def test_statements_that_do_not_follow_are_flat(asked: int, cut: int) -> None:
    """As many with half the rows, or one for each chunk of five."""
    assert verdict(page(20, asked), lambda limit: page(limit["rows"], cut))[0] == "flat"


def test_a_page_that_fails_when_cut_is_cut_less_and_else_untested() -> None:
    """A page may miss what it counted: half of its rows, then one, and if both fail nothing is said."""
    limits = []

    def visit(limit: dict[str, Any]) -> PageView:
        limits.append(limit["rows"])
        if limit["rows"] == 1:
            return page(1, 1)
        return page(5, 0, status=500, error="IndexError: list index out of range")

    assert verdict(page(10, 10), visit) == ("scales", 1.0)
    assert limits == [5, 1]
    assert verdict(page(10, 10), lambda _: page(1, 1, status=404)) == ("untested", None)
    assert verdict(page(10, 10), lambda _: page(1, 1, error="cut after 80 statements")) == ("untested", None)


def test_a_cut_that_cut_nothing_says_nothing() -> None:
    """The key was not met again, as where a page chooses another way each time."""
    assert verdict(page(10, 10), lambda _: page(10, 10)) == ("untested", None)


def test_each_cut_is_visited_once() -> None:
    """Two relations of one producer are judged by one view."""
    limits = []

    def both(rows: int) -> PageView:
        one, other = page(rows, rows), page(rows, rows, relation="shop.Item.shelf", sql="SELECT 2")
        return replace(one, queries=(*one.queries, *other.queries[1:]))

    def visit(limit: dict[str, Any]) -> PageView:
        limits.append(limit)
        return both(limit["rows"])

    whole = both(10)
    judged = scaling.judged(suspects(None, whole, whole), whole, visit)
    assert [(one.finding.relation, one.finding.verdict) for one in judged] == [
        ("shop.Item.maker", "scales"),
        ("shop.Item.shelf", "scales"),
    ]
    place = {"file": "shop/views.py", "line": 10, "function": "index", "lasti": 4}
    site = {"model": "shop.Item", "created": [place], "evaluated": place, "template": None}
    assert limits == [{"batch": site, "rows": 5}]


def test_a_guessed_producer_is_never_flat() -> None:
    """An evaluation that only had as many rows may be the wrong one: a flat answer proves nothing of the loop."""
    loop = page(10, 0)
    asked = tuple(Query("SELECT 1 WHERE %s", 1.0, origin="raw", site=ASKED, rows=1) for _ in range(10))
    whole = replace(loop, queries=loop.queries + asked)
    (one,) = suspects(None, whole, whole)
    assert (one.finding.kind, one.certain) == ("query-in-loop", False)

    def visit(limit: dict[str, Any]) -> PageView:
        return replace(page(limit["rows"], 0), queries=loop.queries + asked)

    assert verdict(whole, visit) == ("untested", None)
    scaled = scaling.judged(
        (one,), whole, lambda limit: replace(page(limit["rows"], 0), queries=asked[: limit["rows"]])
    )
    assert (scaled[0].finding.verdict, scaled[0].certain) == ("scales", True)


def test_what_only_a_cold_view_does_is_no_finding() -> None:
    """The warm view asks once what the attributed one asked often: a cache was emptied in between."""
    assert findings(page(10, 10), page(10, 1), page(10, 10)) == ()
    assert [one.kind for one in findings(page(10, 1), page(10, 10), page(10, 10))] == ["n-plus-one"]


def test_a_page_that_failed_has_no_findings() -> None:
    """How far it got says nothing of it when it works."""
    assert findings(None, page(10, 10), page(10, 10, status=500, error="ValueError")) == ()


@pytest.mark.parametrize(("rows", "kinds"), [(100, []), (1, ["per-row-write"])])
def test_a_collector_s_pieces_are_no_loop(rows: int, kinds: list[str]) -> None:
    """Django deletes a hundred at a time; a loop that deletes instances has a row each time."""
    deletes = tuple(
        Query('DELETE FROM "item" WHERE "item"."id" IN (%s)', 1.0, rows, origin="delete", site=ASKED)
        for _ in range(4)
    )
    view = PageView("/", "attributed", 200, queries=deletes, wrote=True)
    assert [one.kind for one in findings(None, view, view)] == kinds


def test_one_row_of_a_relation_read_twice_is_a_duplicate() -> None:
    """The same statement with the same values, from an instance that no evaluation of many rows made."""
    view = page(1, 2)
    asked = replace(view.queries[2], same_as=1)
    view = replace(view, queries=(*view.queries[:2], asked))
    assert [one.kind for one in findings(None, view, view)] == ["duplicate"]


def test_a_load_that_another_page_reads_is_none() -> None:
    """A queryset that pages share must load what any of them needs."""
    batch = Batch(1, "shop.Item", 9, (MADE,), MADE, unread=("maker",))
    idle = PageView("/", "attributed", 200, batches=(batch,))
    reading = replace(idle, url="/other/", batches=(replace(batch, unread=()),))
    empty = replace(idle, url="/empty/", batches=(replace(batch, unread=(), rows=0),))
    found: tuple[Finding, ...] = findings(None, idle, idle)
    assert [(one.kind, one.relation) for one in found] == [("unused-eager-load", "shop.Item.maker")]
    assert read_elsewhere(found, [idle, empty]) == found
    assert read_elsewhere(found, [idle, reading]) == ()


def test_what_one_of_several_evaluations_reads_is_used() -> None:
    """The same queryset evaluated twice on one page."""
    batch = Batch(1, "shop.Item", 9, (MADE,), MADE, unread=("maker",))
    both = (batch, replace(batch, id=2, unread=()))
    view = PageView("/", "attributed", 200, batches=both)
    assert findings(None, view, view) == ()


@pytest.mark.parametrize(
    ("wrote", "milliseconds", "busy", "cold", "number"),
    [
        (True, 300.0, 20.0, 300.0, 1),
        (True, 300.0, 250.0, 300.0, 0),
        (True, 90.0, 1.0, 90.0, 0),
        (True, 300.0, 20.0, 30.0, 0),
        (False, 300.0, 20.0, 300.0, 0),
        (False, 1500.0, 20.0, 1500.0, 1),
    ],
)
def test_a_transaction_that_waits_is_held_too_long(
    wrote: bool, milliseconds: float, busy: float, cold: float, number: int
) -> None:
    """Work of the database is no waiting, a reader blocks nobody, and one slow view may be the machine's."""

    def view(open_for: float) -> PageView:
        return PageView(
            "/", "warm", 200, transactions=(Transaction("default", MADE, open_for, busy, 2, wrote),)
        )

    found = findings(view(cold), view(milliseconds), view(milliseconds))
    assert [one.kind for one in found] == ["long-transaction"] * number
