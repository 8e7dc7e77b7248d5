"""Which evaluations of querysets a group of statements may follow."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.profile import places
from workbench.profile.records import Batch, PageView

#: Evaluations that only ran before a loop and are tried as its producer.
GUESSES = 3


def certain(view: PageView, positions: Sequence[int]) -> tuple[Batch, ...]:
    """The evaluations with several rows whose instances asked, or whose instances asked for those.

    The nearest that stands in no loop itself comes first: cut, it shows the whole effect.
    """
    known = {batch.id: batch for batch in view.batches}
    level = {number for place in positions if (number := view.queries[place].producer) is not None}
    single: list[Batch] = []
    repeated: list[Batch] = []
    seen: set[int] = set()
    while level:
        seen |= level
        batches = [known[number] for number in sorted(level) if number in known]
        by_key: dict[places.BatchKey, list[Batch]] = {}
        for batch in batches:
            by_key.setdefault(places.key_of(batch), []).append(batch)
        for alike in by_key.values():
            largest = max(alike, key=lambda batch: batch.rows)
            if largest.rows > 1:
                (single if len(alike) == 1 else repeated).append(largest)
        level = {batch.parent for batch in batches if batch.parent is not None} - seen
    return (*single, *repeated)


def guessed(view: PageView, positions: Sequence[int]) -> tuple[Batch, ...]:
    """Evaluations that ran before the first of the statements and had at least half as many rows, the closest first."""
    begun = {query.batch: place for place, query in enumerate(view.queries) if query.batch is not None}
    number = len(positions)
    fitting = [
        batch
        for batch in view.batches
        if batch.rows > 1 and 2 * batch.rows >= number and begun.get(batch.id, number) < positions[0]
    ]
    fitting.sort(key=lambda batch: abs(batch.rows - number))
    unique = {places.key_of(batch): batch for batch in reversed(fitting)}
    return tuple(list(reversed(unique.values()))[:GUESSES])
