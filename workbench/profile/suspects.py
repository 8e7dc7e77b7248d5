"""What a finding rests on until it is judged: its statements, and the evaluations whose rows they may follow."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.profile import fingerprints, places
from workbench.profile.records import Batch, Finding, PageView, Query

#: Names the same statements on another view of the page: how they were told, by what, and their place.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Suspect:
    """A finding with its evidence on the attributed view.

    Attributes:
        finding: as it stands so far.
        keys: of its statements.
        positions: of its statements in that view.
        producers: evaluations to cut, the likeliest first; of each place one.
        certain: the producers are those whose instances asked; otherwise they only ran before it and had as many rows.
    """

    finding: Finding
    keys: frozenset[Key] = frozenset()
    positions: tuple[int, ...] = ()
    producers: tuple[Batch, ...] = ()
    certain: bool = False


def key_of(query: Query) -> Key:
    """A relation is one, whatever the text of its statements; without a relation the text decides."""
    place = places.of_query(query)
    if query.relation is not None:
        return "relation", query.relation, place
    return "text", fingerprints.of(query), place


def count(view: PageView, keys: frozenset[Key]) -> int:
    """Statements of a view that have one of the keys."""
    return sum(key_of(query) in keys for query in view.queries)
