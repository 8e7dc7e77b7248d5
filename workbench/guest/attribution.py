"""Which evaluation of a queryset made the instance that a lazy statement was run for, and where that queryset came from.

Patches on a few classes of Django's, in place, so that subclasses of the project's are covered. They are put on before the project
is imported (a queryset on a class keeps the line where it was made), taken off for passes whose times count, and
put on again for a pass that publishes none. Django's objects carry whole numbers only: a queryset stays picklable, a copy
copies nothing of ours, and a number from another process or an earlier page view means nothing here.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple

from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    RawModelIterable,
    RawQuerySet,
    ValuesIterable,
    ValuesListIterable,
)

from workbench.guest import marks, reads, sites
from workbench.guest.capture import Seen
from workbench.guest.sites import Look, Place

#: Frames kept for each step of a queryset's making, and steps kept of one queryset.
FRAMES, STEPS = 3, 40

#: Starts of our numbers, different in every process: instances and querysets outlive one in caches.
_base = int.from_bytes(os.urandom(5), "big") << 24
#: Of instances; never given twice, for an instance may lie in a cache since an earlier page view.
_numbers = itertools.count(_base)


class _Chain(NamedTuple):
    parent: int
    places: tuple[Place, ...]
    relation: str | None
    accessor: str
    length: int


class Batch:
    """One evaluation; see the profile's record of this name."""

    __slots__ = (
        "awaited",
        "created",
        "evaluated",
        "id",
        "kept",
        "measured",
        "model",
        "origin",
        "parent",
        "paths",
        "queried",
        "read",
        "relation",
        "rows",
        "seen",
        "sizes",
    )

    def __init__(
        self, number: int, model: str, created: tuple[Place, ...], seen: Look, refined: Place | None
    ) -> None:
        self.id = number
        self.model = model
        self.created = created
        if not seen.places and seen.template is None and refined is not None:
            # In an async view the project's coroutine is on no stack: where the queryset was refined stands in.
            seen = seen._replace(places=(refined,))
        self.seen = seen
        self.evaluated = seen.places[0] if seen.places else None
        self.relation: str | None = None
        self.origin = ""
        self.parent: int | None = None
        self.rows = 0
        self.paths: dict[str, int] = {}
        self.kept = False
        #: The class of the model, where its rows are instances; by which attribute a prefetch's rows are read.
        self.queried: type | None = None
        self.awaited: tuple[type, str] | None = None
        #: Names read of the instances, by the path at which they hang.
        self.read: dict[str, set[str]] = {}
        self.sizes: dict[str, int] = {}
        self.measured = 0

    def key(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "created": [place.as_json() for place in self.created],
            "evaluated": sites.as_json(self.evaluated),
            "template": sites.as_json(self.seen.template),
        }

    def measure(self, row: Any) -> None:
        """Add what one instance weighs; after the first few hundred, the others are taken to be like them."""
        if self.measured < reads.MEASURED:
            self.measured += 1
            for name, size in reads.sizes(row).items():
                self.sizes[name] = self.sizes.get(name, 0) + size

    def unread(self) -> list[str]:
        """What `select_related` loaded along and nobody read; of a path the outermost such step, for the rest follows."""
        found: list[str] = []
        for path in sorted(self.paths):
            above, _, name = path.rpartition("__")
            if (
                path
                and not any(path.startswith(f"{one}__") for one in found)
                and not self._was_read(above, name)
            ):
                found.append(path)
        return found

    def unread_columns(self) -> dict[str, int]:
        if self.queried is None:
            return {}
        left = [name for name in sorted(reads.columns(self.queried)) if not self._was_read("", name)]
        return {name: self._weight(name) for name in left if self.sizes.get(name)}

    def _was_read(self, path: str, name: str) -> bool:
        names = self.read.get(path, ())
        return name in names or reads.WHOLE in names

    def _weight(self, name: str) -> int:
        return round(self.sizes[name] * self.rows / max(self.measured, 1))

    def as_json(self) -> dict[str, Any]:
        """The batch as the profile's records have it, but for what only the whole view tells."""
        return {
            "id": self.id,
            **self.key(),
            "rows": self.rows,
            "parent": self.parent,
            "step": self.origin,
            "kept": self.kept,
            "unread": self.unread(),
            "bytes": sum(map(self._weight, self.sizes)),
            "unread_columns": self.unread_columns(),
        }


