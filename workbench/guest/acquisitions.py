"""How long each request waits for a usable database connection, measured inside the project's own process.

Counted is the time in the two doors through which Django comes by one: `close_if_health_check_failed` (the check of a kept
connection) and `ensure_connection` (opening one, or waiting for one of a pool and checking it). Every arm of a drill has
the same clock in the same places. One line for each request goes to a file beside the overlay, after the request.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: A request names itself by this header; requests without it are not written down.
HEADER = "X-Workbench-Id"
_ENVIRON = f"HTTP_{HEADER.upper().replace('-', '_')}"
DOORS = ("close_if_health_check_failed", "ensure_connection")


class _Sum(threading.local):
    """What the request of this thread has spent so far; a thread serves one request at a time."""

    request = ""
    seconds = 0.0
    within = False  # opening a connection runs queries, and so goes through the doors again


_sum = _Sum()
_file: int | None = None


def timed(door: Callable[..., Any]) -> Callable[..., Any]:
    """A door with a clock; for an arm's `Wrap`. The first one also begins to listen to requests."""
    _listen()

    @functools.wraps(door)
    def passed(*args: Any, **kwargs: Any) -> Any:
        if _sum.within:
            return door(*args, **kwargs)
        _sum.within = True
        begun = time.perf_counter()
        try:
            return door(*args, **kwargs)
        finally:
            _sum.seconds += time.perf_counter() - begun
            _sum.within = False

    return passed


def _listen() -> None:
    from django.core.signals import request_finished, request_started

    request_started.connect(_begin, dispatch_uid=__name__)
    request_finished.connect(_end, dispatch_uid=__name__)


def _begin(environ: dict[str, Any] | None = None, **kwargs: Any) -> None:
    _sum.request = str((environ or {}).get(_ENVIRON, ""))
    _sum.seconds = 0.0


def _end(**kwargs: Any) -> None:
    global _file
    if not _sum.request:
        return
    line = json.dumps({"id": _sum.request, "seconds": _sum.seconds}) + "\n"
    if _file is None:
        _file = os.open(
            place(os.environ["WORKBENCH_OVERLAY"], os.getpid()), os.O_CREAT | os.O_WRONLY | os.O_APPEND
        )
    os.write(_file, line.encode())  # one call: lines of other threads cannot come between
    _sum.request = ""


def place(overlay: str | Path, pid: int | str = "*") -> Path:
    """The file of one process that runs under an overlay; with "*" the pattern of all of them."""
    path = Path(overlay)
    return path.with_name(f"{path.stem}-acquired-{pid}.jsonl")
