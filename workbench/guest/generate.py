"""Rows made up from what the models say of themselves, for a project that comes without data.

Inserted below `save()`: no signals, no `pre_save`, no `__init__` of the project. A table that refuses is told and left; what it
needed, every other table still has.
"""

from __future__ import annotations

import os
import struct
import zlib
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import DatabaseError, IntegrityError, connections, models, router, transaction
from django.db.models import QuerySet

from workbench.guest.values import NothingFits, value_for

#: Filled by Django itself, or meaningless when made up.
_LEFT = (
    "contenttypes",
    "sessions",
    "migrations",
    "sites",
    "auth.Permission",
    "admin.LogEntry",
    "django_celery_beat",
    "authtoken",
)
#: Rows of such models keep visitors from pages, or send them elsewhere.
_GUARDS = ("restriction", "blacklist", "blocklist", "denylist", "lockout", "redirect")
#: Fields of trees (treebeard; mptt): rows become roots, which is the one shape that can be made up without the tree's own code.
_MP_TREE, _MPTT = {"path", "depth", "numchild"}, {"lft", "rght", "tree_id", "level"}


def generate(rows: int = 50) -> dict[str, Any]:
    """Fill every empty table of the project.

    Args:
        rows: of each model; tables between two others get three for each.

    Returns:
        rows: model -> how many came in; failed: model -> why none or not all did.
    """
    filled: dict[str, int] = {}
    failed: dict[str, str] = {}
    later: list[tuple[Any, Any]] = []
    ordered = in_order([model for model in apps.get_models(include_auto_created=True) if _is_filled(model)])
    for position, model in enumerate(ordered):
        label = model._meta.label
        try:
            if _is_view(model) or _count(model):
                continue
            if any(word in model.__name__.lower() for word in _GUARDS):
                failed[label] = "left empty: such rows keep visitors from pages"
                continue
            waiting = set(ordered[position + 1 :])
            made, problem, skipped = _fill(model, rows * (3 if model._meta.auto_created else 1), waiting)
        except Exception as error:  # noqa: BLE001 one table's failure is told, and is not the end
            failed[label] = _line(error)
            continue
        filled[label] = made
        later += [(model, field) for field in skipped]
        if problem and made < rows:
            failed[label] = problem
    for model, field in later:
        try:
            _point(model, field)
        except Exception as error:  # noqa: BLE001 as above
            failed.setdefault(model._meta.label, f"{field.name}: {_line(error)}")
    _picture()
    return {"rows": filled, "failed": failed}


def grow(table: str, rows: int) -> dict[str, Any]:
    """Add rows to one table, beside those that are there.

    Args:
        table: its name in the database.
        rows: that it is to have in the end.

    Returns:
        rows: that it has now; problem: why these are fewer, else "".
    """
    found = [one for one in apps.get_models(include_auto_created=True) if one._meta.db_table == table]
    model = next((one for one in found if _is_filled(one)), None)
    if model is None:
        return {"rows": 0, "problem": "nothing can be made up for it"}
    there = _count(model)
    alias = router.db_for_write(model) or "default"
    last = QuerySet(model, using=alias).aggregate(last=models.Max("pk"))["last"]
    # Numbers that no row has yet, where they are keys.
    start = max(there, last if isinstance(last, int) else 0)
    _made, problem, _skipped = _fill(model, max(0, rows - there), set(), start)
    return {"rows": _count(model), "problem": problem}


def _is_filled(model: Any) -> bool:
    meta = model._meta
    if meta.proxy or meta.swapped or meta.abstract:
        return False
    return meta.label not in _LEFT and meta.app_label not in _LEFT


def _is_view(model: Any) -> bool:
    if model._meta.managed:
        return False
    connection = connections[router.db_for_write(model) or "default"]
    with connection.cursor() as cursor:
        kinds = {one.name: one.type for one in connection.introspection.get_table_list(cursor)}
    return kinds.get(model._meta.db_table) == "v"


def _count(model: Any) -> int:
    alias = router.db_for_write(model) or "default"
    with transaction.atomic(using=alias):
        return int(QuerySet(model, using=alias).count())


def in_order(found: list[Any]) -> list[Any]:
    """Targets of foreign keys before those that point at them; a circle is cut at a key that may be empty."""
    ordered: list[Any] = []
    for strict in (False, True, None):
        waiting = [model for model in found if model not in ordered]
        while waiting:
            ready = [model for model in waiting if not (_needs(model, strict) & (set(waiting) - {model}))]
            if not ready:
                break
            ordered += ready
            waiting = [model for model in waiting if model not in ready]
        # Then with the keys that may not be empty alone, and at last in any order.
    return ordered


