"""How much memory one instance of each model takes, with its values; in a process of its own, since tracing slows it down."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from django.apps import apps
from django.db import router, transaction
from django.db.models import QuerySet

#: Instances that are loaded of each model: many enough for an average.
SAMPLE = 200


def instances(sample: int = SAMPLE) -> dict[str, float]:
    """Bytes of one instance of each model that has rows, by its label: what Python's allocator gave for it and its values.

    Deferred fields, related objects and what the driver holds meanwhile are not in it. A model that cannot be read is left out.
    """
    found = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy:
            continue
        alias = router.db_for_read(model) or "default"
        try:
            with transaction.atomic(using=alias):
                average = _average(QuerySet(model, using=alias), sample)
        except Exception:  # noqa: BLE001, S112 the inventory says why a model cannot be read
            continue
        if average is not None:
            found[model._meta.label] = average
    return found


def _average(rows: Any, sample: int) -> float | None:
    # Converters, compiled patterns and the descriptors' caches are made once, and are no instance's own.
    if not list(rows[:2]):
        return None
    gc.collect()
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = list(rows[:sample])
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()
