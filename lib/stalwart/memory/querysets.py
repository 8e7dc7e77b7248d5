"""`QuerysetMemoryOptimizer.chunk_queryset`: a huge queryset, row by row, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from django.db import connections
from django.db.models import F, Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    NamedValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.utils import create_namedtuple_class
from django.db.utils import InterfaceError, OperationalError

from stalwart import django_conf
from stalwart.exceptions import ConfigurationError
from stalwart.memory.keyset import Keyset, keyset_of

Row = TypeVar("Row")

_KEY = "stalwart_key_{}"


class QuerysetMemoryOptimizer:
    """Ways to go through large querysets."""

    @staticmethod
    def chunk_queryset(
        queryset: QuerySet[Any, Row] | BaseManager[Any], chunk_size: int = 2000, *, resume_after: Any = None
    ) -> Iterator[Row]:
        """Iterate over a queryset with a query per chunk, each going on behind the last key of the one before.

        No cursor and no transaction is held between chunks, so it works behind pgbouncer; a connection that was lost
        meanwhile is replaced, once per chunk and outside `atomic`. Peak memory is about one chunk.

        **What is promised.** The range of keys is fixed when the first row is asked for. A row in it that matches the
        queryset when its chunk is read is handed out exactly once, as it was then. So a loop may change or delete the
        rows it was handed, out of the filter as well, and add rows. A row further on that leaves the filter before its
        chunk is read (by the loop or by others) is not handed out, and one that enters it is. Only the columns that the
        queryset is *sorted by* must not be changed in the loop: a row can move past the reader and come again, or never.
        The default order, the primary key, is safe.

        The order is the queryset's own, with the primary key appended. `select_related`, `prefetch_related` (per chunk),
        `only`, `defer`, `annotate`, `values` and `values_list` work. Rows that a filter over a to-many relation makes
        several of come once.

        Args:
            queryset: not sliced, combined, or `distinct` on fields. A manager stands for all its rows.
            chunk_size: rows per query, at least 1.
            resume_after: the `last_key` of an earlier iterator; rows up to it are left out.

        Returns:
            An iterator; its `last_key` is the key of the row handed out last (plain values: one, or a tuple in the
            order of the sorting), to be kept for `resume_after`. With `STALWART["MEMORY"]["ENABLED"]` off it is
            `iter(queryset)`.

        Raises:
            ConfigurationError: (at once) for a queryset that this cannot do; the message says why and what to do.
            TypeError: (at once) for something that is no queryset.
        """
        if isinstance(queryset, BaseManager):
            queryset = queryset.all()
        if not isinstance(queryset, QuerySet):
            raise TypeError(
                f"chunk_queryset takes a queryset, not {queryset!r}; raw() querysets can be iterated directly"
            )
        if not django_conf.current().memory.enabled:
            return iter(queryset)
        if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
            raise ConfigurationError(f"chunk_size is {chunk_size!r}; use a whole number of at least 1")
        _refuse_what_has_no_keys(queryset)
        return ChunkedRows(queryset, chunk_size, resume_after)


class ChunkedRows(Generic[Row]):
    """The iterator that `chunk_queryset` returns.

    Attributes:
        last_key: key of the row handed out last; before the first one, what `resume_after` was.
    """

    def __init__(self, queryset: QuerySet[Any, Row], chunk_size: int, resume_after: Any) -> None:
        keyset = keyset_of(queryset)
        self._single = len(keyset.parts) == 1
        if resume_after is not None and not self._single and len(tuple(resume_after)) != len(keyset.parts):
            paths = ", ".join(part.path for part in keyset.parts)
            raise ConfigurationError(
                f"resume_after is {resume_after!r}; use a tuple with the values of {paths}"
            )
        self.last_key: Any = resume_after
        self._rows = self._read(_Reader(queryset, keyset), chunk_size)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        return next(self._rows)

    def _read(self, reader: _Reader[Row], chunk_size: int) -> Iterator[Row]:
        after = (
            None if self.last_key is None else ((self.last_key,) if self._single else tuple(self.last_key))
        )
        end = reader.last_key()
        if end is None:
            return
        while True:
            rows, keys = reader.chunk(after, end, chunk_size)
            previous = after
            for row, key in zip(rows, keys, strict=True):
                if key != previous:  # a join makes several of one row; they lie side by side
                    previous = key
                    self.last_key = key[0] if self._single else key
                    yield row
            if len(rows) < chunk_size:
                return
            after = keys[-1]
            # Before the next chunk is read: this frame would keep the whole last one alive meanwhile.
            del rows, keys, row


class _Reader(Generic[Row]):
    """Reads chunks with the keys of their rows. Keys are taken when a chunk arrives: the loop may change its rows."""

    def __init__(self, queryset: QuerySet[Any, Row], keyset: Keyset) -> None:
        self._keyset = keyset
        self._width = len(keyset.parts)
        self._kind: Any = queryset._iterable_class
        self._names = _names_of_values(queryset)
        ordered = queryset.order_by(*(part.term for part in keyset.parts))
        ordered.query.standard_ordering = True  # a reverse() is in the terms already
        self._take: Callable[[list[Any]], tuple[list[Any], list[tuple[Any, ...]]]]
        if self._kind is ModelIterable and _columns_are_loaded(queryset, keyset):
            self._attributes = [part.path for part in keyset.parts]
            self._take = self._from_attributes
        else:
            ordered = ordered.annotate(
                **{_KEY.format(n): F(part.path) for n, part in enumerate(keyset.parts)}
            )
            if self._kind is ModelIterable:
                self._attributes = [_KEY.format(n) for n in range(self._width)]
                self._take = self._from_annotations
            elif self._kind is ValuesIterable:
                self._attributes = [_KEY.format(n) for n in range(self._width)]
                self._take = self._from_dicts
            else:
                ordered._iterable_class = ValuesListIterable  # flat and named rows have no room for the key
                self._take = self._from_tuples
        self._queryset = ordered

    def last_key(self) -> tuple[Any, ...] | None:
        """The key of the last row there is now."""
        backwards = self._queryset.reverse()
        if self._kind is ModelIterable:
            backwards = backwards.prefetch_related(None)
        keys = self._take(self._fetch(backwards[:1]))[1]
        return keys[0] if keys else None

    def chunk(
        self, after: tuple[Any, ...] | None, end: tuple[Any, ...], size: int
    ) -> tuple[list[Row], list[tuple[Any, ...]]]:
        """The next rows behind `after` and up to `end`, and their keys."""
        queryset = self._queryset.filter(self._keyset.up_to(end))
        if after is not None:
            queryset = queryset.filter(self._keyset.beyond(after))
        return self._take(self._fetch(queryset[:size]))

    def _fetch(self, queryset: QuerySet[Any, Any]) -> list[Any]:
        try:
            return list(queryset)
        except (OperationalError, InterfaceError):
            connection = connections[queryset.db]
            if connection.in_atomic_block or (connection.connection is not None and connection.is_usable()):
                raise
            connection.close()
        # Reading a chunk changes nothing, so it can be done again. An outage of seconds is not waited for here.
        return list(queryset._chain())  # type: ignore[attr-defined]  # the failed one may hold half a result

    def _from_attributes(self, rows: list[Any]) -> tuple[list[Any], list[tuple[Any, ...]]]:
        if self._width == 1:
            name = self._attributes[0]
            return rows, [(getattr(row, name),) for row in rows]
        return rows, [tuple([getattr(row, name) for name in self._attributes]) for row in rows]

    def _from_annotations(self, rows: list[Any]) -> tuple[list[Any], list[tuple[Any, ...]]]:
        # Taken off again: the caller's instances are to look as the queryset made them.
        return rows, [tuple([row.__dict__.pop(name) for name in self._attributes]) for row in rows]

    def _from_dicts(self, rows: list[Any]) -> tuple[list[Any], list[tuple[Any, ...]]]:
        return rows, [tuple([row.pop(name) for name in self._attributes]) for row in rows]

    def _from_tuples(self, rows: list[Any]) -> tuple[list[Any], list[tuple[Any, ...]]]:
        keys = [row[-self._width :] for row in rows]
        if self._kind is FlatValuesListIterable:
            return [row[0] for row in rows], keys
        if self._kind is NamedValuesListIterable and rows:
            named: Any = create_namedtuple_class(*self._names)
            return [named._make(row[: -self._width]) for row in rows], keys
        return [row[: -self._width] for row in rows], keys


def _columns_are_loaded(queryset: QuerySet[Any, Any], keyset: Keyset) -> bool:
    """Whether each instance will hold the whole key in its own attributes, so that nothing has to be added to the query."""
    model: type[Model] = queryset.model
    own = {field.attname: field.name for field in model._meta.concrete_fields}
    mentioned, deferring = queryset.query.deferred_loading
    primary = {field.attname for field in model._meta.pk_fields}
    for part in keyset.parts:
        if part.path not in own:
            return False
        named = part.path in mentioned or own[part.path] in mentioned
        if part.path not in primary and named == deferring:
            return False
    return True


def _refuse_what_has_no_keys(queryset: QuerySet[Any, Any]) -> None:
    query = queryset.query
    hint = "iterate over it directly, or rewrite it as a filter"
    if query.is_sliced:
        raise _refusal("a sliced queryset", "leave the slice out and stop the loop after as many rows")
    if query.combinator:
        raise _refusal(
            f"a {query.combinator}() of querysets",
            "combine the conditions with | or &, or chunk each of them",
        )
    if query.distinct_fields:
        raise _refusal("distinct() on fields", hint)
    kinds = (
        ModelIterable,
        ValuesIterable,
        ValuesListIterable,
        FlatValuesListIterable,
        NamedValuesListIterable,
    )
    kind: Any = queryset._iterable_class
    if kind not in kinds:
        raise _refusal(f"rows of {kind.__name__}", hint)
    plain = kind is not ModelIterable
    if plain and (query.distinct or not _has_a_group_per_row(queryset)):
        raise _refusal("values() with distinct() or grouping, whose rows have no primary key", hint)
    if (plain or query.annotation_select) and query.group_by is None and _joins_to_many(queryset):
        raise _refusal(
            "values() or annotate() over a to-many relation, where rows may share a primary key",
            "start from the other model",
        )
    if any(getattr(each, "contains_over_clause", False) for each in query.annotations.values()):
        raise _refusal("window functions, which would see one chunk only", hint)


def _has_a_group_per_row(queryset: QuerySet[Any, Any]) -> bool:
    """Whether no rows are grouped away: without grouping, or when the primary key is among what is grouped by."""
    groups = queryset.query.group_by
    if not isinstance(groups, tuple):
        return True
    targets = [getattr(group, "target", None) for group in groups]
    return all(field in targets for field in queryset.model._meta.pk_fields)


def _names_of_values(queryset: QuerySet[Any, Any]) -> tuple[str, ...]:
    """The columns of a values_list(), in order."""
    fields: tuple[str, ...] | None = getattr(queryset, "_fields", None)
    query = queryset.query
    return tuple(fields) if fields else (*query.extra_select, *query.values_select, *query.annotation_select)


def _joins_to_many(queryset: QuerySet[Any, Any]) -> bool:
    fields = [getattr(join, "join_field", None) for join in queryset.query.alias_map.values()]
    return any(field is not None and (field.one_to_many or field.many_to_many) for field in fields)


def _refusal(what: str, instead: str) -> ConfigurationError:
    return ConfigurationError(f"chunk_queryset cannot go through {what}; {instead}")
