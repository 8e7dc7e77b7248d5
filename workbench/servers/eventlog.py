"""An append-only JSONL log of what a server process did, with monotonic times.

On Linux, macOS and Windows the monotonic clock is one for the whole machine, so that the times compare with
`time.monotonic()` of every other process until the next boot.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


class EventLog:
    """Writes one JSON object per line; each line is on its way to the file when `write` returns.

    A full disk must not take the proxy down in the middle of a drill: lines that cannot be written are counted in
    `lost`, and whoever reads the log as evidence must look at that number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)

    def write(self, event: str, **fields: Any) -> None:
        """Append an event with the time now (`t`, seconds of `time.monotonic()`)."""
        line = (
            json.dumps({"t": time.monotonic(), "event": event, **fields}, separators=(",", ":")).encode()
            + b"\n"
        )
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                # Half a line would make the next one unreadable too.
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
                self.lost += 1
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_events(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a log; a line that is still being written is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class EventTail:
    """What is written to a log from now on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = path.stat().st_size if path.exists() else 0

    def events(self) -> list[dict[str, Any]]:
        """The complete lines since the last call."""
        with self.path.open("rb") as log:
            log.seek(self._at)
            whole = log.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._at += len(whole) + 1
        return [json.loads(line) for line in whole.splitlines()]
