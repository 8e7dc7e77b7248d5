"""What might cure a finding: changes of the querysets that fed it, before any of them is tried.

What cannot be right whatever a trial says is refused here: equal answers on one page do not show that a joined row is not a
stale one, or that a model's manager leaves nothing out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workbench.profile import fingerprints, places, rewrites
from workbench.profile.edits import Call, Edit
from workbench.profile.probing import Laid, Probe, Relation, Writing
from workbench.profile.records import Batch, Finding, PageView, Query
from workbench.profile.sources import NoEditError, Source
from workbench.profile.suspects import Suspect

#: Producers that are tried, the likeliest first.
PRODUCERS = 3
#: Rows that `iterator()` is to hold at a time: Django's own choice.
CHUNK = 2_000
#: Unread columns that are worth a word in `defer()`: at least this share of all that is unread.
WORTH = 0.1
_TABLES = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+[\"`]?(\w+)[\"`]?", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """One change.

    Attributes:
        words: what it is, for people.
        laid: how the probe process tries it; None where only the edited text can show it.
        edit: of the source; None where none can be made.
        unedited: why not.
        refused: why it is not to be made whatever a trial says.
        note: what to know before it is applied.
    """

    words: str
    laid: Laid | None = None
    edit: Edit | None = None
    unedited: str = ""
    refused: str | None = None
    note: str = ""


def candidates(suspect: Suspect, view: PageView, probe: Probe) -> tuple[Candidate, ...]:
    """Changes that might cure a finding, the likeliest first; none where it is not known to need any.

    Args:
        suspect: after `scaling.judged`.
        view: the attributed one that it was found on.
        probe: answers questions about the project.
    """
    kind, verdict = suspect.finding.kind, suspect.finding.verdict
    makers = {
        "n-plus-one": _related,
        "count-in-loop": _related,
        "query-in-loop": _looped,
        "duplicate": _again,
        "per-row-write": _written,
        "unused-eager-load": _unused,
        "over-fetching": _columns,
        "missing-iterator": _whole,
    }
    proven = kind not in ("n-plus-one", "count-in-loop", "query-in-loop") or verdict == "scales"
    if kind not in makers or not proven:
        return ()
    return tuple(makers[kind](suspect, view, probe))


def _related(suspect: Suspect, view: PageView, probe: Probe) -> Iterator[Candidate]:
    """The relation of each row, loaded with the rows."""
    queries = [view.queries[p] for p in suspect.positions]
    found = False
    for producer in _editable(suspect.producers[:PRODUCERS], view, probe):
        path = _path(view, queries, producer)
        if path is None:
            continue
        found = True
        if all(query.origin == "deferred" for query in queries):
            yield _undeferred(producer, path, probe)
            continue
        relation = probe.relation(producer.model, path)
        if relation is None:
            continue
        if {query.origin for query in queries} == {"count"}:
            yield from _annotated(suspect, producer, path, relation, probe)
        written = _written_between(view, producer, suspect.positions, relation.tables)
        note = _order(relation)
        if relation.single and not relation.generic:
            refused = written or _no_join(relation)
            yield _loaded(producer, "select_related", relation.query, relation, probe, refused, "")
        # Of a relation that one row has, prefetching is what is right where a join would not be.
        yield _loaded(producer, "prefetch_related", path, relation, probe, written, note)
    if not found:
        yield Candidate(
            _help(suspect.finding),
            unedited="the rows that are asked for one by one do not come from a queryset that could load them along",
        )


def _editable(producers: Sequence[Batch], view: PageView, probe: Probe) -> list[Batch]:
    """The evaluations to change: instead of one in a template, or of a prefetch, the one whose rows it was made for."""
    known = {batch.id: batch for batch in view.batches}
    found: list[Batch] = []
    for producer in producers:
        at = producer
        while at.parent in known and (at.step.startswith("prefetch ") or not _has_place(at, probe)):
            at = known[at.parent]
        found.append(at if _has_place(at, probe) else producer)
    return list({places.key_of(one): one for one in found}.values())


def _has_place(batch: Batch, probe: Probe) -> bool:
    try:
        return bool(probe.spots(batch))
    except NoEditError:
        return False


def _path(view: PageView, queries: Sequence[Query], producer: Batch) -> str | None:
    """The names that lead from a producer's rows to what is asked for; the commonest where there are several."""
    ids = {batch.id for batch in places.alike(view, places.key_of(producer))}
    known = {batch.id: batch for batch in view.batches}
    found = Counter(path for query in queries if (path := _climb(query, known, ids)) is not None)
    return found.most_common(1)[0][0] if found else None


