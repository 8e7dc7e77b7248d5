"""Who in this kernel may pass the sandbox: the workbench's servers and Jupyter's own parts, never a cell and never the project.

The sandbox guards the whole process, for code of the project runs in whatever thread calls it. But a drill reaches its
PostgreSQL, IPython its history, the debugger its adapter.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import FrameType

_WORKBENCH = Path(__file__).resolve().parents[1]
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
#: Ours that run on behalf of the project or of a cell: whom they act for stands further out.
_FOR_OTHERS = tuple(str(_WORKBENCH / name) for name in ("guest", "magics", "steps", "__init__.py"))
_PROJECTS = str(_WORKBENCH / "demo")
#: Jupyter's; a cell that asks stands further in than they do.
_KERNEL = frozenset({"IPython", "ipykernel", "jupyter_client", "debugpy"})

_verdicts: dict[str, bool | None] = {}


def asks() -> bool:
    """Whether the nearest code on this stack that is no mere library is trusted."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file not in _verdicts:
            _verdicts[file] = _judge(file)
        verdict = _verdicts[file]
        if verdict is not None:
            return verdict
        frame = frame.f_back
    return False


def _judge(file: str) -> bool | None:
    """Trusted, or not, or (None) a library that acts for whoever called it."""
    if file.startswith("<frozen"):
        return None
    if file.endswith(str(Path("asyncio", "events.py"))):
        return False  # further out stands the kernel's own loop, whoever made the task
    if file.startswith(str(_WORKBENCH)):
        if file.startswith(_FOR_OTHERS):
            return None
        return not file.startswith(_PROJECTS)
    for folder in ("site-packages", "dist-packages"):
        if folder in (parts := Path(file).parts):
            return True if parts[parts.index(folder) + 1] in _KERNEL else None
    return None if file.startswith(_LIBRARIES) else False