class Owner(NamedTuple):
    """Whom a statement was run for."""

    rank: int
    relation: str | None
    accessor: str
    tag: int | None
    kind: str
    #: Of a prefetch: the class of the instances, and the attribute in which they get its rows.
    awaited: tuple[type, str] | None = None


_chains: dict[int, _Chain] = {}
_known: dict[tuple[int, tuple[Place, ...], str | None], int] = {}
_local = threading.local()
_lock = threading.Lock()


class Attribution:
    """What is known of one page view.

    Args:
        limit: `{"site": key, "rows": k}`: stop the instances of that one producer after k rows. The key is a batch's own
            record, or the "file:line" of its creation, evaluation or template.
    """

    def __init__(self, limit: Mapping[str, Any] | None = None) -> None:
        self.batches: list[Batch] = []
        self.stopped = 0
        self._read: set[tuple[type, str]] = set()
        self._tags: dict[int, tuple[Batch, str]] = {}
        self._limit = dict(limit or {})
        self._wanted = self._limit.get("site", self._limit.get("batch"))
        self._rows = int(self._limit.get("rows", 1)) if self._wanted is not None else None

    def explain(self, seen: Seen, frame: FrameType) -> None:
        """Tell of one statement what Django's frames know. Called by the recorder, before the stack unwinds."""
        batch: Batch | None = getattr(_local, "pending", None)
        _local.pending = None  # what from_db or post_init run is theirs
        if batch is not None:
            seen.look = batch.seen
            seen.batch = batch.id
            seen.relation = batch.relation
            seen.producer = batch.parent
        else:
            trail: list[tuple[str, FrameType]] = []
            look = sites.look(frame, 1, trail)
            owner = owner_of(trail)
            places = look.places
            if not places and look.template is None:
                refined = _refined_on(trail)
                places = () if refined is None else (refined,)
            seen.look = look._replace(trail=(), origin=_named(look, owner), places=places)
            if owner is not None:
                seen.relation = owner.relation
                known = self._tags.get(owner.tag or 0)
                seen.producer = None if known is None else known[0].id

    def batch(self, queryset: Any, frame: FrameType | None) -> Batch:
        """A new evaluation of a queryset."""
        trail: list[tuple[str, FrameType]] = []
        look = sites.look(frame, 1, trail)
        owner = owner_of(trail)
        if owner is None or owner.relation is None:
            known = _related(queryset)
            owner = known if owner is None or (known is not None and known.relation) else owner
        model = queryset.model._meta.label
        number = queryset.__dict__.get("_wb", 0)
        with _lock:
            batch = Batch(
                len(self.batches) + 1, model, _flat(number), look._replace(trail=()), _refined(number)
            )
            self.batches.append(batch)
        batch.seen = batch.seen._replace(origin=_named(look, owner))
        batch.kept = any(marked.f_code.co_name == "_fetch_all" for _kind, marked in trail)
        if owner is not None:
            batch.awaited = owner.awaited
            batch.relation = owner.relation
            producer = self._tags.get(owner.tag or 0)
            if producer is not None:
                batch.parent = producer[0].id
                path = f"{producer[1]}__{owner.accessor}" if producer[1] else owner.accessor
                batch.origin = f"{owner.kind} {path}".strip()
        return batch

    def tag(self, batch: Batch, path: str = "") -> int:
        """The number for instances of a batch, or of what `select_related` hung on them below a path."""
        number = batch.paths.get(path)
        if number is None:
            with _lock:
                number = next(_numbers)
                self._tags[number] = (batch, path)
            batch.paths[path] = number
        return number

    def stop_after(self, batch: Batch) -> int | None:
        """After how many rows this evaluation ends, when it is the one to cut."""
        if self._wanted is None or not _matches(batch, self._wanted):
            return None
        self.stopped += 1
        return self._rows

    def read(self, instance: Any, name: str, prefetching: bool) -> None:
        """An attribute of an instance is read; a prefetch that asks for a relation by its name does not read it."""
        made: type = type(instance)
        if prefetching and name not in _attributes(made):
            return
        self._read.add((made, name))
        known = self._tags.get(_tag_of(instance) or 0)
        if known is not None:
            batch, path = known
            batch.read.setdefault(path, set()).add(name)

    def as_json(self) -> list[dict[str, Any]]:
        ignored = self._ignored()
        return [{**batch.as_json(), "ignored": batch.id in ignored} for batch in self.batches]

    def _ignored(self) -> set[int]:
        """Prefetches that nobody read, neither they themselves nor what was prefetched beneath them."""
        found: set[int] = set()
        wanted: set[int] = set()
        for batch in reversed(self.batches):  # what lies beneath is fetched later
            if batch.awaited is None or batch.rows == 0:
                used = batch.awaited is None
            else:
                made, name = batch.awaited
                used = any(
                    read in (name, reads.WHOLE) and (issubclass(one, made) or issubclass(made, one))
                    for one, read in self._read
                )
                used = used or batch.id in wanted
                if not used:
                    found.add(batch.id)
            if used and batch.parent is not None:
                wanted.add(batch.parent)
        return found


