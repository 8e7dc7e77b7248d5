"""Every lazy statement is told by its relation and by the evaluation that made its instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbench import schema
from workbench.profile.records import Batch, PageView, Query

Visit = Callable[..., PageView]


@pytest.fixture(scope="module")
def attributed(railway: Any) -> Visit:
    """One attributed view of a page, as the profile's record."""

    def visit(url: str, **arguments: Any) -> PageView:
        view: PageView = schema.from_json(PageView, railway.visit(url, "attributed", **arguments))
        assert view.error is None, view.error
        return view

    return visit


def by_id(view: PageView, number: int | None) -> Batch:
    return next(batch for batch in view.batches if batch.id == number)


def of(view: PageView, origin: str) -> list[Query]:
    return [query for query in view.queries if query.origin == origin]


@pytest.mark.parametrize(
    ("url", "origin", "relation", "statements", "producer", "rows"),
    [
        ("/forward/", "lazy", "trips.Trip.route", 12, "trips.Trip", 12),
        ("/reverse/", "related", "trips.Route.trips", 4, "trips.Route", 4),
        ("/reverse-later/", "related", "trips.Route.trips", 4, "trips.Route", 4),
        ("/many/", "related", "trips.Trip.crew", 12, "trips.Trip", 12),
        ("/many-count/", "count", "trips.Trip.crew", 12, "trips.Trip", 12),
        ("/many-exists/", "exists", "trips.Trip.crew", 12, "trips.Trip", 12),
        ("/count/", "count", "trips.Route.trips", 4, "trips.Route", 4),
        ("/filtered-count/", "count", "trips.Route.trips", 4, "trips.Route", 4),
        ("/exists/", "exists", "trips.Route.trips", 4, "trips.Route", 4),
        ("/first/", "first", "trips.Route.trips", 4, "trips.Route", 4),
        ("/one/", "lazy", "trips.Passenger.ticket", 24, "trips.Passenger", 24),
        ("/one-forward/", "lazy", "trips.Ticket.passenger", 24, "trips.Ticket", 24),
        ("/generic-key/", "lazy", "trips.Label.target", 12, "trips.Label", 12),
        ("/generic-later/", "related", "trips.Trip.labels", 12, "trips.Trip", 12),
        ("/generic-count/", "count", "trips.Trip.labels", 12, "trips.Trip", 12),
        ("/deferred/", "deferred", "trips.Trip.notes", 12, "trips.Trip", 12),
        ("/child/", "lazy", "trips.Trip.express", 6, "trips.Trip", 6),
        ("/inherited/", "lazy", "trips.Trip.route", 6, "trips.Express", 6),
        ("/raw/", "lazy", "trips.Trip.route", 12, "trips.Trip", 12),
        ("/sliced/", "lazy", "trips.Trip.route", 6, "trips.Trip", 6),
        ("/iterated/", "lazy", "trips.Trip.route", 12, "trips.Trip", 12),
        ("/streaming/", "lazy", "trips.Trip.route", 12, "trips.Trip", 12),
        ("/template/", "related", "trips.Trip.passengers", 12, "trips.Trip", 12),
        ("/template-forward/", "lazy", "trips.Trip.route", 12, "trips.Trip", 12),
        ("/prefetched-singly/", "prefetch", "trips.Trip.passengers", 12, "trips.Trip", 12),
        ("/refreshed/", "get", None, 12, "trips.Trip", 12),
    ],
)
def test_each_kind_of_access_names_relation_and_producer(
    attributed: Visit, url: str, origin: str, relation: str | None, statements: int, producer: str, rows: int
) -> None:
    """Foreign keys, both sides of one-to-one, many-to-many, generic ones, deferred fields, children of a table."""
    view = attributed(url)
    asked = of(view, origin)
    assert [query.relation for query in asked] == [relation] * statements
    (made,) = {query.producer for query in asked}
    batch = by_id(view, made)
    assert (batch.model, batch.rows) == (producer, rows)


def test_a_chain_of_batches_tells_the_whole_path(attributed: Visit) -> None:
    """`trip.route.carrier`: each carrier was asked for by a route that was asked for by a trip of one batch."""
    view = attributed("/nested/")
    carriers = [query for query in view.queries if query.relation == "trips.Route.carrier"]
    assert len(carriers) == 12
    for query in carriers:
        own = by_id(view, query.batch)
        route = by_id(view, own.parent)
        assert (own.step, route.model, route.step) == ("lazy carrier", "trips.Route", "lazy route")
        assert by_id(view, route.parent).rows == 12


def test_children_of_select_related_are_told_by_their_path(attributed: Visit) -> None:
    """What select_related hung on an instance belongs to the instance's batch, under its path."""
    view = attributed("/beneath-selected/")
    steps = {batch.step for batch in view.batches if batch.model == "trips.Carrier"}
    assert steps == {"lazy route__carrier"}
    assert {query.producer for query in of(view, "lazy")} == {1}


@pytest.mark.parametrize(("url", "statements"), [("/selected/", 1), ("/workers/", 1), ("/empty/", 0)])
def test_clean_pages_ask_for_no_instance(attributed: Visit, url: str, statements: int) -> None:
    """Without a lazy access nothing has a producer; an empty result asks nothing."""
    view = attributed(url)
    assert len(view.queries) == statements
    assert not [query for query in view.queries if query.producer]


def test_prefetch_is_told_by_its_batch(attributed: Visit) -> None:
    """A prefetch for many instances is one statement whose producer has as many rows: innocent."""
    view = attributed("/prefetched/")
    assert [(q.origin, q.relation) for q in view.queries] == [
        ("iterate", None),
        ("prefetch", "trips.Route.trips"),
        ("prefetch", "trips.Trip.passengers"),
    ]
    assert [by_id(view, q.producer).rows for q in view.queries[1:]] == [4, 12]


