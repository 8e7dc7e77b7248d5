"""A Django project: found on disk, named by its folder and settings module, never edited."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench import dotenv, interpreters
from workbench.errors import WorkbenchError

DEMO_SETTINGS = "workbench.demo.settings"
_SETTINGS = re.compile(
    r"DJANGO_SETTINGS_MODULE['\"]?\s*(?:,|\]\s*=|=|:)\s*(?:default\s*=\s*)?['\"]?([A-Za-z_][\w.]*)"
)
#: Folders that hold other people's manage.py, or copies of one.
_FOREIGN = ("node_modules", "site-packages", "build", "dist", *interpreters.FOLDERS)


@dataclass(frozen=True)
class Project:
    """Where a project is and how it starts.

    Attributes:
        name: for people.
        root: the folder that goes on the module path, the one with manage.py; also its working directory.
        settings: dotted name of its settings module.
        demo: it is the workbench's own demo, whose models the drills may use.
        environment: variables for its processes, beside the inherited ones; they may be secret.
        interpreter: its own Python; None stands for ours.
        source: where that was found, for people.
        paths: further folders on its module path, as `src`.
        notes: what was assumed while looking, for people.
    """

    name: str
    root: Path
    settings: str
    demo: bool = False
    environment: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    interpreter: Path | None = field(default=None, compare=False)
    source: str = field(default=interpreters.OURS.source, compare=False)
    paths: tuple[Path, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)


def demo() -> Project:
    """The demo project that comes with the workbench."""
    return Project("demo (stocks)", Path(__file__).parent / "demo", DEMO_SETTINGS, demo=True)


def find(
    folder: Path | str | None = None,
    settings: str | None = None,
    *,
    python: Path | str | None = None,
    env: Sequence[str] = (),
) -> Project:
    """The project in a folder; the demo when none is named.

    Args:
        folder: the one with manage.py, or one level above or below it.
        settings: dotted settings module; when None, the one that `.env`, manage.py or pytest's configuration names.
        python: its interpreter or virtual environment; when None, its own is looked for (`workbench.interpreters.find`).
        env: `NAME=VALUE`, over what `.env` and this process's environment say.

    Raises:
        WorkbenchError: no such folder, no manage.py, no settings module or one that cannot be found, or an unfit interpreter.
    """
    if folder is None:
        if settings and settings != DEMO_SETTINGS:
            raise WorkbenchError(
                f"--settings {settings} without a project", "name its folder too: --project DIR"
            )
        ours = demo()
        return replace(ours, environment=_given(env)) if env else ours
    named = Path(folder).expanduser().resolve()
    try:
        there = named.exists()
    except OSError:  # longer than any path
        there = False
    if not there:
        raise WorkbenchError(
            f"there is no folder {str(named)[:300]}", f"name the folder that holds manage.py{_nearest(named)}"
        )
    root, notes = _root(named, settings)
    environment, read = _environment(root, env)
    notes += read
    manage = root / "manage.py"
    module = settings or environment.get("DJANGO_SETTINGS_MODULE") or _settings_of(root)
    if module is None:
        raise WorkbenchError(f"{manage} names no settings module", "name it: --settings package.settings")
    for name in ("workbench", "stalwart"):
        if (root / name / "__init__.py").exists() or (root / f"{name}.py").exists():
            raise WorkbenchError(
                f"the project has a top-level package {name}, which hides ours of that name",
                "measure a copy of the project in which it is renamed",
            )
    _spelled(module)
    paths = _paths(root, module)
    # Before any other program is asked: a typing error costs no time.
    missing = _missing(root, paths, module)
    if missing and not _looks_installed(root, module):
        raise missing
    interpreter = interpreters.find(root, python)
    if missing and not _importable(interpreter, module):
        raise missing
    return Project(
        root.name,
        root,
        module,
        environment=environment,
        interpreter=interpreter.program,
        source=interpreter.source,
        paths=paths,
        notes=(*notes, *interpreter.notes),
    )


def reopen(place: Mapping[str, Any]) -> Project:
    """The project that a run folder names. Its `.env` is read anew: what may be secret is not kept in a run's files."""
    root = Path(place["root"])
    found = Project(place["name"], root, place["settings"], bool(place["demo"]))
    if found.demo or not root.is_dir():
        return found
    interpreter = place.get("interpreter")
    return replace(
        found,
        environment=_environment(root, ())[0],
        interpreter=Path(interpreter) if interpreter else None,
        source=str(place.get("source") or found.source),
        paths=_paths(root, found.settings),
    )


