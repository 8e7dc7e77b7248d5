"""The guest for another interpreter: a private folder that holds `workbench.guest` and nothing else of ours."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import workbench.guest
from workbench.servers.watchdog import Watchdog

_lock = threading.Lock()
_made: dict[int, Path] = {}


def folder() -> Path:
    """The folder to put on the path; made once for each driver, removed with its other private folders."""
    watchdog = Watchdog.current()
    with _lock:
        place = _made.get(id(watchdog))
        if place is None or not place.is_dir():
            place = _made[id(watchdog)] = watchdog.make_folder("guest")
            package = place / "workbench"
            package.mkdir()
            (package / "__init__.py").write_text('"""Only the guest is here."""\n', encoding="utf-8")
            assert workbench.guest.__file__ is not None
            shutil.copytree(
                Path(workbench.guest.__file__).parent,
                package / "guest",
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        return place