def test_bulk_and_cascade_are_batches(attributed: Visit) -> None:
    """What one call of bulk_create, in_bulk or delete asks is marked as such, however often it asks."""
    assert {query.origin for query in attributed("/bulk/").queries} == {"bulk"}
    deleted = attributed("/deleting/").queries
    assert [query.origin for query in deleted] == ["get", *["delete"] * (len(deleted) - 1)]
    assert len(deleted) > 8


def test_creation_and_evaluation_are_two_places(attributed: Visit, line: Callable[[str], int]) -> None:
    """The line that made the queryset and the line that ran it."""
    batch = attributed("/forward/").batches[0]
    assert [site.line for site in batch.created] == [line("forward-made")]
    assert batch.evaluated is not None
    assert batch.evaluated.line == line("forward-asked")
    assert batch.evaluated.file == "trips/views.py"


def test_two_querysets_on_a_line_are_two_sites(attributed: Visit, line: Callable[[str], int]) -> None:
    """Their lines are equal; the instruction tells them apart, or a fix would be promised for both and made to one."""
    one, other = [batch for batch in attributed("/two-on-a-line/").batches if batch.model == "trips.Trip"]
    assert one.created[-1].line == other.created[-1].line == line("two")
    assert one.created[-1].lasti != other.created[-1].lasti
    assert one.evaluated != other.evaluated


def test_a_managers_own_method_stands_in_the_chain(attributed: Visit, line: Callable[[str], int]) -> None:
    """`Trip.objects.active()`: the line in the manager and the caller's, so that the smaller change can be chosen."""
    created = attributed("/managed/").batches[0].created
    assert [(site.file, site.function) for site in created] == [
        ("trips/views.py", "managed"),
        ("trips/models.py", "active"),
        ("trips/views.py", "managed"),
    ]
    assert {site.line for site in created if site.function == "managed"} == {line("managed")}


def test_raw_querysets_have_a_place(attributed: Visit, line: Callable[[str], int]) -> None:
    """A raw queryset has no clones; its making is seen all the same."""
    assert [site.line for site in attributed("/raw/").batches[0].created] == [line("raw-made")]


def test_a_queryset_on_a_class_keeps_its_line(attributed: Visit, line: Callable[[str], int]) -> None:
    """Made at import, long before the first request: the patches were there already."""
    created = attributed("/class-queryset/").batches[0].created
    assert line("class-queryset") in [site.line for site in created if site.file == "trips/views.py"]
    assert "urls.py" not in {site.file for site in created}


@pytest.mark.parametrize("url", ["/class-plain/", "/decorated/"])
def test_a_generic_view_is_told_by_its_class(attributed: Visit, line: Callable[[str], int], url: str) -> None:
    """A view without a line of its own: the class statement, also behind a decorating function."""
    (created,) = attributed(url).batches[0].created
    assert (created.function, created.line, created.lasti) == ("Trips", line("class-plain"), -1)


def test_values_and_indexing_are_batches_too(attributed: Visit) -> None:
    """Rows without instances can be cut as a producer; an index makes one batch for each row."""
    view = attributed("/keys/")
    assert (view.batches[0].model, view.batches[0].rows) == ("trips.Trip", 12)
    assert {query.producer for query in view.queries} == {None}
    indexed = attributed("/indexed/").batches
    assert [batch.rows for batch in indexed] == [1] * 4
    assert len({batch.evaluated for batch in indexed}) == 1


def test_an_asynchronous_view_falls_back_to_the_creation(
    attributed: Visit, line: Callable[[str], int]
) -> None:
    """The coroutine is on no stack while its statement runs; the place where the queryset was made is."""
    view = attributed("/asynchronous/")
    assert [(q.origin, q.site and q.site.function) for q in view.queries] == [
        ("iterate", "asynchronous"),
        ("get", "asynchronous"),
    ]
    assert view.batches[0].evaluated is not None
    assert view.batches[0].evaluated.line == line("async-made")


def test_querysets_stay_picklable_and_copies_copy_nothing(attributed: Visit) -> None:
    """Numbers only are hung on Django's objects: a pickled queryset still knows its chain in this process."""
    view = attributed("/pickled/")
    assert len(of(view, "lazy")) == 12
    assert {query.producer for query in of(view, "lazy")} == {1}
    assert [site.function for site in view.batches[0].created][:2] == ["pickled", "active"]


def test_numbers_of_an_earlier_view_mean_nothing(railway: Any, attributed: Visit) -> None:
    """Instances from a cache were made by an evaluation of another view: relation yes, producer no, and never a wrong one."""
    railway.visit("/cached/", "attributed")
    again = attributed("/cached/")
    assert [query.relation for query in again.queries] == ["trips.Trip.route"] * 12
    assert {query.producer for query in again.queries} == {None}


def test_passes_whose_times_count_run_without_patches(railway: Any) -> None:
    """After an attributed pass every class of Django's is as it was."""
    railway.visit("/forward/", "attributed")
    warm = railway.visit("/forward/", "warm")
    assert warm["batches"] == []
    assert {query["producer"] for query in warm["queries"]} == {None}
    assert railway.call("trips.seed:patched") == []


def test_a_module_level_queryset_asks_once(attributed: Visit) -> None:
    """Evaluated by the first view for good: a later one shows no statement at all, which is not a fix."""
    first, second = attributed("/once/"), attributed("/once/")
    assert (len(first.queries), len(second.queries)) == (1, 0)
    assert first.digest == second.digest
