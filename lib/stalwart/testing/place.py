"""Where a statement comes from, and for which relation, by the frames of the running call."""

from __future__ import annotations

from dataclasses import dataclass
from types import FrameType

from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager

from stalwart.database.call_site import call_site, is_application

#: Methods of Django's that ask as often as they must: in chunks, or level by level.
_BATCHES = frozenset({"bulk_create", "bulk_update", "in_bulk"})
_DELETION = "django.db.models.deletion"
_DESCRIPTORS = "django.db.models.fields.related_descriptors"
_DEFERRED = "django.db.models.query_utils"
_NODES = "django.template.base"


@dataclass(frozen=True, slots=True)
class Place:
    """See above.

    Attributes:
        where: "shop.views.board:42", or "board.html:7" where a template's own node asks; "" where neither is on the stack.
        relation: "shop.Order.customer" or "shop.Order.lines" where it fetches that of one instance, "shop.Tag of shop.Order"
            where Django does not tell by what name; else "".
        cure: what would fetch the same for all instances at once; else "".
        batch: a method of Django's splits up one operation.
    """

    where: str
    relation: str = ""
    cure: str = ""
    batch: bool = False


def place_of(frame: FrameType | None) -> Place:
    """Look outwards from a frame, up to the application's own or a template's node."""
    start, relation, cure, batch, rank = frame, "", "", False, 0
    while frame is not None and not is_application(frame.f_code.co_filename):
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("django.db.models"):
            batch = batch or _splits(module, name, frame)
            found = _relation(module, frame)
            if found is not None and found[0] > rank:
                rank, relation, cure = found
        elif module == _NODES and name == "render_annotated":
            node = _node(frame)
            if node:
                return Place(node, relation, cure, batch)
        frame = frame.f_back
    return Place(call_site(start) or "", relation, cure, batch)


def _splits(module: str, name: str, frame: FrameType) -> bool:
    if name == "prefetch_one_level":
        return (
            len(frame.f_locals.get("instances") or ()) > 1
        )  # for one instance at a time, it is a loop like any other
    return name in _BATCHES or module == _DELETION


def _relation(module: str, frame: FrameType) -> tuple[int, str, str] | None:
    """What a frame of the ORM tells, with how much: an attribute more than the owner of a queryset."""
    here = frame.f_locals
    holder, instance = here.get("self"), here.get("instance")
    if isinstance(instance, Model) and module in (_DESCRIPTORS, _DEFERRED):
        field, related = getattr(holder, "field", None), getattr(holder, "related", None)
        label = instance._meta.label
        if module == _DEFERRED and field is not None:
            return (
                4,
                f"{label}.{field.attname}",
                f"do not defer {field.attname} where the rows of {label} are read",
            )
        name = getattr(field, "name", None) if related is None else related.get_accessor_name()
        if name and frame.f_code.co_name in ("get_object", "__get__"):
            return 2, f"{label}.{name}", f'select_related("{name}") where the rows of {label} are read'
    if frame.f_code.co_name == "refresh_from_db":
        return 3, "", ""  # the instance itself
    if frame.f_code.co_name == "prefetch_one_level":
        lookup, level, instances = here.get("lookup"), here.get("level", 0), here.get("instances")
        if lookup is None or not instances:
            return None
        return 3, *_owned(instances[0], lookup.prefetch_through.split("__")[level], "")
    # Nothing else is asked for its attributes: those of an instance may ask the database themselves.
    if isinstance(holder, QuerySet):
        owner = getattr(holder, "_hints", {}).get("instance")
        field = next(iter(getattr(holder, "_known_related_objects", {})), None)
        name = None
    elif isinstance(holder, BaseManager):
        owner, field = getattr(holder, "instance", None), getattr(holder, "field", None)
        name = getattr(holder, "prefetch_cache_name", None)
    else:
        return None
    if not isinstance(owner, Model) or holder.model is None:
        return None
    if name is None and field is not None and isinstance(owner, field.remote_field.model):
        name = field.remote_field.get_accessor_name()
    return 1, *_owned(owner, name or "", holder.model._meta.label)


def _owned(owner: Model, name: str, model: str) -> tuple[str, str]:
    """Rows that belong to an instance: by the name under which it has them, else by their model."""
    label = owner._meta.label
    prefetch = f'prefetch_related("{name}")' if name else "prefetch_related()"
    told = f"{label}.{name}" if name else f"{model} of {label}"
    return told, f"{prefetch}, or an annotation, where the rows of {label} are read"


def _node(frame: FrameType) -> str:
    node = frame.f_locals.get("self")
    token, origin = getattr(node, "token", None), getattr(node, "origin", None)
    if token is None or origin is None:
        return ""
    name = getattr(origin, "template_name", None) or getattr(origin, "name", "")
    return f"{name}:{getattr(token, 'lineno', '?')}" if name else ""
