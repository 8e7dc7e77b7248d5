"""The document's keys, and what must not stand in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from workbench.journal import Journal, JournalWriter, read
from workbench.profile import document, journalled, ranking
from workbench.profile.records import Advice, Finding, Measured, Profile, ProjectFacts, UrlRow

BEFORE, AFTER = Measured(21, 30.0, 28.0, 32.0, 0.5), Measured(2, 9.0, 8.0, 10.0, 0.6)
REJECTED = Advice("--- a\n+++ b\n+other", True, BEFORE, BEFORE, False, "the response changes")
HELD = Advice("--- a\n+++ b\n+better", True, BEFORE, AFTER, True)
FINDING = Finding(
    "n-plus-one",
    "/",
    "shop.Order.customer",
    "shop/views.py:6",
    20,
    12.0,
    "scales",
    1.0,
    advice=(HELD, REJECTED),
)
PROFILE = Profile(
    ProjectFacts("shop", "/srv/shop", "shop.settings"),
    (
        UrlRow("", "shop.views.home", url="/", status=200, queries=21),
        UrlRow("x/", "shop.views.x", error="no value"),
    ),
    (FINDING, replace(FINDING, kind="duplicate", relation=None, verdict="untested", slope=None, advice=())),
    ("/srv/shop/.env: 3 variables", "seen in /opt/venv/lib/python3.12/site-packages/blog/views.py:3"),
)


def test_the_contract() -> None:
    """The keys of the document, with an object or null where one is promised."""
    made = json.loads(json.dumps(document.document(PROFILE)))
    assert made["project"]["name"] == "shop"
    assert set(made["urls"][0]) >= {"url", "status", "queries", "milliseconds", "bytes", "error"}
    first, second = made["findings"]
    assert set(first) >= {"kind", "url", "relation", "location", "queries", "advice"}
    assert set(first["advice"]) >= {"change", "applied", "before", "after", "same_response", "rejected"}
    assert (first["advice"]["change"], first["advice"]["after"]["queries"]) == (HELD.change, 2)
    assert [one["rejected"] for one in first["tried"]] == [None, "the response changes"]
    assert (second["relation"], second["advice"], second["tried"]) == (None, None, [])


def test_what_was_given_to_be_kept_is_hidden_everywhere() -> None:
    """An error that repeats a header, or its token alone, is told without it."""
    leaky = replace(
        PROFILE, urls=(UrlRow("", "v", url="/", error="bad token abcdef012345 of Bearer abcdef012345"),)
    )
    told = json.dumps(document.document(document.hidden(leaky, ["Bearer abcdef012345", "ok"])))
    assert "abcdef" not in told
    assert "********" in told
    assert document.hidden(leaky, []) == leaky


def test_no_folder_of_this_machine_is_shared() -> None:
    """Paths below the project and of installed packages are told from there on."""
    made = document.shared(PROFILE, "/srv/shop")
    assert made.project.root == "shop"
    assert made.notes == (".env: 3 variables", "seen in blog/views.py:3")
    assert made.findings == PROFILE.findings


def test_a_journal_gives_the_profile_back(tmp_path: Path) -> None:
    """One line, read again unchanged; the newest counts."""
    writer = JournalWriter(tmp_path / "journal.jsonl", "one")
    writer.append(journalled.finding_of(replace(PROFILE, findings=())))
    writer.append(journalled.finding_of(PROFILE))
    held: Journal = read(tmp_path / "journal.jsonl")
    assert journalled.profile_of(held.findings) == PROFILE
    assert journalled.profile_of(()) is None


def test_the_order_is_that_of_what_is_gained() -> None:
    """First what a change saves, then what is proven, then what costs most."""
    costly = replace(FINDING, milliseconds=500.0, advice=(REJECTED,))
    flat = replace(FINDING, milliseconds=900.0, verdict="flat", advice=())
    untested = replace(FINDING, milliseconds=700.0, verdict="untested", advice=())
    assert ranking.ranked([flat, untested, costly, FINDING]) == (FINDING, costly, untested, flat)
    assert [ranking.is_proven(one) for one in (FINDING, untested, flat)] == [True, False, False]


def test_one_problem_on_several_pages_is_one() -> None:
    """With each change that was tried on any of them, the accepted ones first."""
    better = replace(HELD, change="another", after=replace(AFTER, milliseconds=3.0))
    (one,) = ranking.problems([replace(FINDING, url="/all/", advice=(better,)), FINDING])
    assert set(one.urls) == {"/", "/all/"}
    assert [(url, advice.change) for url, advice in one.tried] == [
        ("/all/", "another"),
        ("/", HELD.change),
        ("/", REJECTED.change),
    ]