def _matches(batch: Batch, wanted: Any) -> bool:
    places = [*batch.created, batch.evaluated, batch.seen.template]
    if isinstance(wanted, str):
        return any(
            place is not None
            and wanted
            in (
                f"{sites.shown(place.file)}:{place.line}",
                f"{sites.shown(place.file)}:{place.line}:{place.lasti}",
            )
            for place in places
        )
    key = batch.key()
    return all(
        wanted[name] == key[name] for name in ("model", "created", "evaluated", "template") if name in wanted
    )


#: The page view under attribution; None while the patches are on only to see where querysets are made.
_active: Attribution | None = None
_originals: dict[tuple[type, str], Any] = {}


def install() -> None:
    """Put the patches on that are not; before the project is imported, so that querysets on its classes know their lines."""
    marks.prepare()
    models: tuple[type, ...] = (ModelIterable, RawModelIterable)
    values: tuple[type, ...] = (ValuesIterable, ValuesListIterable, FlatValuesListIterable)
    for holder in (*models, *values):
        _patch(holder, "__iter__", _iterating(tagged=holder in models))
    _patch(QuerySet, "_clone", _cloning)
    _patch(BaseManager, "get_queryset", _beginning)
    _patch(RawQuerySet, "__init__", _raw)
    _patch(RawQuerySet, "_clone", _cloning)


def uninstall() -> None:
    """Take the patches off: what runs now runs as Django has it."""
    for (holder, name), original in list(_originals.items()):
        setattr(holder, name, original)
        # Only now: an interruption in between leaves it to the next one.
        del _originals[holder, name]


def after_setup() -> None:
    """Import the views too, which Django does on the first request, and take the patches off until a pass wants them."""
    if not _originals:
        return
    try:
        from django.urls import get_resolver

        _ = get_resolver().url_patterns
    except Exception:  # noqa: BLE001, S110 the first page will say so itself
        pass
    uninstall()


class attributing:  # noqa: N801 used as a verb
    """Have the patches on for one page view; a context manager."""

    def __init__(self, attribution: Attribution) -> None:
        self._attribution = attribution

    def __enter__(self) -> Attribution:
        global _active
        try:
            install()
            _local.pending = None
            _active = self._attribution
            reads.install(self._attribution.read)
        except BaseException:  # interrupted
            self.__exit__()
            raise
        return self._attribution

    def __exit__(self, *_: object) -> None:
        global _active
        _active = None
        reads.uninstall()
        uninstall()


def created_by(queryset: Any) -> list[dict[str, Any]]:
    """The places of the project where a queryset came into being and was refined, first to last."""
    return [place.as_json() for place in _flat(getattr(queryset, "__dict__", {}).get("_wb"))]


def _patch(holder: type, name: str, make: Any) -> None:
    if (holder, name) in _originals:
        return
    original = holder.__dict__[name]
    _originals[holder, name] = original
    setattr(holder, name, functools.wraps(original)(make(original)))


def _iterating(*, tagged: bool) -> Any:
    def make(original: Any) -> Any:
        def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807 takes that method's place
            if _active is None:
                return iter(original(self))
            return _observed(_active, self.queryset, iter(original(self)), tagged)

        return __iter__

    return make


