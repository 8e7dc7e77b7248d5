"""What one step allocates, in this very process: its highest point, and what is left of it.

By memray, which sees every allocation of Python and of C; by tracemalloc, which sees Python's only, where memray cannot run.
Both count what was allocated since the start, so that the peak of an earlier step, which a high-water mark of the process would
still show, is no part of it. What they slow down is not timed. Other threads of the process are counted with it; a
verdict on a change therefore comes from fresh processes.
"""

from __future__ import annotations

import gc
import html
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_SEES = {
    "memray": "every allocation of Python and of C, in all threads",
    "tracemalloc": "Python's allocations only: what a database driver or numpy's C code asks the system for is not in it",
}
_KEPT = (
    "what is still allocated includes what the step has given to names, caches and imports; for a verdict compare fresh "
    "processes, as the drill large-querysets does"
)


@dataclass(frozen=True)
class Allocated:
    """What one step allocated.

    Attributes:
        peak: bytes at the highest point, over what was there before.
        kept: bytes of it that were still there at the end.
        tool: that counted.
        reason: why it was not memray.
    """

    peak: int
    kept: int
    tool: Literal["memray", "tracemalloc"]
    reason: str = ""

    def _lines(self) -> list[str]:
        return [
            f"peak {_size(self.peak)} over the start, {_size(self.kept)} still allocated at the end",
            f"counted by {self.tool}: {_SEES[self.tool]}" + (f" ({self.reason})" if self.reason else ""),
            _KEPT,
        ]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        first, *rest = (html.escape(line) for line in self._lines())
        return f"<div><p><b>{first}</b></p>{''.join(f'<p>{line}</p>' for line in rest)}</div>"


class Measuring:
    """Gets its figures when what it measures has ended."""

    allocated: Allocated


@contextmanager
def measured() -> Iterator[Measuring]:
    """Count what runs in this process meanwhile allocates."""
    made = Measuring()
    gc.collect()  # else the step would be the one that frees what was garbage before
    tracker, reason = _memray()
    if tracker is None:
        with _by_tracemalloc(made, reason):
            yield made
        return
    memray, folder = tracker
    with folder as name:
        capture = Path(name) / "step.bin"
        try:
            with memray.Tracker(str(capture), trace_python_allocators=True):
                yield made
        finally:
            made.allocated = _read(memray, capture)


def _memray() -> tuple[tuple[Any, Any] | None, str]:
    """memray and a folder for its capture; or why not."""
    try:
        import memray
    except ImportError:
        return None, "memray is not installed"
    folder = tempfile.TemporaryDirectory(prefix="workbench-memory-")
    try:
        # Two at a time cannot be; whether one is active is told by trying only.
        with memray.Tracker(str(Path(folder.name) / "probe.bin")):
            pass
    except RuntimeError as error:
        folder.cleanup()
        return None, f"memray: {error}"
    return (memray, folder), ""


def _read(memray: Any, capture: Path) -> Allocated:
    with memray.FileReader(str(capture)) as reader:
        peak = reader.metadata.peak_memory
    with memray.FileReader(str(capture)) as reader:
        kept = sum(record.size for record in reader.get_leaked_allocation_records(merge_threads=True))
    return Allocated(peak, kept, "memray")


@contextmanager
def _by_tracemalloc(made: Measuring, reason: str) -> Iterator[None]:
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield
    finally:
        now, peak = tracemalloc.get_traced_memory()
        if ours:
            tracemalloc.stop()
        made.allocated = Allocated(max(0, peak - before), now - before, "tracemalloc", reason)


def _size(number: int) -> str:
    sign = "-" if number < 0 else ""
    if abs(number) < 2**20:
        return f"{sign}{abs(number) / 2**10:.1f} KiB"
    return f"{sign}{abs(number) / 2**20:.1f} MiB"
