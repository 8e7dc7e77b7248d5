"""The order of a queryset as a unique key, and the condition for what lies behind a key.

`ORDER BY price, id` with `WHERE price >= %s AND (price > %s OR (price = %s AND id > %s))` goes on exactly where a page
ended, whatever happened to the rows before. The order must be total, so the primary key is appended; and no part of it may
be NULL, since SQL compares nothing with NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Field, Model, Q, QuerySet
from django.db.models.expressions import OrderBy

from stalwart.exceptions import ConfigurationError


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One column of the order.

    Attributes:
        path: as in `filter()`, `company__name`.
        descending: its direction.
    """

    path: str
    descending: bool

    @property
    def term(self) -> str:
        """As for `order_by()`."""
        return f"-{self.path}" if self.descending else self.path


@dataclass(frozen=True, slots=True)
class Keyset:
    """A total order: all of its parts together are different for every row."""

    parts: tuple[KeyPart, ...]

    def beyond(self, key: Sequence[Any]) -> Q:
        """The condition for rows that come after `key`."""
        return self._side(key, after=True)

    def up_to(self, key: Sequence[Any]) -> Q:
        """The condition for rows that come before `key`, and for the one that has it."""
        return self._side(key, after=False)

    def _side(self, key: Sequence[Any], *, after: bool) -> Q:
        condition: Q | None = None
        for part, value in reversed(list(zip(self.parts, key, strict=True))):
            way = "gt" if after != part.descending else "lt"
            bound = Q((f"{part.path}__{way}e", value))
            further = Q((f"{part.path}__{way}", value))
            # The last part decides whether the key itself belongs to it. Further up, the bound alone is what an index can
            # be entered with; the OR beside it only takes rows away.
            last = further if after else bound
            condition = last if condition is None else bound & (further | condition)
        assert condition is not None
        return condition


def keyset_of(queryset: QuerySet[Any]) -> Keyset:
    """The order of a queryset with its primary key appended.

    Raises:
        ConfigurationError: when it is sorted by something that cannot be part of a key; the message says by what, and
            what to do instead.
    """
    model: type[Model] = queryset.model
    query = queryset.query
    if query.extra_order_by:
        raise _refusal("extra(order_by=...)", "it is raw SQL")
    terms: Sequence[Any] = query.order_by
    if not terms and query.default_ordering:
        terms = query.get_meta().ordering or ()
    parts: list[KeyPart] = []
    for term in terms:
        for part in _parts(model, term):
            if not query.standard_ordering:  # after .reverse()
                part = KeyPart(part.path, not part.descending)
            if part.path not in {known.path for known in parts}:
                parts.append(part)
    # In the direction of the last part, so that one index over all of them serves.
    descending = parts[-1].descending if parts else not query.standard_ordering
    known = {part.path for part in parts}
    parts += [KeyPart(name, descending) for name in primary_key(model) if name not in known]
    return Keyset(tuple(parts))


def primary_key(model: type[Model]) -> list[str]:
    """The column names (attribute names) of a model's primary key; several for a composite one."""
    return [field.attname for field in model._meta.pk_fields]


def _parts(model: type[Model], term: Any) -> list[KeyPart]:
    if isinstance(term, F):
        term = term.asc()
    if isinstance(term, OrderBy):
        column: Any = term.expression
        if not isinstance(column, F) or term.nulls_first or term.nulls_last:
            raise _refusal(repr(term), "only plain columns can be compared with the last row's")
        path, descending = vars(column)["name"], term.descending
    elif isinstance(term, str) and term != "?":
        path, descending = term.removeprefix("-"), term.startswith("-")
    else:
        raise _refusal(repr(term), "only plain columns can be compared with the last row's")
    if path == "pk":
        return [KeyPart(name, descending) for name in primary_key(model)]
    return [KeyPart(_checked(model, path), descending)]


def _checked(model: type[Model], path: str) -> str:
    *relations, last = path.split("__")
    current = model
    for name in relations:
        field = _field(current, name, path)
        if not (field.many_to_one or (field.one_to_one and field.concrete)) or field.null:
            raise _refusal(path, f"{name!r} can lead to no row, or to several")
        current = field.related_model  # type: ignore[assignment]  # of a concrete forward relation it is a model
    field = _field(current, current._meta.pk.name if last == "pk" else last, path)
    if not field.concrete or field.many_to_many:
        raise _refusal(path, f"{last!r} is no column")
    if field.null:
        raise _refusal(path, "it may be NULL, which compares with nothing")
    if field.is_relation and last not in ("pk", field.attname):
        related: Any = field.related_model
        if related._meta.ordering:
            raise _refusal(path, f"Django sorts it as {related.__name__} is sorted; write {field.attname!r}")
        last = field.attname
    return "__".join([*relations, last])


def _field(model: type[Model], name: str, path: str) -> Field[Any, Any]:
    try:
        return model._meta.get_field(name)  # type: ignore[return-value]  # what is no column is refused by the caller
    except FieldDoesNotExist:
        raise _refusal(path, f"{name!r} is no column of {model.__name__}") from None


def _refusal(what: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"chunk_queryset cannot follow the order by {what}: {why}. Sort by columns that are never NULL, or append "
        ".order_by('pk') to go by primary key."
    )