def _climb(query: Query, known: dict[int, Batch], ids: set[int]) -> str | None:
    steps: list[str] = []
    at = known.get(query.batch) if query.batch is not None else None
    if at is not None and at.parent is not None:
        parent = at.parent
        steps.append(at.step.partition(" ")[2])
    elif query.relation is not None and query.producer is not None:
        parent = query.producer
        steps.append(query.relation.rpartition(".")[2])
    else:
        return None
    for _ in range(len(known) + 1):
        if parent in ids:
            return "__".join(reversed(steps)) if all(steps) else None
        above = known.get(parent)
        if above is None or above.parent is None:
            return None
        steps.append(above.step.partition(" ")[2])
        parent = above.parent
    return None


def _loaded(
    producer: Batch,
    verb: str,
    path: str,
    relation: Relation,
    probe: Probe,
    refused: str | None,
    note: str,
) -> Candidate:
    made = Candidate(
        f'.{verb}("{path}") on the {producer.model} rows from {_where(producer)}',
        Laid(producer.model, producer.created, verb, (path,)),
        refused=refused,
        note=note,
    )
    return _placed(made, producer, relation.manager, probe)


def _where(producer: Batch) -> str:
    """For people: a package's file by its name in there."""
    return places.of_batch(producer).rpartition("site-packages/")[2] or "elsewhere"


def _placed(made: Candidate, producer: Batch, manager: str, probe: Probe) -> Candidate:
    """With the call that is laid on put into the source."""
    assert made.laid is not None
    try:
        spot = probe.spots(producer, manager)[0]
    except NoEditError as error:
        return replace(made, unedited=str(error))
    return replace(made, edit=Edit((Call(spot, made.laid.verb, made.laid.names),)))


def _no_join(relation: Relation) -> str | None:
    if relation.filtered:
        return (
            f"the manager of {', '.join(relation.filtered)} leaves rows out, which a join would bring: "
            "an answer may then show them"
        )
    return "its rows lie in another database, which a join does not reach" if relation.elsewhere else None


def _order(relation: Relation) -> str:
    if not relation.unordered:
        return ""
    return f"{', '.join(relation.unordered)} has no ordering of its own: the database may give the rows in another order"


def _written_between(
    view: PageView, producer: Batch, positions: Sequence[int], tables: Sequence[str]
) -> str | None:
    """A row that is loaded along is as old as the queryset: what writes to its table in between makes it stale."""
    begun = next((p for p, query in enumerate(view.queries) if query.batch == producer.id), 0)
    wanted = {*tables, *(table for p in positions for table in _TABLES.findall(view.queries[p].sql))}
    for query in view.queries[begun : max(positions) + 1]:
        if not fingerprints.reads(query) and wanted & set(_TABLES.findall(query.sql)):
            table = next(iter(wanted & set(_TABLES.findall(query.sql))))
            return f"{table} is written between the queryset and its use: rows loaded along would be stale"
    return None


def _undeferred(producer: Batch, path: str, probe: Probe) -> Candidate:
    name = path.rpartition("__")[2]
    made = Candidate(f"{name} of {producer.model} loaded with its rows instead of deferred")
    if "__" in path:
        return replace(made, unedited="what defers it lies beyond a relation")
    return _rewritten(
        made, producer, probe, lambda source, node: rewrites.undeferred(source, rewrites.calls_of(node), name)
    )


def _annotated(
    suspect: Suspect, producer: Batch, path: str, relation: Relation, probe: Probe
) -> Iterator[Candidate]:
    """A count that the database makes, where code and queryset stand in one function."""
    if "__" in path or relation.filtered or relation.elsewhere:
        return
    file, _, line = suspect.finding.location.rpartition(":")
    try:
        source = probe.sources.read(file)
        (asking,) = rewrites.calls_at(source, int(line), "count", path)
        spot = probe.spots(producer, relation.manager)[0]
        edit = rewrites.counted(source, spot, asking, path, relation.query, taken=relation.names)
    except (NoEditError, ValueError):
        return  # what can be said of prefetching is said
    yield Candidate(f"{path} of {producer.model} counted by the database, as an annotation", edit=edit)


def _unused(suspect: Suspect, view: PageView, probe: Probe) -> Iterator[Candidate]:
    """A relation that is loaded along and not read, taken out."""
    (producer,) = suspect.producers[:1]
    path = (suspect.finding.relation or "").removeprefix(f"{producer.model}.")
    verb = "select_related" if path in producer.unread else "prefetch_related"
    if verb == "prefetch_related":
        producer, path = _prefetching(suspect, view, producer)
    made = Candidate(
        f"{path} not loaded along with {producer.model}",
        note="only what this page reads is known: another user of the queryset may need it",
    )
    yield _rewritten(
        made,
        producer,
        probe,
        lambda source, node: rewrites.without_name(source, rewrites.calls_of(node), verb, path),
    )


