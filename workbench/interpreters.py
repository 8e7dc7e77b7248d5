"""The Python of a project: its own virtual environment, found where the usual tools keep it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError

OLDEST_PYTHON, OLDEST_DJANGO = (3, 9), (4, 2)
#: Folders in which people keep a virtual environment, beside manage.py or above it.
FOLDERS = (".venv", "venv", "env", ".env", "virtualenv")
#: File beside the project -> command that prints the environment's folder or interpreter.
TOOLS: dict[str, tuple[str, ...]] = {
    "poetry.lock": ("poetry", "env", "info", "--path"),
    "Pipfile": ("pipenv", "--venv"),
    "pdm.lock": ("pdm", "info", "--python"),
}
_ASK = (
    "import json, sys\n"
    "try:\n    import django\n    version = django.get_version()\n"
    "except Exception as error:\n    version = ''\n"
    "print(json.dumps([list(sys.version_info[:2]), version]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that can run a project.

    Attributes:
        program: its executable; None stands for ours.
        source: for people, as "its own .venv".
        notes: what was looked at and left, and why.
    """

    program: Path | None
    source: str
    notes: tuple[str, ...] = ()


OURS = Interpreter(None, "the workbench's own")


def find(
    root: Path, named: Path | str | None = None, environ: Mapping[str, str] | None = None
) -> Interpreter:
    """The interpreter of a project.

    Looked for in this order: the one that is named, `VIRTUAL_ENV`, a usual folder beside manage.py and above it up to the
    repository, `UV_PROJECT_ENVIRONMENT`, what poetry, pipenv and pdm say where their files lie, conda's environment of the
    project's name. One without Django is left, and said so; without any the workbench's own is taken.

    Args:
        root: the folder with manage.py.
        named: an interpreter, or the folder of a virtual environment.
        environ: by default this process's.

    Raises:
        WorkbenchError: the named one does not run or has no Django, or what was found is older than what can be profiled.
    """
    environ = os.environ if environ is None else environ
    if named is not None:
        # Not resolved: a virtual environment's python is a link, and only under its own path is it that environment.
        place = Path(os.path.abspath(Path(named).expanduser()))  # noqa: PTH100
        program = _program(place) if place.is_dir() else place
        if program is None or not program.is_file():
            found = shutil.which(str(named)) if os.sep not in str(named) else None
            if found is None:
                raise WorkbenchError(
                    f"there is no Python at {named}",
                    "name an interpreter or its virtual environment: --python PATH",
                )
            program = Path(found)
        if (version := _ask(program)) is None:
            raise WorkbenchError(f"{program} does not run as a Python", "name an interpreter: --python PATH")
        _require(program, version)
        return OURS if _is_ours(program) else Interpreter(program, f"--python {named}")
    notes: list[str] = []
    for source, place in _places(root, environ):
        program = _program(place)
        if program is None:
            continue
        if _is_ours(program):
            return Interpreter(None, f"{source}, which is the workbench's own", tuple(notes))
        version = _ask(program)
        if version is None or not version[1]:
            notes.append(f"{source} ({place}) " + ("does not run" if version is None else "has no Django"))
            continue
        _require(program, version)
        return Interpreter(program, source, tuple(notes))
    return Interpreter(None, OURS.source, tuple(notes))


def above(root: Path) -> Iterator[Path]:
    """The project's folder and those above it, up to the repository's root: three at most."""
    for folder in (root, *root.parents[:2]):
        yield folder
        if (folder / ".git").exists() or folder in (Path.home(), Path(folder.anchor)):
            return


def _places(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    active = environ.get("VIRTUAL_ENV")
    # Ours being active says nothing about the project.
    if active and not _same(Path(active), Path(sys.prefix)):
        yield "the active virtual environment", Path(active)
    folders = list(above(root))
    for folder in folders:
        for name in FOLDERS:
            if (folder / name).is_dir():
                yield f"its own {name}", folder / name
    if named := environ.get("UV_PROJECT_ENVIRONMENT"):
        yield "UV_PROJECT_ENVIRONMENT", root / named
    for folder in folders:
        for marker, command in TOOLS.items():
            here = (folder / marker).is_file() and shutil.which(command[0], path=environ.get("PATH"))
            if here and (answer := _run(command, folder, environ)):
                yield f"{command[0]}'s environment", Path(answer)
        for name in ("environment.yml", "environment.yaml"):
            if (folder / name).is_file() and (found := _conda(folder / name, environ)):
                yield "conda's environment", found
    prefix = environ.get("CONDA_PREFIX")
    conda = environ.get("CONDA_DEFAULT_ENV")
    if prefix and conda not in (None, "base") and not _same(Path(prefix), Path(sys.prefix)):
        yield "the active conda environment", Path(prefix)


def _conda(path: Path, environ: Mapping[str, str]) -> Path | None:
    match = re.search(r"(?m)^name:\s*['\"]?([\w.\-]+)", path.read_text(encoding="utf-8", errors="replace"))
    program = environ.get("CONDA_EXE") or shutil.which("conda", path=environ.get("PATH"))
    if match is None or not program:
        return None
    answer = _run((program, "env", "list", "--json"), path.parent, environ)
    try:
        known = json.loads(answer or "{}").get("envs", [])
    except ValueError:
        return None
    return next((Path(one) for one in known if Path(one).name == match[1]), None)


def _run(command: tuple[str, ...], folder: Path, environ: Mapping[str, str]) -> str | None:
    # Without ours: poetry and pipenv answer with the active environment, whichever project is asked about.
    clean = {name: value for name, value in environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    clean["PIPENV_VERBOSITY"] = "-1"
    try:
        done = subprocess.run(
            command, cwd=folder, env=clean, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None


def _program(place: Path) -> Path | None:
    """The executable of an environment's folder."""
    if place.is_file():
        return place
    for name in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        if (place / name).is_file():
            return place / name
    return None


def _ask(program: Path) -> tuple[tuple[int, int], str] | None:
    """The versions of Python and Django there ("" without Django); None when it does not run."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [program, "-c", _ASK], env=clean, capture_output=True, text=True, timeout=60, check=True
        )
        (major, minor), django = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (int(major), int(minor)), str(django)


def _require(program: Path, version: tuple[tuple[int, int], str]) -> None:
    python, django = version
    if python < OLDEST_PYTHON:
        raise WorkbenchError(
            f"{program} is Python {python[0]}.{python[1]}",
            "profile the project under Python 3.9 or newer: --python PATH",
        )
    if not django:
        raise WorkbenchError(f"{program} has no Django", "name the project's own interpreter: --python PATH")
    numbers = tuple(int(part) for part in re.findall(r"\d+", django)[:2])
    if numbers < OLDEST_DJANGO:
        raise WorkbenchError(
            f"the project runs Django {django}",
            "Django 4.2 is the oldest that can be profiled; upgrade a copy",
        )


def _is_ours(program: Path) -> bool:
    prefix = program.parent.parent if program.parent.name in ("bin", "Scripts") else program.parent
    return _same(prefix, Path(sys.prefix))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
