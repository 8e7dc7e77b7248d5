"""How much memory a pass over a large table takes, measured in a process of its own.

Primary: memray's peak of allocated memory, from the first row to the last. Check: growth of the kernel's high-water
mark (VmHWM), reset before the pass. Both start from a collected and trimmed heap, after a warm-up.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
from django.apps import apps
from django.db import connection


def measure(model: str, rows: int, how: str, capture: str | None = None) -> dict[str, Any]:
    """Pass over the first `rows` rows of a model once.

    Args:
        model: label, as "stocks.DailyBar".
        rows: how many, by primary key.
        how: "chunks" (the library; plain iteration when it is off), "list", "iterator".
        capture: path for memray's capture; without one only the high-water mark is measured, which memray's own
            memory would disturb.

    Returns:
        rows, checksum, seconds, and peak_memory (bytes) or rss_growth (bytes; None where the platform has no such mark).
    """
    passes: dict[str, Callable[[Any], Iterable[Any]]] = {
        "chunks": _chunks,
        "list": list,
        "iterator": _iterator,
    }
    table = apps.get_model(model)
    last = table._base_manager.order_by("pk").values_list("pk", flat=True)[rows - 1]
    queryset = table._base_manager.filter(pk__lte=last).order_by("pk")
    run = passes[how]
    _consume(run(queryset.filter(pk__in=[last])))  # imports, the first connection, compiled row converters
    gc.collect()
    _trim()
    if capture is None:
        before = _high_water(reset=True)
        result = _consume(run(queryset))
        after = _high_water()
        growth = None if before is None or after is None else max(0, after - before)
        return {**result, "rss_growth": growth}
    import memray

    with memray.Tracker(capture, native_traces=False):
        result = _consume(run(queryset))
    connection.close()
    with memray.FileReader(capture) as reader:
        peak = reader.metadata.peak_memory
    return {**result, "peak_memory": peak}


def _consume(rows: Iterable[Any]) -> dict[str, Any]:
    """Touch every row, and sum its keys: arms that did not see the same rows must not be compared."""
    count, checksum = 0, 0
    before = time.perf_counter()
    for row in rows:
        count += 1
        checksum = (checksum * 31 + hash(row.pk)) & 0xFFFFFFFF
    return {"rows": count, "checksum": checksum, "seconds": time.perf_counter() - before}


def _chunks(queryset: Any) -> Iterable[Any]:
    from stalwart import QuerysetMemoryOptimizer

    yield from QuerysetMemoryOptimizer.chunk_queryset(queryset)


def _iterator(queryset: Any) -> Iterable[Any]:
    yield from queryset.iterator()


def _trim() -> None:
    """Give freed memory back to the system, where the allocator can, so that the base line is clean."""
    trim = getattr(psutil, "heap_trim", None)
    if trim is not None:
        trim()


def _high_water(*, reset: bool = False) -> int | None:
    """The peak of resident memory in bytes since the last reset (Linux only)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