def _prefetching(suspect: Suspect, view: PageView, above: Batch) -> tuple[Batch, str]:
    """The queryset that a prefetch was asked of, and the whole path."""
    known = {batch.id: batch for batch in view.batches}
    steps = [(suspect.finding.relation or "").rpartition(".")[2]]
    while above.step.startswith("prefetch ") and above.parent in known:
        steps.append(above.step.partition(" ")[2])
        above = known[above.parent]
    return above, "__".join(reversed(steps))


def _columns(suspect: Suspect, view: PageView, probe: Probe) -> Iterator[Candidate]:
    """The large columns that nobody reads, left out."""
    (producer,) = suspect.producers[:1]
    total = sum(producer.unread_columns.values())
    heavy = sorted(name for name, size in producer.unread_columns.items() if size >= WORTH * total)
    relation = probe.relation(producer.model, "")
    named = ", ".join(f'"{name}"' for name in heavy)
    made = Candidate(
        f".defer({named}) on the {producer.model} rows from {places.of_batch(producer) or 'elsewhere'}",
        Laid(producer.model, producer.created, "defer", tuple(heavy)),
        note="only what this page reads is known: who else reads such a column then asks for it row by row",
    )
    yield _placed(made, producer, relation.manager if relation else "objects", probe)


def _whole(suspect: Suspect, view: PageView, probe: Probe) -> Iterator[Candidate]:
    """A large result read in pieces, where a loop goes over it once."""
    (producer,) = suspect.producers[:1]
    made = Candidate(f".iterator(chunk_size={CHUNK}) on the {producer.model} rows")
    yield _rewritten(made, producer, probe, lambda source, node: rewrites.in_pieces(source, node, CHUNK))


def _written(suspect: Suspect, view: PageView, probe: Probe) -> Iterator[Candidate]:
    """Rows created one by one, in one statement, where saving one does nothing else."""
    made = Candidate("the rows written in one go (bulk_create, bulk_update, or one update or delete)")
    tables = _TABLES.findall(suspect.finding.sql)
    file, _, line = suspect.finding.location.rpartition(":")
    if not suspect.finding.sql.startswith("INSERT") or not tables:
        reason = (
            "bulk_update and the like call neither save() nor signals, and leave auto_now alone: "
            "it cannot be shown here that nothing depends on these"
        )
        yield replace(made, unedited=reason)
        return
    writing = probe.writing(tables[0])
    try:
        edit = _created(writing, probe.sources.read(file), int(line))
    except NoEditError as error:
        yield replace(made, unedited=str(error))
        return
    yield replace(
        made,
        words=f"the rows of {writing.model} written by one bulk_create()",
        edit=edit,
        note="when one row is refused, none is written",
    )


def _created(writing: Writing, source: Source, line: int) -> Edit:
    more = [*writing.own, *(f"the signal {name}" for name in writing.signals)]
    if more:
        raise NoEditError(f"a new row also runs {', '.join(more)}, which bulk_create would not")
    if writing.model is None or writing.inherited:
        raise NoEditError("its rows lie in more than one table")
    creating = rewrites.calls_at(source, line, "create")
    if len(creating) != 1:
        raise NoEditError(f"no single create() stands at {source.file}:{line}")
    return rewrites.written_at_once(source, creating[0])


def _looped(suspect: Suspect, view: PageView, probe: Probe) -> Iterator[Candidate]:
    yield Candidate(
        _help(suspect.finding),
        unedited="the loop itself must be written anew, and what it means by each statement is not known here",
    )


def _again(suspect: Suspect, view: PageView, probe: Probe) -> Iterator[Candidate]:
    yield Candidate(
        f"ask once and keep the answer: {suspect.finding.queries} times the same at {suspect.finding.location}",
        unedited="where the answer could be kept until it is asked for again is for the author to say",
    )


def _help(finding: Finding) -> str:
    """What would help where no call on a queryset does."""
    if finding.kind == "count-in-loop":
        return f"one query for all rows (annotate, or values and Count) instead of one each at {finding.location}"
    return f"one query for all rows (in_bulk, or filter by __in) instead of one each at {finding.location}"


def _rewritten(made: Candidate, producer: Batch, probe: Probe, rewrite: rewrites.Rewrite) -> Candidate:
    """With the first rewrite that one of the expressions allows."""
    try:
        expressions = probe.expressions(producer)
    except NoEditError as error:
        return replace(made, unedited=str(error))
    reason = ""
    for source, node in expressions:
        try:
            return replace(made, edit=rewrite(source, node))
        except NoEditError as error:
            reason = reason or str(error)
    return replace(made, unedited=reason)
