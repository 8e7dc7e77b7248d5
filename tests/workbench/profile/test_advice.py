"""Advice, as it is told: the diff itself was run in fresh processes, beside the project as it is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from workbench.profile import advice, pages, scaling
from workbench.profile.findings import suspects
from workbench.profile.loading import Loaded
from workbench.profile.records import Advice, Finding


def page_of(loaded: Loaded, urls: list[str]) -> list[advice.Page]:
    """Pages with their findings, judged."""
    found = []
    with loaded.process(attribution=True) as process:
        for url in urls:
            visit = partial(pages.visit, process, url)
            cold, warm, view = visit("cold"), visit("warm"), visit("attributed")
            assert (warm.error, warm.status) == (None, 200)
            judged = scaling.judged(
                suspects(cold, warm, view), view, lambda limit, visit=visit: visit("truncated", limit=limit)
            )
            found.append(advice.Page(view, judged))
    return found


PAGES = (
    "nested",
    "one-orchard",
    "counted",
    "heavy",
    "visited",
    "first",
    "unstable",
    "of-the-process",
    "twice",
)


@pytest.fixture(scope="module")
def outcome(orchard_project: Loaded) -> advice.Advised:
    found = page_of(orchard_project, [f"/{name}/" for name in PAGES])
    return advice.advised(orchard_project, found, pairs=2, budget_seconds=600)


@pytest.fixture(scope="module")
def of(outcome: advice.Advised) -> Callable[[str, str], Finding]:
    def find(name: str, kind: str) -> Finding:
        return next(one for one in outcome.findings if (one.url, one.kind) == (f"/{name}/", kind))

    return find


def accepted(finding: Finding) -> Advice:
    best = finding.advice[0]
    assert best.rejected is None, best
    assert best.applied
    assert best.same_response
    assert best.before is not None
    assert best.after is not None
    return best


def test_a_join_over_two_relations_is_measured(outcome: advice.Advised) -> None:
    """Both findings of the page have a change that holds alone, and together they need one join only."""
    found = [one for one in outcome.findings if one.url == "/nested/"]
    relations = {one.relation: one for one in found if one.kind == "n-plus-one"}
    assert relations.keys() == {"trees.Apple.tree", "trees.Tree.kind"}
    best = accepted(relations["trees.Tree.kind"])
    assert best.before is not None
    assert best.after is not None
    assert best.before.queries > 20 * best.after.queries
    assert best.before.milliseconds > best.after.milliseconds > 0
    assert best.before.mebibytes
    assert best.after.mebibytes
    whole = outcome.together["/nested/"]
    assert whole.rejected is None
    (line,) = [line for line in whole.change.splitlines() if line.startswith("+    ")]
    assert line.endswith('.order_by("pk").select_related("tree__kind"))')


def test_a_template_is_cured_where_the_view_has_its_rows(
    outcome: advice.Advised, of: Callable[[str, str], Finding]
) -> None:
    """The loop and its queryset are in the template; a generic view gets a queryset of its own."""
    best = accepted(of("one-orchard", "n-plus-one"))
    assert '+    queryset = Orchard.objects.prefetch_related("trees__kind")' in best.change


def test_a_count_is_made_by_the_database(of: Callable[[str, str], Finding]) -> None:
    """One statement instead of one for each."""
    best = accepted(of("counted", "count-in-loop"))
    assert "annotate(trees_count=Count(" in best.change
    assert best.after is not None
    assert best.after.queries == 1


def test_columns_left_out_cost_less_memory(of: Callable[[str, str], Finding]) -> None:
    """As many statements and less memory: a gain all the same."""
    best = accepted(of("heavy", "over-fetching"))
    assert best.before is not None
    assert best.after is not None
    assert best.before.queries == best.after.queries
    assert best.before.mebibytes is not None
    assert best.after.mebibytes is not None
    assert best.after.mebibytes < 0.5 * best.before.mebibytes
    assert "asks for it row by row" in best.note


def test_rows_are_written_at_once(of: Callable[[str, str], Finding]) -> None:
    """On the private copy, and rolled back."""
    best = accepted(of("visited", "per-row-write"))
    assert "bulk_create([Visit(" in best.change
    assert best.note == "when one row is refused, none is written"


def test_what_does_not_help_is_shown_with_its_reason(of: Callable[[str, str], Finding]) -> None:
    """With the diff that was tried."""
    (one,) = of("first", "count-in-loop").advice
    assert one.change.startswith("--- a/trees/views.py")
    assert one.rejected is not None
    assert "no statement is saved" in one.rejected
    assert one.same_response


def test_a_page_that_changes_by_itself_cannot_be_judged(of: Callable[[str, str], Finding]) -> None:
    """From view to view, or only from process to process: what differs would be put down to the change."""
    (one,) = of("unstable", "n-plus-one").advice
    assert "changes by itself" in str(one.rejected)
    assert not one.applied
    for one in of("of-the-process", "n-plus-one").advice:
        assert "differs between two processes" in str(one.rejected)


def test_words_where_there_is_no_diff(of: Callable[[str, str], Finding]) -> None:
    """What would help, and why it is for the author to write."""
    (one,) = of("twice", "duplicate").advice
    assert one.change.startswith("ask once and keep the answer")
    assert str(one.rejected).startswith("no edit is made: ")
    assert (one.applied, one.before) == (False, None)


def test_every_diff_applies(outcome: advice.Advised, orchard_project: Loaded, tmp_path: Path) -> None:
    """To the project's files as they are, by `git apply`."""
    diffs = [one.change for finding in outcome.findings for one in finding.advice if one.change[:4] == "--- "]
    assert len(diffs) > 6
    for diff in diffs:
        (tmp_path / "p.diff").write_text(diff)
        command = ["git", "apply", "--check", "--unsafe-paths", str(tmp_path / "p.diff")]
        subprocess.run(command, cwd=orchard_project.project.root, check=True)


def test_the_time_for_advice_ends(orchard_project: Loaded) -> None:
    """What was not reached says so."""
    found = page_of(orchard_project, ["/paged/"])
    told = advice.advised(orchard_project, found, pairs=2, budget_seconds=0)
    (one,) = [one for one in told.findings if one.kind == "n-plus-one"]
    assert "the time for advice had passed" in str(one.advice[0].rejected)
    with pytest.raises(ValueError, match="at least 2 pairs, got 1"):
        advice.advised(orchard_project, found, pairs=1)
