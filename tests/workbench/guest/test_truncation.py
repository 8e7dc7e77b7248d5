"""One producer's rows are cut in the process, and its statements follow; nothing is written."""

from __future__ import annotations

from typing import Any

import pytest


def key(view: dict[str, Any], model: str) -> dict[str, Any]:
    """What names a producer in another view of the page: the places, not the number."""
    batch = next(one for one in view["batches"] if one["model"] == model)
    return {name: batch[name] for name in ("model", "created", "evaluated", "template")}


def counts(railway: Any, url: str, model: str, rows: int) -> tuple[int, int]:
    """Statements of a page as it is, and with that producer cut."""
    whole = railway.visit(url, "attributed")
    cut = railway.visit(url, "truncated", limit={"site": key(whole, model), "rows": rows})
    return len(whole["queries"]), len(cut["queries"])


@pytest.mark.parametrize(
    ("url", "model", "whole", "half"),
    [
        ("/forward/", "trips.Trip", 13, 7),
        ("/sliced/", "trips.Trip", 7, 7),
        ("/iterated/", "trips.Trip", 13, 7),
        ("/template/", "trips.Trip", 13, 7),
        ("/class-queryset/", "trips.Trip", 13, 7),
        ("/raw/", "trips.Trip", 13, 7),
        ("/keys/", "trips.Trip", 13, 7),
        ("/values/", "trips.Trip", 13, 7),
    ],
)
def test_an_n_plus_one_follows_its_producer(
    railway: Any, url: str, model: str, whole: int, half: int
) -> None:
    """Six of twelve rows: half the statements, also on slices, raw SQL and rows without instances."""
    assert counts(railway, url, model, 6) == (whole, half)


@pytest.mark.parametrize(
    ("url", "model"),
    [("/prefetched/", "trips.Route"), ("/selected/", "trips.Trip"), ("/workers/", "trips.Worker")],
)
def test_clean_pages_stay_flat(railway: Any, url: str, model: str) -> None:
    """A prefetch is one statement for any number of rows."""
    whole, cut = counts(railway, url, model, 1)
    assert cut == whole


def test_only_the_named_producer_is_cut(railway: Any) -> None:
    """Two querysets on one line: the instruction in the key chooses one, a line chooses both."""
    whole = railway.visit("/two-on-a-line/", "attributed")
    assert [batch["rows"] for batch in whole["batches"][:2]] == [5, 7]
    site = key(whole, "trips.Trip")
    cut = railway.visit("/two-on-a-line/", "truncated", limit={"batch": site, "rows": 1})
    assert [b["rows"] for b in cut["batches"] if b["model"] == "trips.Trip"] == [1, 7]
    place = site["created"][-1]
    both = railway.visit(
        "/two-on-a-line/", "truncated", limit={"site": f"{place['file']}:{place['line']}", "rows": 1}
    )
    assert [b["rows"] for b in both["batches"] if b["model"] == "trips.Trip"] == [1, 1]


def test_no_rows_asks_nothing(railway: Any) -> None:
    """Cut to none, the producer's own statement is not run either."""
    assert counts(railway, "/forward/", "trips.Trip", 0) == (13, 0)


def test_a_site_that_is_nowhere_cuts_nothing(railway: Any) -> None:
    """An unknown key leaves the page as it is."""
    cut = railway.visit("/forward/", "truncated", limit={"site": "trips/views.py:1", "rows": 1})
    assert len(cut["queries"]) == 13


def test_a_page_that_loops_when_cut_is_ended(railway: Any) -> None:
    """A view that waits for rows that no longer come ends at three times what it needs; the view says so."""
    whole = railway.visit("/expecting/", "attributed")
    assert (whole["error"], len(whole["queries"])) == (None, 3)
    cut = railway.visit("/expecting/", "truncated", limit={"site": key(whole, "trips.Trip"), "rows": 1})
    assert (cut["status"], cut["error"]) == (0, "cut after 59 statements")
    assert len(cut["queries"]) == 59


def test_a_page_that_fails_when_cut_is_a_row(railway: Any) -> None:
    """It may miss what it counted: an error, not a verdict."""
    whole = railway.visit("/indexing/", "attributed")
    cut = railway.visit("/indexing/", "truncated", limit={"site": key(whole, "trips.Trip"), "rows": 1})
    assert (whole["error"], cut["status"]) == (None, 500)
    assert "IndexError" in cut["error"]


@pytest.mark.parametrize(
    "url", ["/forward/", "/sliced/", "/indexed/", "/first/", "/class-queryset/", "/managed/"]
)
def test_a_key_holds_however_often_the_page_has_run(railway: Any, url: str) -> None:
    """Python replaces instructions that run often; the places must not move with them."""
    first = railway.visit(url, "attributed")
    for _ in range(12):
        railway.visit(url, "warm")
    again = railway.visit(url, "attributed")
    assert again["batches"] == first["batches"]
    assert [query["site"] for query in again["queries"]] == [query["site"] for query in first["queries"]]