def _needs(model: Any, strict: bool | None) -> set[Any]:
    if strict is None:
        return set()
    return {
        field.remote_field.model
        for field in model._meta.local_concrete_fields
        if field.remote_field and not (strict and field.null)
    }


def _fill(model: Any, rows: int, waiting: set[Any], start: int = 0) -> tuple[int, str, list[Any]]:
    meta = model._meta
    alias = router.db_for_write(model) or "default"
    names = {field.name for field in meta.local_concrete_fields}
    parents = [field for field in meta.local_concrete_fields if _is_parent_link(field)]
    if any(
        {field.name for field in parent.remote_field.model._meta.fields} >= _MP_TREE for parent in parents
    ):
        return 0, "its rows are nodes of a tree, which its own code must plant (--seed or --fixture)", []
    fields: list[Any] = []
    skipped: list[Any] = []
    for field in meta.local_concrete_fields:
        target = field.remote_field.model if field.remote_field else None
        if getattr(field, "generated", False):
            continue
        if target is not None and field.null and (target is model or target in waiting):
            skipped.append(field)
        elif getattr(field, "has_db_default", lambda: False)() and field.primary_key:
            continue
        else:
            fields.append(field)
    data = _Targets(alias)
    for parent in parents:
        data.fresh(parent, rows)
    made: list[Any] = []
    unique = _unique_sets(model)
    seen: dict[tuple[str, ...], set[tuple[Any, ...]]] = {one: set() for one in unique}
    problem = ""
    for number in range(start, start + rows * 4):
        if len(made) == rows:
            break
        try:
            row = {field.attname: _value(field, number, data, names) for field in fields}
        except NothingFits as error:
            problem = str(error)
            break
        _generic(model, row, number, data)
        # A pair that exists already is left out here: the database would refuse the whole batch.
        keys = {one: tuple(row.get(name) for name in one) for one in unique}
        if any(key in seen[one] for one, key in keys.items()):
            continue
        for one, key in keys.items():
            seen[one].add(key)
        made.append(SimpleNamespace(**row))
    count, refused = _insert(model, alias, fields, made)
    return count, refused or problem, skipped


