"""Candidates laid on in the probe process: what is refused before, what the trial notices, and what is worth a proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from workbench.profile import edits, pages, scaling
from workbench.profile.candidates import Candidate, candidates
from workbench.profile.findings import suspects
from workbench.profile.loading import Loaded
from workbench.profile.probing import Laid, Probe
from workbench.profile.sources import Sources
from workbench.profile.suspects import Suspect
from workbench.profile.trials import Trials


@dataclass
class Page:
    """One page with its one finding, and everything that might cure it."""

    suspect: Suspect
    options: tuple[Candidate, ...]
    trials: Trials
    sources: Sources

    def option(self, verb: str) -> Candidate:
        (found,) = [one for one in self.options if one.laid is not None and one.laid.verb == verb]
        return found

    def added(self, one: Candidate) -> str:
        """The lines that a candidate's diff adds."""
        assert one.edit is not None, one.unedited
        lines = edits.diff(one.edit, self.sources).splitlines()
        return "\n".join(line[1:].strip() for line in lines if line[:1] == "+" and line[:3] != "+++")


class Orchard:
    """The project in one process, with its rows."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._known: dict[str, list[Page]] = {}

    def page(self, name: str) -> Page:
        """A page with its first finding."""
        return self.pages(name)[0]

    def pages(self, name: str) -> list[Page]:
        """A page with each of its findings; visited once for all tests."""
        if name not in self._known:
            self._known[name] = self._pages(name)
        return self._known[name]

    def _pages(self, name: str) -> list[Page]:
        url = f"/{name}/"
        visit = partial(pages.visit, self.probe.process, url)
        cold, warm, view = visit("cold"), visit("warm"), visit("attributed")
        assert (warm.error, warm.status) == (None, 200)
        found = scaling.judged(
            suspects(cold, warm, view), view, lambda limit: visit("truncated", limit=limit)
        )
        baseline = pages.baseline(self.probe.process, url)
        assert baseline.stable
        trials = Trials(self.probe, view, baseline, None)
        return [Page(one, candidates(one, view, self.probe), trials, self.probe.sources) for one in found]


@pytest.fixture(scope="module")
def orchard(orchard_project: Loaded) -> Iterator[Orchard]:
    with orchard_project.process(attribution=True) as process:
        yield Orchard(Probe(process, Sources(orchard_project.project.root)))


def test_a_join_that_would_find_what_a_manager_hides_is_refused(orchard: Orchard) -> None:
    """And if it were not, the response would tell; prefetching asks the manager as the page does."""
    page = orchard.page("hidden")
    assert "the manager of trees.Grower leaves rows out" in (page.option("select_related").refused or "")
    trial = page.trials.trial([page.option("select_related")], page.suspect)
    assert (trial.refused, trial.same) == ("the response changes", False)
    prefetched = page.trials.trial([page.option("prefetch_related")], page.suspect)
    assert (prefetched.refused, prefetched.queries) == (None, 2)


def test_rows_that_share_an_object_change_together(orchard: Orchard) -> None:
    """The loop mutates what it is given: prefetched, the change shows in the next row."""
    page = orchard.page("mutated")
    assert page.trials.trial([page.option("prefetch_related")]).refused == "the response changes"
    assert page.trials.trial([page.option("select_related")]).refused is None
    assert [one.laid and one.laid.verb for one in page.trials.chosen(page.options, page.suspect)] == [
        "select_related"
    ]


def test_what_the_loop_writes_must_be_read_afterwards(orchard: Orchard) -> None:
    """Refused whatever a trial says: on another page's data it might look equal."""
    page = orchard.page("rewritten")
    for verb in ("select_related", "prefetch_related"):
        assert "trees_kind is written between" in (page.option(verb).refused or "")


@pytest.mark.parametrize(
    ("name", "verb", "reason"),
    [
        ("united", "select_related", "the page then fails: NotSupportedError"),
        ("united", "prefetch_related", "the page then fails: NotSupportedError"),
        ("bare", "select_related", "select_related() without names follows every key"),
        ("deferred_key", "select_related", "the page then fails: FieldError"),
        ("iterated", "prefetch_related", "the page then fails: ValueError"),
        ("raw", "select_related", "a raw query takes no select_related"),
        ("locked", "select_related", "select_for_update would lock the joined rows too"),
        ("prefetched_otherwise", "prefetch_related", "trees is prefetched already, by a queryset of its own"),
    ],
)
def test_what_django_or_the_meaning_forbids_is_refused(
    orchard: Orchard, name: str, verb: str, reason: str
) -> None:
    """By the public API itself where it raises; by us where it would do something else without a word."""
    url = name.replace("_", "-")
    if name == "bare":  # the relation it follows is no finding: laid on by hand
        view = pages.visit(orchard.probe.process, f"/{url}/", "attributed")
        batch = next(one for one in view.batches if one.model == "trees.Tree")
        tried = orchard.probe.visit(f"/{url}/", [Laid(batch.model, batch.created, verb, ("kind",))])
        assert reason in (tried.refused or "")
        return
    page = orchard.page(url)
    assert reason in (page.trials.trial([page.option(verb)], page.suspect).refused or "")


@pytest.mark.parametrize("name", ["refined", "first"])
def test_a_prefetch_that_the_loop_does_not_read_saves_nothing(orchard: Orchard, name: str) -> None:
    """It costs a statement more: so it is not chosen."""
    page = orchard.page(name)
    trial = page.trials.trial([page.option("prefetch_related")], page.suspect)
    assert (trial.refused, trial.queries) == (None, len(page.trials.before.queries) + 1)
    assert page.trials.chosen(page.options, page.suspect) == ()


