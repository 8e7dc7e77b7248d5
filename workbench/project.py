"""A Django project: found on disk, named by its folder and settings module, never edited."""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import WorkbenchError

DEMO_SETTINGS = "workbench.demo.settings"


@dataclass(frozen=True)
class Project:
    """Where a project is and how it starts.

    Attributes:
        name: for people.
        root: the folder that goes on the module path, the one with manage.py.
        settings: dotted name of its settings module.
        demo: it is the workbench's own demo, whose models the drills may use.
        environment: variables for its processes, beside the inherited ones.
    """

    name: str
    root: Path
    settings: str
    demo: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def demo() -> Project:
    """The demo project that comes with the workbench."""
    return Project("demo (stocks)", Path(__file__).parent / "demo", DEMO_SETTINGS, demo=True)


def find(folder: Path | str | None = None, settings: str | None = None) -> Project:
    """The project in a folder; the demo when none is named.

    Args:
        folder: the one with manage.py.
        settings: dotted settings module; when None, the one that manage.py names.

    Raises:
        WorkbenchError: no such folder, no manage.py, no settings module, or one that cannot be found in the folder.
    """
    if folder is None:
        if settings and settings != DEMO_SETTINGS:
            raise WorkbenchError(
                f"--settings {settings} without a project", "name its folder too: --project DIR"
            )
        return demo()
    root = Path(folder).expanduser().resolve()
    try:
        there = root.is_dir()
    except OSError:  # longer than any path
        there = False
    if not there:
        raise WorkbenchError(
            f"there is no folder {str(root)[:300]}", f"name the folder that holds manage.py{_nearest(root)}"
        )
    manage = root / "manage.py"
    if not manage.is_file():
        below = sorted(path.parent for path in root.glob("*/manage.py"))
        hint = f"; there is one in {below[0]}" if below else ""
        raise WorkbenchError(f"{root} holds no manage.py", f"name the folder that does{hint}")
    module = settings or _settings_of(manage)
    if module is None:
        raise WorkbenchError(f"{manage} names no settings module", "name it: --settings package.settings")
    _require(root, module)
    for name in ("workbench", "stalwart"):
        if (root / name / "__init__.py").exists() or (root / f"{name}.py").exists():
            raise WorkbenchError(
                f"the project has a top-level package {name}, which hides ours of that name",
                "measure a copy of the project in which it is renamed",
            )
    return Project(root.name, root, module)


def _settings_of(manage: Path) -> str | None:
    match = re.search(
        r"DJANGO_SETTINGS_MODULE['\"]\s*(?:,|\]\s*=)\s*['\"]([\w.]+)['\"]",
        manage.read_text(encoding="utf-8", errors="replace"),
    )
    return match[1] if match else None


def _require(root: Path, module: str) -> None:
    """A settings module is looked for as a file before any process starts, so that a typing error costs no time."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module):
        raise WorkbenchError(
            f"{module!r} is no dotted module name", "name it as package.settings, without .py"
        )
    base = root.joinpath(*module.split("."))
    if base.with_suffix(".py").is_file() or (base / "__init__.py").is_file():
        return
    if module.partition(".")[0] in sys.stdlib_module_names or not (root / module.partition(".")[0]).exists():
        known = sorted(
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            for pattern in ("*settings*.py", "*/*settings*.py", "*/settings/*.py", "*/*/settings*.py")
            for path in root.glob(pattern)
        )
        near = difflib.get_close_matches(module, known, n=1, cutoff=0.3) or known[:1]
    else:
        near = []
    hint = f"; did you mean {near[0]}?" if near else ""
    raise WorkbenchError(
        f"there is no settings module {module} in {root}",
        f"name one that exists: --settings package.settings{hint}",
    )


def _nearest(path: Path) -> str:
    if len(path.name) > 255 or not path.parent.is_dir():
        return ""
    near = difflib.get_close_matches(
        path.name, [entry.name for entry in path.parent.iterdir() if entry.is_dir()], n=1
    )
    return f"; did you mean {path.parent / near[0]}?" if near else ""
