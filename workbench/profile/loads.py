"""What evaluations loaded for nothing: relations and columns that nobody read, and whole results kept in memory.

One view shows what that view reads. A queryset that several pages share, or a branch that did not run, may need what this
one does not: `read_elsewhere` takes back what another page has read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from workbench.profile import places
from workbench.profile.records import Batch, Finding, PageView
from workbench.profile.suspects import Suspect

#: Rows from which on a result is better read in pieces: Django's own chunk of `iterator()`.
MANY = 2_000
#: Bytes of unread columns on one view from which on they matter, and their least share of all that was loaded.
HEAVY, SHARE = 50_000, 0.5


def wasted(view: PageView) -> tuple[Suspect, ...]:
    """What the evaluations of an attributed view loaded for nothing."""
    groups: dict[places.BatchKey, list[Batch]] = {}
    for batch in view.batches:
        if batch.rows:
            groups.setdefault(places.key_of(batch), []).append(batch)
    found: list[Suspect] = []
    for alike in groups.values():
        found += _eager(view, alike)
        found += _columns(view, alike)
        found += _kept(view, alike)
    return tuple(_merged(found))


def read_elsewhere(findings: Sequence[Finding], views: Iterable[PageView]) -> tuple[Finding, ...]:
    """Findings without those loads that some other view of the run has used at the same place.

    Args:
        findings: of all pages.
        views: the attributed views of all pages.
    """
    used: set[tuple[str, str | None]] = set()
    for view in views:
        named = {(one.finding.location, one.finding.relation) for one in wasted(view)}
        for batch in view.batches:
            for finding in findings:
                key = (finding.location, finding.relation)
                if batch.rows and key not in named and places.of_batch(batch) == finding.location:
                    used.add(key)
    kinds = ("unused-eager-load", "over-fetching")
    return tuple(one for one in findings if one.kind not in kinds or (one.location, one.relation) not in used)


def _eager(view: PageView, alike: Sequence[Batch]) -> list[Suspect]:
    first, rows = alike[0], sum(batch.rows for batch in alike)
    found = []
    unread = set(first.unread).intersection(*(batch.unread for batch in alike))
    for path in sorted(unread) if rows > 1 else ():
        text = f"select_related loads {path} with {rows} rows of {first.model}, and nothing reads it"
        found.append(_suspect(view, "unused-eager-load", f"{first.model}.{path}", alike, text, 0))
    if all(batch.ignored for batch in alike):
        asked = [query for query in view.queries if query.batch in {batch.id for batch in alike}]
        relation = asked[0].relation if asked else None
        text = f"{relation or first.model} is prefetched, {rows} rows, and nothing reads it"
        above = {batch.id: batch for batch in view.batches}.get(first.parent or 0, first)
        found.append(_suspect(view, "unused-eager-load", relation, [above], text, len(asked)))
    return found


def _columns(view: PageView, alike: Sequence[Batch]) -> list[Suspect]:
    first = alike[0]
    shared = set(first.unread_columns).intersection(*(batch.unread_columns for batch in alike))
    weights = {name: sum(batch.unread_columns[name] for batch in alike) for name in shared}
    total, loaded = sum(weights.values()), sum(batch.bytes for batch in alike)
    if total < HEAVY or total < SHARE * loaded:
        return []
    names = sorted(weights, key=lambda name: (-weights[name], name))
    text = (
        f"{', '.join(names)} of {first.model}: {total / 1024:,.0f} of {loaded / 1024:,.0f} KiB "
        f"in {sum(batch.rows for batch in alike)} rows, and nothing reads it"
    )
    return [_suspect(view, "over-fetching", f"{first.model}.{names[0]}", alike, text, len(alike))]


def _kept(view: PageView, alike: Sequence[Batch]) -> list[Suspect]:
    first, rows = alike[0], max(batch.rows for batch in alike)
    if rows < MANY or not first.kept or first.step.startswith("prefetch"):
        return []
    text = f"{rows:,} rows of {first.model} are in memory at once"
    return [_suspect(view, "missing-iterator", None, alike, text, len(alike))]


def _suspect(
    view: PageView, kind: str, relation: str | None, alike: Sequence[Batch], text: str, queries: int
) -> Suspect:
    asked = [p for p, query in enumerate(view.queries) if query.batch in {batch.id for batch in alike}]
    finding = Finding(
        kind=kind,  # type: ignore[arg-type]
        url=view.url,
        relation=relation,
        location=places.of_batch(alike[0]),
        queries=queries,
        sql=view.queries[asked[0]].sql if asked else "",
        text=text,
    )
    return Suspect(finding, positions=tuple(asked), producers=(alike[0],), certain=True)


def _merged(found: Sequence[Suspect]) -> Iterable[Suspect]:
    """One line may be evaluated in several places: it is one finding."""
    unique: Mapping[tuple[str, str | None, str], Suspect] = {
        (one.finding.kind, one.finding.relation, one.finding.location): one for one in reversed(found)
    }
    return reversed(list(unique.values()))
