"""The library for another interpreter: a private folder with `stalwart` and whatever it and a web server need there.

The project's environment is never changed: what it has is used, and only what it lacks lies in the folder, which comes after
the project's own folders on the path. So drills can be run on a project under its own Python.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import stalwart
from workbench.errors import WorkbenchError
from workbench.servers.watchdog import Watchdog

#: What `stalwart` is written for; older projects can be profiled, but not run with it.
OLDEST_PYTHON, OLDEST_DJANGO = (3, 11), (5, 2)
#: Distribution that somebody may lack -> a module by which it is seen.
MODULES = {
    "psutil": "psutil",
    "prometheus-client": "prometheus_client",
    "backports.zstd": "backports.zstd",
    "gunicorn": "gunicorn",
}
#: Either is a driver for the private PostgreSQL. Both are never given: a second one would change which is used.
DRIVERS = ("psycopg", "psycopg2")
#: Seconds for downloads.
PATIENCE = 180
_ASK = """
import importlib.util, json, sys
import django
def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
print(json.dumps([list(sys.version_info[:2]), list(django.VERSION[:2]), [one for one in sys.argv[1:] if has(one)]]))
"""

_lock = threading.Lock()
_made: dict[tuple[int, Path], Path] = {}


def folder(interpreter: Path) -> Path:
    """The folder to put on the path of the interpreter's processes; made once for each driver, removed with its others.

    Costs nothing but a copy where the environment has everything, else a download of what it lacks.

    Raises:
        WorkbenchError: it is too old for the library, or what it lacks could not be fetched.
    """
    watchdog = Watchdog.current()
    key = id(watchdog), interpreter
    with _lock:
        place = _made.get(key)
        if place is None or not place.is_dir():
            wanted = _lacking(interpreter)
            place = watchdog.make_folder("library")
            if wanted:
                _fetch(interpreter, wanted, place)
            shutil.copytree(
                Path(stalwart.__file__).parent,
                place / "stalwart",
                ignore=shutil.ignore_patterns("__pycache__"),
            )
            _made[key] = place
        return place


def _lacking(interpreter: Path) -> list[str]:
    """The requirements that the interpreter's environment does not meet with any version."""
    python, django, there = _ask(interpreter)
    for what, version, oldest in (("Python", python, OLDEST_PYTHON), ("Django", django, OLDEST_DJANGO)):
        if version < oldest:
            raise WorkbenchError(
                f"the project runs {what} {_dotted(version)}, and the library needs {_dotted(oldest)}",
                f"profile it (`workbench profile`), or run drills on a copy under {what} {_dotted(oldest)} or newer",
            )
    needed = {name: module for name, module in MODULES.items() if module not in there}
    if python >= (3, 14):
        needed.pop("backports.zstd", None)  # a part of Python there
    wanted = [_requirement(name) for name in needed]
    if not any(driver in there for driver in DRIVERS):
        wanted.append("psycopg[binary,pool]>=3.2")
    return wanted


def _ask(interpreter: Path) -> tuple[tuple[int, int], tuple[int, int], list[str]]:
    try:
        done = subprocess.run(
            [str(interpreter), "-c", _ASK, *MODULES.values(), *DRIVERS],
            env=_clean(os.environ), capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        python, django, there = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise WorkbenchError(
            f"{interpreter} did not say what it has: {type(error).__name__}",
            f'try it by hand: {interpreter} -c "import django"',
        ) from error
    return (python[0], python[1]), (django[0], django[1]), there


def _requirement(name: str) -> str:
    """As our own package asks for it, of whichever of its extras."""
    for line in importlib.metadata.requires("django-stalwart") or ():
        wanted = line.partition(";")[0].strip()
        if re.split(r"[^\w.\-]", wanted, maxsplit=1)[0].lower() == name:
            return wanted
    return name


def _fetch(interpreter: Path, wanted: list[str], place: Path) -> None:
    command = [
        sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--target", str(place), "--quiet",
        "--disable-pip-version-check", "--no-input", "--only-binary=:all:", *wanted,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, env=_clean(os.environ), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        why = "" if done.returncode == 0 else _last(done.stderr)
    except (OSError, subprocess.TimeoutExpired) as error:
        why = type(error).__name__
    if why:
        Watchdog.current().remove_folder(place)
        raise WorkbenchError(
            f"{', '.join(wanted)} could not be fetched for {interpreter}: {why}",
            f"with a network, or after `{interpreter} -m pip install {' '.join(map(_quoted, wanted))}` in a copy of its environment",
        )


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what leads into our own environment; the package index that the user has set stays."""
    return {name: value for name, value in environ.items() if not name.startswith("PYTHON")}


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip().lower().startswith("error")]
    return lines[-1][:300] if lines else "pip failed"


def _quoted(requirement: str) -> str:
    return f"'{requirement}'"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