def _observed(attribution: Attribution, queryset: Any, rows: Iterator[Any], tagged: bool) -> Iterator[Any]:
    batch = attribution.batch(queryset, sys._getframe(1))
    most = attribution.stop_after(batch)
    tag = attribution.tag(batch) if tagged else 0
    related = getattr(getattr(queryset, "query", None), "select_related", False) if tagged else False
    batch.queried = queryset.model if tagged else None
    if most is not None and most <= 0:
        return
    _local.pending = batch
    try:
        for row in rows:
            _local.pending = None
            batch.rows += 1
            if tagged:
                row._state._wb = tag
                batch.measure(row)
                if related:
                    _tag_children(attribution, batch, row, related, "", 0)
            yield row
            if most is not None and batch.rows >= most:
                return
    finally:
        _local.pending = None  # an empty result may have asked nothing


def _tag_children(
    attribution: Attribution, batch: Batch, row: Any, related: Any, path: str, depth: int
) -> None:
    """Follow `select_related`: a mapping of names, or True for every foreign key that must be there."""
    cache = row._state.fields_cache
    names = related if isinstance(related, dict) else list(cache)
    for name in names:
        child = cache.get(name)
        if not isinstance(child, Model) or "_wb" in child._state.__dict__:
            continue
        below = f"{path}__{name}" if path else name
        child._state._wb = attribution.tag(batch, below)  # type: ignore[attr-defined]
        deeper = related[name] if isinstance(related, dict) else depth < 5
        if deeper:
            _tag_children(attribution, batch, child, deeper, below, depth + 1)


def _cloning(original: Any) -> Any:
    def _clone(self: Any) -> Any:
        made = original(self)
        own, mine = made.__dict__, self.__dict__
        own["_wb"] = mine.get("_wb", 0)
        if "_wb_owner" in mine:
            own["_wb_owner"] = mine["_wb_owner"]
        _extend(own, sys._getframe(1))
        return made

    return _clone


def _beginning(original: Any) -> Any:
    def get_queryset(self: Any) -> Any:
        made = original(self)
        if "_wb" not in made.__dict__:
            _extend(made.__dict__, sys._getframe(1))
        return made

    return get_queryset


def _raw(original: Any) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 takes that method's place
        original(self, *args, **kwargs)
        _extend(self.__dict__, sys._getframe(1))

    return __init__


def _extend(own: dict[str, Any], frame: FrameType | None) -> None:
    """Add one step to what a queryset knows of its making."""
    parent: int = own.get("_wb", 0)
    before = _chains.get(parent)
    length = 1 if before is None else before.length + 1
    if length > STEPS:  # built up in a loop: its beginning is known
        return
    trail: list[tuple[str, FrameType]] = []
    look = sites.look(frame, FRAMES, trail)
    relation, accessor = (None, "") if before is None else (before.relation, before.accessor)
    for kind, marked in trail:
        # Until Django 6.1 the filters of a related manager are laid on by cloning; since then in place.
        if kind == "related" and marked.f_code.co_name in ("_apply_rel_filters", "get_queryset"):
            owner = _of_manager(marked.f_locals.get("self"))
            if owner is not None:
                relation, accessor = owner.relation, owner.accessor
                if owner.tag is not None:
                    own["_wb_owner"] = owner.tag
            break
    key = (parent, look.places, relation)
    number = _known.get(key)
    if number is None:
        with _lock:
            number = _base + len(_chains) + 1
            _chains[number] = _Chain(parent, look.places, relation, accessor, length)
            _known[key] = number
    own["_wb"] = number


def _flat(number: int | None) -> tuple[Place, ...]:
    """A chain's places, first to last, each once."""
    steps: list[tuple[Place, ...]] = []
    while number:
        chain = _chains.get(number)
        if chain is None:  # from another process, through a cache
            break
        steps.append(chain.places)
        number = chain.parent
    return tuple(dict.fromkeys(place for step in reversed(steps) for place in step))


def _related(queryset: Any) -> Owner | None:
    """What a queryset still knows of the related manager that it came from."""
    chain = _chains.get(queryset.__dict__.get("_wb", 0))
    if chain is not None and chain.relation is not None:
        return Owner(
            marks.RELATED, chain.relation, chain.accessor, queryset.__dict__.get("_wb_owner"), "related"
        )
    instance = (getattr(queryset, "_hints", None) or {}).get("instance")
    if isinstance(instance, Model):
        return Owner(marks.OTHER, None, "", _tag_of(instance), "")
    return None


