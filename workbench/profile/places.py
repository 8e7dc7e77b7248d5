"""Where a statement or an evaluation belongs, as a finding names it, and which evaluations are of one place."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.profile.records import Batch, PageView, Query, Site

#: What makes two evaluations, on one view or two, those of one producer.
BatchKey = tuple[str, tuple[Site, ...], Site | None, Site | None]


def of_query(query: Query) -> str:
    """ "file:line" of the project's frame, else of the template's node; "" where it has neither."""
    place = query.site or query.template
    return "" if place is None else place.location


def of_batch(batch: Batch) -> str:
    """ "file:line" where the queryset got its last refinement, else where it was evaluated."""
    place = batch.created[-1] if batch.created else batch.evaluated or batch.template
    return "" if place is None else place.location


def key_of(batch: Batch) -> BatchKey:
    """The places that tell a producer apart from every other one; its number changes from view to view."""
    return batch.model, batch.created, batch.evaluated, batch.template


def alike(view: PageView, key: BatchKey) -> Iterator[Batch]:
    """The evaluations of one producer: several where it stands in a loop itself."""
    return (batch for batch in view.batches if key_of(batch) == key)
