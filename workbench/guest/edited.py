"""A process in which some of the project's modules are compiled from an edited text, under their own paths; nothing is written.

`workbench.guest.settings` installs the texts before a line of the project runs. What a page costs is measured here as well, the
same way with and without an edit.
"""

from __future__ import annotations

import base64
import gc
import importlib.machinery
import os
import statistics
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

_texts: dict[str, bytes] = {}
_compiled: set[str] = set()


def install(texts: Mapping[str, str]) -> None:
    """Compile these modules from other texts than their files hold.

    Args:
        texts: by the file's path, what it would hold, in base64: source has an encoding of its own.
    """
    for path, text in texts.items():
        _texts[os.path.realpath(path)] = base64.b64decode(text)
    loader: Any = importlib.machinery.SourceFileLoader
    plain = loader.get_code

    def get_code(self: Any, fullname: str) -> Any:
        path = self.get_filename(fullname)
        text = _texts.get(os.path.realpath(path))
        if text is None:
            return plain(self, fullname)
        _compiled.add(os.path.realpath(path))
        return self.source_to_code(text, path)  # no byte code is read or written

    loader.get_code = get_code


def unused() -> list[str]:
    """Edited files that no module was made from so far: what was measured had nothing to do with them."""
    return sorted(set(_texts) - _compiled)


def measured(
    url: str,
    headers: Mapping[str, str] | None = None,
    masks: Sequence[int] = (),
    views: int = 3,
    memory: bool = True,
) -> dict[str, Any]:
    """What one page costs in this process, once it is warm.

    Args:
        url, headers, masks: as for `workbench.guest.pages.visit`.
        views: that are timed; their median counts.
        memory: look at the peak of memory too, in a view of its own.

    Returns:
        status, error, digests (each that was seen), queries, milliseconds, mebibytes (peak of what Python's allocators gave
        out during one view), unused (edited files that were not imported).
    """
    from workbench.guest import pages

    warmed = [pages.observed(url, "cold", headers, None, masks)[0]]
    warmed.append(pages.observed(url, "warm", headers, None, masks)[0])
    timed = [pages.observed(url, "warm", headers, None, masks)[0] for _ in range(views)]
    last = timed[-1]
    return {
        "status": last["status"],
        "error": next((one["error"] for one in (*warmed, *timed) if one["error"]), None),
        "digests": sorted({one["digest"] for one in (warmed[-1], *timed)}),
        "queries": len(last["queries"]),
        "milliseconds": statistics.median(one["milliseconds"] for one in timed),
        "mebibytes": _peak(url, headers) if memory and not last["error"] else None,
        "unused": unused(),
    }


def _peak(url: str, headers: Mapping[str, str] | None) -> float | None:
    """A view with nothing recorded, since records would weigh more where there are more statements."""
    from workbench.guest import pages
    from workbench.guest.bounds import bounded
    from workbench.guest.capture import PageCutError, Recorder
    from workbench.guest.undo import RolledBack

    client, path, extra = pages._prepare(url, headers)
    gc.collect()
    try:
        with RolledBack() as undo, bounded(Recorder(places=False), pages.SECONDS):
            tracemalloc.start()
            try:
                response = client.get(path, **extra)
                undo.commit_hooks()
                pages._read(response)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    except (Exception, PageCutError):  # noqa: BLE001 the timed views have said what is wrong with it
        return None
    return peak / 2**20