@functools.cache
def _attributes(model: type) -> frozenset[str]:
    return frozenset(field.attname for field in model._meta.concrete_fields)  # type: ignore[attr-defined]


def _tag_of(instance: Any) -> int | None:
    state = getattr(instance, "_state", None)
    return None if state is None else state.__dict__.get("_wb")


def _named(look: Look, owner: Owner | None) -> str:
    """A plain evaluation of a related manager's queryset is told from one of an ordinary manager's."""
    if look.origin in ("iterate", "related"):
        return "related" if owner is not None and owner.kind == "related" else "iterate"
    return look.origin


def owner_of(trail: list[tuple[str, FrameType]]) -> Owner | None:
    """The instance and relation that Django's frames name, by the most telling of them."""
    best: Owner | None = None
    for kind, frame in trail:
        found = _read(kind, frame)
        if found is not None and (best is None or found.rank > best.rank):
            best = found
    return best


def _refined(number: int) -> Place | None:
    """The place of the last step of a queryset's making."""
    while number in _chains:
        chain = _chains[number]
        if chain.places:
            return chain.places[0]
        number = chain.parent
    return None


def _refined_on(trail: list[tuple[str, FrameType]]) -> Place | None:
    for _kind, frame in trail:
        holder = frame.f_locals.get("self")
        if isinstance(holder, (QuerySet, RawQuerySet)):
            place = _refined(holder.__dict__.get("_wb", 0))
            if place is not None:
                return place
    return None


def _read(kind: str, frame: FrameType) -> Owner | None:
    there = frame.f_locals
    holder = there.get("self")
    if kind == "prefetch":
        return _of_prefetch(there)
    if kind in ("lazy", "deferred"):
        return _of_descriptor(kind, holder, there.get("instance"))
    if isinstance(holder, BaseManager):
        return _of_manager(holder)
    if isinstance(holder, QuerySet):
        return _related(holder)
    if isinstance(holder, Model) and frame.f_code.co_name == "refresh_from_db":
        return Owner(marks.TERMINAL, None, "", _tag_of(holder), "refresh")
    return None


def _of_descriptor(kind: str, holder: Any, instance: Any) -> Owner | None:
    if not isinstance(instance, Model):
        return None
    field = getattr(holder, "field", None)
    related = getattr(holder, "related", None)
    if related is not None:
        model, name = related.model, related.get_accessor_name()
    elif field is not None:
        model, name = field.model, field.name
    else:  # a generic foreign key, which was its own descriptor before Django 5.1
        model, name = holder.model, holder.name
    return Owner(marks.LAZY, f"{model._meta.label}.{name}", name, _tag_of(instance), kind)


def _of_prefetch(there: Mapping[str, Any]) -> Owner | None:
    instances, lookup, level = there.get("instances"), there.get("lookup"), there.get("level")
    if not instances or lookup is None or level is None:
        return None
    steps = lookup.prefetch_through.split("__")
    name = steps[level] if level < len(steps) else steps[-1]
    made = type(instances[0])
    owner = _declaring(made, name)
    awaited = (made, lookup.get_current_to_attr(level)[0])
    return Owner(
        marks.PREFETCH, f"{owner._meta.label}.{name}", name, _tag_of(instances[0]), "prefetch", awaited
    )


def _of_manager(manager: Any) -> Owner | None:
    instance = getattr(manager, "instance", None)
    if not isinstance(instance, Model):
        return None
    name = getattr(manager, "prefetch_cache_name", None)
    if name is None:
        field = getattr(manager, "field", None)
        remote = getattr(field, "remote_field", None)
        if remote is None:
            return None
        name = remote.get_accessor_name()
    owner = _declaring(type(instance), name)
    return Owner(marks.RELATED, f"{owner._meta.label}.{name}", name, _tag_of(instance), "related")


def _declaring(model: Any, name: str) -> Any:
    """The model that has the accessor; with multi-table inheritance that may be a parent."""
    for holder in model.__mro__:
        if name in holder.__dict__ and hasattr(holder, "_meta") and not holder._meta.abstract:
            return holder
    return model
