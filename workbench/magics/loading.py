"""A project, loaded in this very process: on the private copy of its database, inside the sandbox, as in a process of its own.

Django can be set up once in a process, and modules that were imported stay; so a kernel has one project until it is restarted,
also when the extension is unloaded and loaded again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench import arms
from workbench import project as projects
from workbench.errors import WorkbenchError
from workbench.magics import trusted
from workbench.magics.wish import Wish
from workbench.magics.worker import Worker
from workbench.profile.loading import PLAIN, Loaded
from workbench.project import Project
from workbench.project_process import environment
from workbench.steps.observing import is_set_up

#: Variables of a process of its own that mean nothing to one that runs already.
_STARTING = ("PYTHONPATH", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PATH")

#: Would have the ORM work in every cell, and hide what blocks an event loop.
UNSAFE = "DJANGO_ALLOW_ASYNC_UNSAFE"


@dataclass(frozen=True)
class Here:
    """The project of this kernel.

    Attributes:
        origin: the working directory before; a notebook that is run again names its folders from there.
        notes: what was changed in the kernel, for people.
    """

    project: Project
    loaded: Loaded
    origin: Path
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """For people: what was loaded, and how safe it is."""
        import django

        from workbench.guest import sandbox

        blocked = [
            name if times == 1 else f"{name} ({times} times)"
            for name, times in sorted(sandbox.blocked().items())
            if times
        ]
        lines = [
            f"{self.project.name}: {self.project.settings}, Django {django.get_version()}",
            f"database: {self.loaded.description}",
            f"stubbed or blocked so far: {', '.join(blocked) or 'nothing'}",
            *(f"note: {one}" for one in (*self.notes, *self.loaded.notes)),
        ]
        if not self.project.demo:
            lines.insert(2, f"working directory of its cells: {self.project.root}")
        return "\n".join(textwrap.shorten(line, 400, placeholder=" …") for line in lines)


_here: Here | None = None


def here() -> Here | None:
    """The project that was loaded in this process."""
    return _here


@contextlib.contextmanager
def in_project() -> Iterator[None]:
    """Be in the project's folder for the time of a cell of its own; everything else in the notebook stays where it is."""
    if _here is None:
        yield
    else:
        with _in(_here.project):
            yield


@contextlib.contextmanager
def _in(project: Project) -> Iterator[None]:
    before = Path.cwd()
    if project.demo:  # it reads nothing there
        yield
        return
    os.chdir(project.root)
    try:
        yield
    finally:
        if Path.cwd() == project.root:  # else the cell went elsewhere on purpose
            os.chdir(before)


def load(wish: Wish, worker: Worker) -> Here:
    """Load a project in this process; again with the same one, nothing happens.

    Args:
        wish: which, and how.
        worker: the thread in which the project is imported, as its apps may ask the database while they are.

    Raises:
        WorkbenchError: it cannot be loaded here, or another one is.
    """
    global _here
    origin = Path.cwd() if _here is None else _here.origin
    folder = None if wish.path is None else origin / Path(wish.path).expanduser()
    found = projects.find(folder, wish.module, python=sys.executable if wish.here else None, env=wish.env)
    if _here is not None and (_here.project.root, _here.project.settings) == (found.root, found.settings):
        return _here
    _require_room()
    if found.interpreter is not None:
        raise WorkbenchError(
            f"{found.name} has a Python of its own ({found.source}: {found.interpreter}), and this kernel runs {sys.executable}",
            "start a kernel of that Python (install ipykernel and the workbench there); or, when its packages are installed "
            "here too, %django load PATH --here; or look at it from outside: workbench.load(PATH)",
        )
    _require_free(found)
    loaded = Loaded(found, wish.data, allow_network=wish.allow_network).__enter__()
    try:
        notes = _enter(found, loaded)
        with _in(found):
            worker.run(lambda: _set_up(found))
    except BaseException as error:
        half = sys.modules.get("django.conf") is not None and sys.modules["django.conf"].settings.configured
        loaded.__exit__(None, None, None)
        if half and isinstance(error, Exception):
            raise WorkbenchError(
                f"{found.name} was set up in a process of its own, but not in this kernel: {type(error).__name__}: {error}",
                "restart the kernel, load the project first, and import nothing of it before",
            ) from error
        raise
    _here = Here(found, loaded, origin, notes)
    return _here


def _require_room() -> None:
    if _here is not None:
        raise WorkbenchError(
            f"this kernel has {_here.project.name} loaded, and a kernel has one project",
            "restart the kernel, or use a notebook for each project",
        )
    configured = "django.conf" in sys.modules and sys.modules["django.conf"].settings.configured
    if configured or is_set_up():
        name = os.environ.get("DJANGO_SETTINGS_MODULE") or "settings.configure()"
        raise WorkbenchError(
            f"Django is set up in this kernel already, by {name}, and can be set up once only",
            "restart the kernel and load the project first; to use Django as it is, go on with %%django",
        )


def _require_free(found: Project) -> None:
    """A module of the project's name that was imported from elsewhere would be taken for the project's."""
    name = found.settings.partition(".")[0]
    module = sys.modules.get(name)
    if found.demo or module is None:
        return
    places = [str(place) for place in getattr(module, "__path__", ())] or [
        str(getattr(module, "__file__", ""))
    ]
    folders = (found.root, *found.paths)
    if not any(Path(place).resolve().is_relative_to(folder) for place in places for folder in folders):
        raise WorkbenchError(
            f"a module {name} was imported in this kernel from {places[0]}, and hides the project's",
            "restart the kernel and load the project first",
        )


def _enter(found: Project, loaded: Loaded) -> tuple[str, ...]:
    """What a process of the project has from its start: its variables, its folders on the path, its working directory."""
    overlay = loaded.folder / f"overlay-kernel-{next(_numbers)}.json"
    arms.write_overlay(overlay, found.settings, PLAIN, loaded.databases.settings(), loaded.sandbox())
    variables = environment(found, overlay)
    unsafe = [name for name in (variables.pop(UNSAFE, None), os.environ.pop(UNSAFE, None)) if name]
    for name, value in variables.items():
        if name not in _STARTING and os.environ.get(name) != value:
            os.environ[name] = value
    asked = found.environment.get("PYTHONPATH", "").split(os.pathsep)
    folders = [] if found.demo else [str(found.root), *map(str, found.paths), *filter(None, asked)]
    sys.path[:0] = [one for one in folders if one not in sys.path]
    # Nothing is written into the project's folders, byte code neither.
    sys.dont_write_bytecode = True
    return (f"{UNSAFE} was set and is not any more: cells of %%django need it not",) if unsafe else ()


_numbers = itertools.count()


def _set_up(found: Project) -> None:
    from workbench.guest import attribution, sandbox, sites

    sandbox.trust(trusted.asks)
    # Without the overlay somebody may have imported it empty.
    sys.modules.pop("workbench.guest.settings", None)
    # As in a process of its own: querysets on classes are to know their lines.
    attribution.install()
    try:
        import django

        django.setup()
    finally:
        attribution.after_setup()
    sandbox.after_setup()
    sites.root(str(found.root))
