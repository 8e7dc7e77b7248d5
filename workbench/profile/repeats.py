"""Statements that a page runs again and again: for each row by a relation, in a loop, as before, or to write row by row.

Not findings: the statements of a prefetch, also where it goes in chunks; pieces of one result (pages, keysets); what a bulk
operation or a deletion's collector splits up by itself; a question that is asked again after a write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from workbench.profile import fingerprints, places, producers
from workbench.profile.records import Finding, Kind, PageView, Query
from workbench.profile.suspects import Key, Suspect, key_of

#: What is asked about rows instead of for them.
COUNTING = frozenset({"count", "exists", "first", "aggregate"})
#: One call of Django's that asks as often as it must.
BATCHES = frozenset({"bulk", "delete"})
#: Statements from which on a loop is one, where no relation and no producer tells.
LOOP = 3

_Groups = dict[tuple[Kind, str | None, str], list[int]]


def repeated(attributed: PageView) -> tuple[Suspect, ...]:
    """Every repetition of an attributed view; each statement belongs to one at most."""
    taken: set[int] = set()
    found: list[Suspect] = []
    for step in (_relations, _loops, _duplicates, _writes):
        groups: _Groups = {}
        for kind, relation, positions in step(attributed, taken):
            place = _place(attributed, positions)
            groups.setdefault((kind, relation, place), []).extend(positions)
            taken.update(positions)
        for (kind, relation, place), positions in groups.items():
            found.append(_suspect(attributed, kind, relation, place, sorted(positions)))
    return tuple(found)


_Found = Iterator[tuple[Kind, str | None, Sequence[int]]]


def _relations(view: PageView, taken: set[int]) -> _Found:
    """Statements that instances of one evaluation asked for by one relation."""
    named = [p for p in _reads(view, taken) if view.queries[p].relation is not None]
    for (kind, relation, _), positions in _grouped(
        view, named, lambda query: (_kind(query, "n-plus-one"), str(query.relation))
    ).items():
        many = bool(producers.certain(view, positions))
        values = _values(view, positions)
        if len(positions) < (2 if many else LOOP) or (values == 1 and not many):
            continue
        prefetches = [p for p in positions if view.queries[p].origin == "prefetch"]
        if prefetches and not _is_single(view, prefetches):
            positions = [p for p in positions if p not in set(prefetches)]
            if len(positions) < 2:
                continue
        yield kind, relation, positions


def _loops(view: PageView, taken: set[int]) -> _Found:
    """One statement with changing values, from one line."""
    asked = [p for p in _reads(view, taken) if view.queries[p].origin != "prefetch"]
    for (kind, _, place), positions in _grouped(
        view, asked, lambda query: (_kind(query, "query-in-loop"), fingerprints.of(query))
    ).items():
        if not place or len(positions) < LOOP or _values(view, positions) == 1:
            continue
        if not fingerprints.is_paging(view, [view.queries[p] for p in positions]):
            yield kind, None, positions


def _duplicates(view: PageView, taken: set[int]) -> _Found:
    """One statement with the same values, and nothing written in between."""
    asked: dict[int, list[int]] = {}
    for p in _reads(view, taken):
        first = view.queries[p].same_as
        asked.setdefault(p if first is None else first, []).append(p)
    for positions in asked.values():
        between = view.queries[positions[0] : positions[-1]]
        alias = view.queries[positions[0]].alias
        if len(positions) < 2 or view.queries[positions[0]].origin == "prefetch":
            continue
        if all(fingerprints.reads(query) for query in between if query.alias == alias) and _place(
            view, positions
        ):
            yield "duplicate", None, positions


def _writes(view: PageView, taken: set[int]) -> _Found:
    """One writing statement again and again, from one line, a row or less each time."""
    writing = [
        p
        for p, query in enumerate(view.queries)
        if fingerprints.writes_rows(query) and query.origin != "bulk" and not query.failed and query.rows <= 1
    ]
    for (kind, _, place), positions in _grouped(
        view, writing, lambda query: ("per-row-write", fingerprints.of(query))
    ).items():
        if place and len(positions) >= LOOP:
            yield kind, None, positions


def _reads(view: PageView, taken: set[int]) -> list[int]:
    return [
        p
        for p, query in enumerate(view.queries)
        if p not in taken and query.origin not in BATCHES and fingerprints.reads(query)
    ]


def _grouped(
    view: PageView, positions: Iterable[int], told: Callable[[Query], tuple[Kind, str]]
) -> dict[tuple[Kind, str, str], list[int]]:
    """Positions by label, by what tells the statements apart, and by place."""
    groups: dict[tuple[Kind, str, str], list[int]] = {}
    for p in positions:
        query = view.queries[p]
        groups.setdefault((*told(query), places.of_query(query)), []).append(p)
    return groups


def _kind(query: Query, otherwise: Kind) -> Kind:
    return "count-in-loop" if query.origin in COUNTING else otherwise


def _values(view: PageView, positions: Sequence[int]) -> int:
    """How many different statements these are, text and values."""
    return len({p if (first := view.queries[p].same_as) is None else first for p in positions})


def _is_single(view: PageView, positions: Sequence[int]) -> bool:
    """Whether prefetches were run for one instance at a time; for a chunk each they may be as many as chunks."""
    known = {batch.id: batch.rows for batch in view.batches}
    rows = sum(known.get(number, 0) for number in {view.queries[p].producer for p in positions} if number)
    return _values(view, positions) == len(positions) and 2 * len(positions) > rows


def _place(view: PageView, positions: Sequence[int]) -> str:
    """Where most of them are; of a repetition, the repeating one counts."""
    named = [place for p in positions[1:] or positions if (place := places.of_query(view.queries[p]))]
    return Counter(named).most_common(1)[0][0] if named else ""


def _suspect(
    view: PageView, kind: Kind, relation: str | None, place: str, positions: Sequence[int]
) -> Suspect:
    queries = [view.queries[p] for p in positions]
    keys: frozenset[Key] = frozenset(map(key_of, queries))
    known = producers.certain(view, positions)
    finding = Finding(
        kind=kind,
        url=view.url,
        relation=relation,
        location=place,
        queries=len(positions),
        sql=queries[0].sql,
        text=_text(kind, relation, queries),
    )
    return Suspect(
        finding, keys, tuple(positions), known or producers.guessed(view, positions), certain=bool(known)
    )


def _text(kind: Kind, relation: str | None, queries: Sequence[Query]) -> str:
    number = f"{len(queries)} statements"
    if kind == "n-plus-one":
        return f"{relation} is fetched for one instance at a time: {number}"
    if kind == "count-in-loop":
        asked = Counter(query.origin for query in queries).most_common(1)[0][0]
        return f"{asked}() is asked in a loop{f', of {relation}' if relation else ''}: {number}"
    if kind == "duplicate":
        return f"the same is asked with the same values, nothing being written in between: {number}"
    if kind == "per-row-write":
        return f"rows are written one by one: {number}"
    return f"one statement in a loop, with other values each time: {number}"
