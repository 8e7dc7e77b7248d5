"""The functions of Django's that tell what a statement is for, by their code, on every version from 4.2."""

from __future__ import annotations

import sys
from typing import Any

from workbench.guest.sites import mark, mark_inner

#: From the plainest to the most telling: a batch names its statements whatever it is made of.
OTHER, ITERATE, RELATED, TERMINAL, SAVE, LAZY, PREFETCH, BATCH = range(8)

_done: set[str] = set()


def _methods(holder: Any, rank: int, **origins: str) -> None:
    """Mark what a class has of these methods; versions differ in which."""
    for name, origin in origins.items():
        function = holder.__dict__.get(name)
        if function is not None:
            mark(function, rank, origin)


def prepare() -> None:
    """Mark Django's functions; again for what has been imported since (generic relations need an installed app)."""
    if "core" not in _done:
        _done.add("core")
        _core()
    fields = sys.modules.get("django.contrib.contenttypes.fields")
    if fields is not None and "generic" not in _done:
        _done.add("generic")
        _generic(fields)


def _core() -> None:
    from django.db.models import base, deletion, manager, query, query_utils
    from django.db.models.fields import related_descriptors as descriptors
    from django.db.models.sql import compiler

    mark(compiler.SQLCompiler.execute_sql, OTHER, "other")
    _methods(query.QuerySet, ITERATE, _fetch_all="iterate", _iterator="iterate", iterator="iterate")
    _methods(
        query.QuerySet,
        TERMINAL,
        get="get",
        count="count",
        exists="exists",
        contains="exists",
        aggregate="aggregate",
        first="first",
        last="first",
        earliest="first",
        latest="first",
        update="other",
    )
    _methods(query.QuerySet, BATCH, bulk_create="bulk", bulk_update="bulk", in_bulk="bulk", delete="delete")
    _methods(query.RawQuerySet, TERMINAL, _fetch_all="raw", iterator="raw")
    _methods(base.Model, SAVE, save_base="save")
    _methods(base.Model, TERMINAL, refresh_from_db="get")
    _methods(deletion.Collector, BATCH, collect="delete", delete="delete", related_objects="delete")
    mark(query.prefetch_one_level, PREFETCH, "prefetch")
    for holder in (descriptors.ForwardManyToOneDescriptor, descriptors.ForwardOneToOneDescriptor):
        _methods(holder, LAZY, get_object="lazy")
    _methods(descriptors.ReverseOneToOneDescriptor, LAZY, __get__="lazy", fetch_one="lazy")
    _methods(query_utils.DeferredAttribute, LAZY, __get__="deferred", fetch_one="deferred")
    for factory in (
        descriptors.create_reverse_many_to_one_manager,
        descriptors.create_forward_many_to_many_manager,
    ):
        mark_inner(factory, RELATED, "related", "self")
    mark_inner(manager.BaseManager._get_queryset_methods.__func__, OTHER, "other", "self")  # type: ignore[attr-defined]


def _generic(fields: Any) -> None:
    for name in ("GenericForeignKey", "GenericForeignKeyDescriptor"):
        holder = getattr(fields, name, None)
        if holder is not None:
            _methods(holder, LAZY, __get__="lazy", fetch_one="lazy")
    mark_inner(fields.create_generic_related_manager, RELATED, "related", "self")