def _root(named: Path, settings: str | None) -> tuple[Path, list[str]]:
    """The folder with manage.py, and what to say about it."""
    root = named.parent if named.is_file() else named
    if (root / "manage.py").is_file():
        return root, []
    if settings and _missing(root, _paths(root, settings), settings) is None:
        return root, [f"{root} holds no manage.py; {settings} was found in it"]
    below = sorted(
        path.parent
        for path in root.glob("*/manage.py")
        if path.parent.name not in _FOREIGN and not path.parent.name.startswith(".")
    )
    if len(below) == 1:
        return below[0], [f"manage.py was found one level down, in {below[0]}"]
    if not below and (root.parent / "manage.py").is_file():
        return root.parent, [f"manage.py was found one level up, in {root.parent}"]
    hint = f"; there is one in each of {', '.join(map(str, below))}" if below else ""
    raise WorkbenchError(f"{root} holds no manage.py", f"name the folder that does{hint}")


def _environment(root: Path, env: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What `.env` and --env give, and what to say about it. The real environment wins over the file, as everywhere."""
    values: dict[str, str] = {}
    notes = []
    for folder in interpreters.above(root):
        path = folder / ".env"
        if path.is_file():
            read = dotenv.read(path, os.environ)
            values = {name: value for name, value in read.items() if name not in os.environ}
            notes.append(f"{path}: {len(read)} variables")
            break
    return {**values, **_given(env)}, notes


def _given(env: Sequence[str]) -> dict[str, str]:
    """The variables that --env names."""
    values = {}
    for pair in env:
        name, sign, value = pair.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            # Its value is not repeated: it may be a secret.
            raise WorkbenchError(f"--env {name[:40]!r} is no variable", "write it as --env NAME=VALUE")
        values[name] = value
    return values


def _settings_of(root: Path) -> str | None:
    for name in ("manage.py", "pytest.ini", "pyproject.toml", "setup.cfg", "tox.ini"):
        path = root / name
        if path.is_file() and (match := _SETTINGS.search(path.read_text(encoding="utf-8", errors="replace"))):
            return match[1]
    return None


def _paths(root: Path, module: str) -> tuple[Path, ...]:
    """Folders that manage.py puts on the path by name, and a `src` in which the settings lie."""
    found = []
    manage = root / "manage.py"
    if manage.is_file():
        for added in re.findall(
            r"sys\.path\.(?:insert|append)\((.*)\)", manage.read_text("utf-8", "replace")
        ):
            found += [root / name for name in re.findall(r"['\"]([\w./-]+)['\"]", added)]
    if not _is_module(root, module):
        found += [root / name for name in ("src", "lib", "apps") if _is_module(root / name, module)]
    return tuple(dict.fromkeys(path.resolve() for path in found if path.is_dir() and path.resolve() != root))


def _is_module(folder: Path, module: str) -> bool:
    base = folder.joinpath(*module.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def _spelled(module: str) -> None:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module):
        raise WorkbenchError(
            f"{module!r} is no dotted module name", "name it as package.settings, without .py"
        )


def _missing(root: Path, paths: Sequence[Path], module: str) -> WorkbenchError | None:
    """A settings module is looked for as a file before any process starts, so that a typing error costs no time."""
    _spelled(module)
    if any(_is_module(folder, module) for folder in (root, *paths)):
        return None
    if module.partition(".")[0] in sys.stdlib_module_names or not (root / module.partition(".")[0]).exists():
        known = sorted(
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            for pattern in ("*settings*.py", "*/*settings*.py", "*/settings/*.py", "*/*/settings*.py")
            for path in root.glob(pattern)
            if path.relative_to(root).parts[0] not in _FOREIGN
        )
        near = difflib.get_close_matches(module, known, n=1, cutoff=0.3) or known[:1]
    else:
        near = []
    hint = f"; did you mean {near[0]}?" if near else ""
    return WorkbenchError(
        f"there is no settings module {module} in {root}",
        f"name one that exists: --settings package.settings{hint}",
    )


def _looks_installed(root: Path, module: str) -> bool:
    """A package that is not in the folder may be installed in the project's environment."""
    top = module.partition(".")[0]
    return "." in module and top not in sys.stdlib_module_names and not (root / top).exists()


def _importable(interpreter: interpreters.Interpreter, module: str) -> bool:
    top = module.partition(".")[0]
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    program = str(interpreter.program or sys.executable)
    try:
        done = subprocess.run([program, "-I", "-c", code, top], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _nearest(path: Path) -> str:
    if len(path.name) > 255 or not path.parent.is_dir():
        return ""
    near = difflib.get_close_matches(
        path.name, [entry.name for entry in path.parent.iterdir() if entry.is_dir()], n=1
    )
    return f"; did you mean {path.parent / near[0]}?" if near else ""