def _insert(model: Any, alias: str, fields: list[Any], rows: list[Any]) -> tuple[int, str]:
    connection = connections[alias]
    queryset: Any = QuerySet(model, using=alias)
    problem, count = "", 0
    step = max(1, min(100, (connection.features.max_query_params or 900) // max(1, len(fields))))
    for start in range(0, len(rows), step):
        batch = rows[start : start + step]
        try:
            with transaction.atomic(using=alias):
                queryset._insert(batch, fields=fields, using=alias, raw=True)
            count += len(batch)
            continue
        except (DatabaseError, IntegrityError, ValueError, TypeError) as error:
            problem = _line(error)
        refused = 0
        for row in batch:
            try:
                with transaction.atomic(using=alias):
                    queryset._insert([row], fields=fields, using=alias, raw=True)
                count += 1
            except Exception as error:  # noqa: BLE001 a CHECK or a trigger that this row does not meet
                problem, refused = _line(error), refused + 1
                if refused >= 10 and not count:
                    break
    statements = connection.ops.sequence_reset_sql(no_style(), [model])
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return count, problem


class _Targets:
    """Keys of rows that can be pointed at, read once for each model."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._keys: dict[tuple[Any, str], list[Any]] = {}
        self._fresh: dict[Any, list[Any]] = {}

    def keys(self, model: Any, name: str = "pk") -> list[Any]:
        if (model, name) not in self._keys:
            alias = router.db_for_read(model) or self._alias
            found: Any = QuerySet(model, using=alias).order_by("pk").values_list(name, flat=True)[:2000]
            self._keys[model, name] = list(found)
        return self._keys[model, name]

    def fresh(self, link: Any, rows: int) -> None:
        """Rows of a parent model that no child has yet: multi-table inheritance needs one each."""
        parent = link.remote_field.model
        known = set(self.keys(parent))
        before = len(known)
        fields = [one for one in parent._meta.local_concrete_fields if not getattr(one, "generated", False)]
        alias = router.db_for_write(parent) or self._alias
        names = {field.name for field in fields}
        made = []
        for number in range(before, before + rows):
            row = {field.attname: _value(field, number, self, names) for field in fields}
            made.append(SimpleNamespace(**row))
        _insert(parent, alias, fields, made)
        self._keys.pop((parent, "pk"), None)
        self._fresh[link] = [key for key in self.keys(parent) if key not in known]

    def parent(self, link: Any, number: int) -> Any:
        if number >= len(self._fresh[link]):
            raise NothingFits("its parent's table took no more rows")
        return self._fresh[link][number]


def _is_parent_link(field: Any) -> bool:
    return bool(field.remote_field) and bool(getattr(field.remote_field, "parent_link", False))


def _value(field: Any, number: int, data: _Targets, names: set[str]) -> Any:
    if names >= _MP_TREE and field.name in _MP_TREE:
        steps = getattr(field.model, "steplen", 4)
        return {"path": _base36(number + 1, steps), "depth": 1, "numchild": 0}[field.name]
    if names >= _MPTT and field.name in _MPTT:
        return {"lft": 1, "rght": 2, "tree_id": number + 1, "level": 0}[field.name]
    if not field.remote_field:
        return value_for(field, number)
    if _is_parent_link(field):
        return data.parent(field, number)
    target = field.remote_field.model
    keys = data.keys(target, getattr(field.target_field, "attname", "pk"))
    if not keys:
        if field.null:
            return None
        raise NothingFits(f"{field.name} points at {target._meta.label}, which has no rows")
    if field.unique:
        if number >= len(keys):
            raise NothingFits(f"{field.name} is unique, and {target._meta.label} has no more rows")
        return keys[number]
    # Half of the rows crowd on a few targets, so that a detail page has children; the rest are spread. The second key of a
    # table between two others moves on with each round of the first, so that pairs differ.
    position = [one.name for one in field.model._meta.local_concrete_fields if one.remote_field].index(
        field.name
    )
    if field.model._meta.auto_created or position:
        return keys[(number * (2 * position + 1) + position * (number // len(keys))) % len(keys)]
    return keys[number // 2 % len(keys)] if number % 2 else keys[number // 2 % min(5, len(keys))]


def _base36(number: int, width: int) -> str:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = ""
    while number:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return text.rjust(width, "0")


def _generic(model: Any, row: dict[str, Any], number: int, data: _Targets) -> None:
    """Generic foreign keys point at rows that exist."""
    for one in model._meta.private_fields:
        if not (hasattr(one, "ct_field") and hasattr(one, "fk_field")):
            continue
        kind = model._meta.get_field(one.ct_field)
        key = model._meta.get_field(one.fk_field)
        for target in _generic_targets(model, key):
            keys = data.keys(target)
            if keys:
                content_type: Any = apps.get_app_config("contenttypes").get_model("ContentType")
                row[kind.attname] = content_type.objects.get_for_model(target).pk
                row[key.attname] = keys[number // 2 % len(keys)]
                break


def _generic_targets(model: Any, key: Any) -> list[Any]:
    """Models that a generic key can hold; those that declare the way back first."""
    fitting = [
        one
        for one in apps.get_models()
        if one is not model and _is_filled(one) and isinstance(key, models.IntegerField) == isinstance(one._meta.pk, models.IntegerField)
    ]  # fmt: skip

    def back(one: Any) -> bool:
        return any(getattr(field, "related_model", None) is model for field in one._meta.private_fields)

    own = model._meta.app_label
    return sorted(fitting, key=lambda one: (not back(one), one._meta.app_label != own))


def _unique_sets(model: Any) -> list[tuple[str, ...]]:
    found: list[list[str]] = [list(one) for one in model._meta.unique_together]
    found += [
        list(one.fields)
        for one in model._meta.constraints
        if isinstance(one, models.UniqueConstraint) and one.fields
    ]
    local = {field.name: field.attname for field in model._meta.local_concrete_fields}
    return [tuple(local[name] for name in one) for one in found if all(name in local for name in one)]


def _point(model: Any, field: Any) -> None:
    """Fill a key that had to wait: to itself (every third row a child of an earlier one) or round a circle."""
    if {one.name for one in model._meta.local_concrete_fields} >= _MPTT:
        return
    alias = router.db_for_write(model) or "default"
    own = list(QuerySet(model, using=alias).order_by("pk").values_list("pk", flat=True)[:200])
    target = field.remote_field.model
    keys = own if target is model else _Targets(alias).keys(target, field.target_field.attname)
    with transaction.atomic(using=alias):
        for number, key in enumerate(own):
            if target is model and number % 3 == 0:
                continue
            place = number // 3 if target is model else number
            if keys and not (field.unique and place >= len(keys)):
                QuerySet(model, using=alias).filter(pk=key).update(**{field.name: keys[place % len(keys)]})


def _picture() -> None:
    """The file that every generated file field names."""
    path = os.path.join(str(settings.MEDIA_ROOT), "generated.png")
    if not os.path.isabs(path) or not os.path.isdir(os.path.dirname(path)) or os.path.exists(path):
        return
    side = 64

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    lines = (b"\0" + b"\x46\x82\xb4" * side) * side
    with open(path, "wb") as file:
        file.write(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(lines))
            + chunk(b"IEND", b"")
        )


def _line(error: BaseException) -> str:
    return (f"{type(error).__name__}: {error}").strip().splitlines()[0][:300]