def test_one_line_with_two_querysets_needs_both_edits(orchard: Orchard) -> None:
    """Told apart by their instructions: one alone leaves the statements of the other half."""
    page = orchard.page("two-on-a-line")
    joins = [one for one in page.options if one.laid is not None and one.laid.verb == "select_related"]
    alone = [page.trials.trial([one], page.suspect).queries for one in joins]
    assert len(alone) == 2
    assert sum(alone) == len(page.trials.before.queries) + 2
    chosen = page.trials.chosen(joins, page.suspect)
    assert set(chosen) == set(joins)
    assert page.trials.trial(chosen, page.suspect).queries == 2
    assert page.trials.slope(chosen, page.suspect) == 0
    edit = sum((one.edit for one in chosen if one.edit is not None), edits.Edit())
    (line,) = [line for line in edits.diff(edit, page.sources).splitlines() if line[:2] == "+ "]
    assert line.count('0).select_related("kind")') == 2


def test_a_trial_that_tried_nothing_is_none(orchard: Orchard) -> None:
    """A queryset that the module keeps evaluated is not evaluated again: its response is equal for a bad reason."""
    first = pages.visit(orchard.probe.process, "/evaluated-once/", "attributed")
    (batch,) = first.batches
    tried = orchard.probe.visit(
        "/evaluated-once/", [Laid(batch.model, batch.created, "select_related", ("kind",))]
    )
    assert (tried.applied, tried.view.error) == (False, None)


def test_nothing_stays_laid_on(orchard: Orchard) -> None:
    """After the trial the process is as it was, and an unknown change is no change."""
    page = orchard.page("paged")
    assert page.trials.trial([page.option("select_related")]).queries == 2
    again = pages.visit(orchard.probe.process, "/paged/", "attributed")
    assert len(again.queries) == len(page.trials.before.queries) == 8
    with pytest.raises(Exception, match="no such change: 'delete'"):
        orchard.probe.visit("/paged/", [Laid("trees.Tree", (), "delete", ())])


@pytest.mark.parametrize(
    ("name", "verb", "added"),
    [
        ("paged", "select_related", 'Paginator(trees().select_related("kind"), 6)'),
        ("detail_of_all", "prefetch_related", 'orchard.trees.order_by("pk").prefetch_related("apple_set")'),
        ("managed", "select_related", 'Tree.objects.old().order_by("pk").select_related("kind"))'),
        ("through_a_property", "select_related", '.old_trees.select_related("kind")])'),
        ("class_model", "select_related", 'queryset = Tree.objects.select_related("kind")'),
        ("class_queryset", "select_related", 'queryset = Tree.objects.old().order_by("pk").select_related("kind")'),
        ("raw", "prefetch_related", 'ORDER BY id").prefetch_related("kind"))'),
        ("iterated", "select_related", '(tree.kind.name for tree in trees().select_related("kind").iterator())'),
        ("one_orchard", "prefetch_related", 'queryset = Orchard.objects.prefetch_related("trees__kind")'),
    ],
)  # fmt: skip
def test_the_edit_is_of_the_right_line(orchard: Orchard, name: str, verb: str, added: str) -> None:
    """Generic views, managers, properties, pages and templates: where the queryset is the caller's to change."""
    page = orchard.page(name.replace("_", "-"))
    assert added in page.added(page.option(verb))


def test_a_view_that_inherits_its_queryset_is_told_to_have_one(orchard: Orchard) -> None:
    """Changing the parent would change its other views as well."""
    page = orchard.page("class-inherited")
    one = page.option("select_related")
    assert one.edit is None
    assert "Inherited has its queryset from Trees: give it one of its own" in one.unedited


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("looked-up", "the loop itself must be written anew"),
        ("twice", "where the answer could be kept"),
        ("sold", "a new row also runs the signal post_save, which bulk_create would not"),
    ],
)
def test_what_no_edit_can_be_shown_to_mean_is_told_in_words(orchard: Orchard, name: str, reason: str) -> None:
    """The change is described, and why there is no diff."""
    (one,) = orchard.page(name).options
    assert one.edit is None
    assert one.words
    assert reason in one.unedited


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("counted", 'Orchard.objects.order_by("pk").annotate(trees_count=Count("trees", distinct=True))'),
        ("visited", 'Visit.objects.bulk_create([Visit(tree_id=1, text=f"visit {n}") for n in range(6)])'),
        ("heavy", 'Tree.objects.order_by("pk").defer("notes"))'),
        ("joined-for-nothing", 'return answer(tree.planted for tree in trees().defer("notes"))'),
    ],
)
def test_edits_that_only_the_text_can_show(orchard: Orchard, name: str, added: str) -> None:
    """A count by the database, rows written at once, columns left out, a join taken out."""
    page = orchard.page(name)
    assert added in page.added(page.options[0])


def test_a_count_of_a_helper_is_no_annotation(orchard: Orchard) -> None:
    """Who else gives it trees is not known: only prefetching is left."""
    page = orchard.page("counted-elsewhere")
    (one,) = page.options
    assert one.laid is not None
    assert one.laid.verb == "prefetch_related"
    assert "trees.Apple has no ordering of its own" in one.note


def test_two_levels_need_one_join(orchard: Orchard) -> None:
    """The longer path loads what lies on its way: the shorter one is dropped again."""
    both = {one.suspect.finding.relation: one for one in orchard.pages("nested")}
    short = both["trees.Apple.tree"].option("select_related")
    options = both["trees.Tree.kind"].options
    paths = {one.laid.names for one in options if one.laid is not None}
    assert paths == {("tree__kind",)}
    assert short.laid is not None
    long = Candidate("both", Laid(short.laid.model, short.laid.created, "select_related", ("tree__kind",)))
    trials = both["trees.Apple.tree"].trials
    assert trials.trial((short, long)).queries == 1
    assert trials.minimal((short, long)) == (long,)
