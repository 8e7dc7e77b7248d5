"""A change tried on the querysets of one place, as they are evaluated, by the public API that the user's edit would call.

What the edit would raise is raised here. It is a cheap search and no proof: the edited text itself, run in a process of its
own, is (`workbench.guest.edited`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model, QuerySet, signals
from django.db.models.query import RawQuerySet

from workbench.guest import attribution

#: What can be laid on; each is a method of querysets.
VERBS = ("select_related", "prefetch_related", "only", "defer")

_laid: list[dict[str, Any]] = []
_originals: dict[tuple[type, str], Any] = {}


def lay(changes: Sequence[Mapping[str, Any]]) -> None:
    """Have each queryset that comes from a place changed before it is evaluated, until `clear`.

    Args:
        changes: each with `model` and `created` as a batch's record has them, `verb` and `names`. Works in passes that tell
            producers, of a process that was started for them.

    Raises:
        ValueError: no such verb.
    """
    clear()
    for one in changes:
        if one["verb"] not in VERBS:
            raise ValueError(f"no such change: {one['verb']!r}; one of {', '.join(VERBS)}")
        _laid.append({**one, "applied": 0, "refused": None})
    for holder, name in ((QuerySet, "_fetch_all"), (QuerySet, "iterator"), (RawQuerySet, "_fetch_all")):
        original = holder.__dict__[name]
        _originals[holder, name] = original
        setattr(holder, name, _patched(original))


def clear() -> list[dict[str, Any]]:
    """Take everything off, and tell of each change how often it was applied, and why it was refused where it was."""
    while _originals:
        (holder, name), original = _originals.popitem()
        setattr(holder, name, original)
    told = [{"applied": one["applied"], "refused": one["refused"]} for one in _laid]
    _laid.clear()
    return told


def _patched(original: Any) -> Any:
    def evaluate(self: Any, *args: Any, **options: Any) -> Any:
        if self._result_cache is None:
            _change(self)
        return original(self, *args, **options)

    return evaluate


def _change(queryset: Any) -> None:
    own = queryset.__dict__
    if own.get("_wb_changed"):
        return
    created = attribution.created_by(queryset)
    matching = [
        one for one in _laid if one["model"] == queryset.model._meta.label and one["created"] == created
    ]
    if not matching:
        return
    own["_wb_changed"] = True
    for one in matching:
        refused = _refusal(queryset, one["verb"], one["names"])
        if refused is not None:
            one["refused"] = refused
            continue
        changed = getattr(queryset, one["verb"])(*one["names"])
        if hasattr(queryset, "query") and hasattr(changed, "query"):
            queryset.query = changed.query
        queryset._prefetch_related_lookups = changed._prefetch_related_lookups
        one["applied"] += 1


def _refusal(queryset: Any, verb: str, names: Sequence[str]) -> str | None:
    """Why a change must not be made though Django would do it."""
    query = getattr(queryset, "query", None)
    if verb == "select_related":
        if not hasattr(queryset, "select_related"):
            return "a raw query takes no select_related"
        if getattr(query, "select_related", False) is True:
            return "select_related() without names follows every key; a name would put an end to that"
        if getattr(query, "select_for_update", False):
            return "select_for_update would lock the joined rows too"
    if verb == "prefetch_related":
        known = {
            getattr(one, "prefetch_to", one): not isinstance(one, str)
            for one in queryset._prefetch_related_lookups
        }
        for name in names:
            if known.get(name):
                return f"{name} is prefetched already, by a queryset of its own"
    return None


def relation(model: str, path: str) -> dict[str, Any]:
    """What is known of a path of relations, before anything is tried.

    Args:
        model: "app.Model", where the path begins.
        path: names with `__` between them.

    Returns:
        known, single (every step leads to one row at most, by a join), generic, filtered (models on the way whose manager
        leaves rows out, which a join would not do), elsewhere (another database has the rows), unordered (models whose many
        rows come without an order of their own), tables, query (the path by the names that queries have), manager (the
        name of the first model's) and names (that the first model has).
    """
    start: Any = apps.get_model(model)
    at = start
    found: dict[str, Any] = {
        "known": True,
        "single": True,
        "generic": False,
        "filtered": [],
        "elsewhere": False,
        "unordered": [],
        "tables": [],
        "query": "",
        "manager": start._meta.default_manager.name if start._meta.default_manager is not None else "objects",
        "names": sorted({*(one.name for one in start._meta.get_fields()), *_own_names(start)}),
    }
    steps: list[str] = []
    for name in path.split("__") if path else ():
        field = _field(at, name)
        if field is None or at is None:
            return {**found, "known": False}
        target = field.related_model
        steps.append(field.name)
        if target is None:  # a generic key leads anywhere
            found.update(single=False, generic=True)
            at = None
            continue
        many = bool(field.one_to_many or field.many_to_many)
        if many:
            found["single"] = False
            if not target._meta.ordering:
                found["unordered"].append(target._meta.label)
        if (target._default_manager if many else target._base_manager).all().query.where:
            found["filtered"].append(target._meta.label)
        if router.db_for_read(target) != router.db_for_read(at):
            found["elsewhere"] = True
        found["tables"].append(target._meta.db_table)
        at = target
    return {**found, "query": "__".join(steps)}


def _own_names(model: Any) -> set[str]:
    return {name for holder in model.__mro__ for name in vars(holder)}


def _field(model: Any, name: str) -> Any:
    """A relation by the name that code reads it by, which for a reverse one is that of its accessor."""
    if model is None:
        return None
    for field in model._meta.get_fields(include_hidden=True):
        if not field.is_relation:
            continue
        accessor = getattr(field, "get_accessor_name", None)
        if (accessor() if accessor is not None and field.auto_created else field.name) == name:
            return field
    return None


def writing(table: str) -> dict[str, Any]:
    """What happens when a row of a table is created, beside its statement.

    Returns:
        model (None when the table is nobody's), own (methods of the project's in the way), signals, inherited (its rows lie
        in two tables).
    """
    made: Any = next((one for one in apps.get_models(True) if one._meta.db_table == table), None)
    if made is None:
        return {"model": None, "own": [], "signals": [], "inherited": False}
    own = [
        name
        for name in ("save", "save_base", "full_clean")
        if getattr(made, name) is not getattr(Model, name)
    ]
    heard = [name for name in ("pre_save", "post_save") if getattr(signals, name).has_listeners(made)]
    manager: Any = made._default_manager
    methods = [
        name
        for name in ("create", "bulk_create")
        if getattr(type(manager.all()), name) is not getattr(QuerySet, name) or name in vars(type(manager))
    ]
    return {
        "model": made._meta.label,
        "own": [*own, *methods],
        "signals": heard,
        "inherited": bool(made._meta.parents),
    }
