"""The workbench: loads a Django project, runs fault drills on it, and judges published claims by what was measured.

In a notebook:

    import workbench
    session = workbench.load()        # the demo, or workbench.load("path/to/project", "package.settings")
    session.run("bandwidth")          # a drill, with its progress
    session.claim("NET-1")            # what the measurements say of the published number
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.run import Depth
    from workbench.session import Session

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(
    project: str | Path | None = None,
    settings: str | None = None,
    *,
    depth: Depth | None = None,
    new: bool = False,
) -> Session:
    """Open a session on a project.

    The run folder is the one that `WORKBENCH_RUN` names, else the newest under `reports/`, so that all notebooks of a
    run write to one journal.

    Args:
        project: folder with manage.py; the demo by default.
        settings: dotted settings module; by default the one that manage.py names.
        depth: "quick", "default" or "full"; the run's own by default.
        new: start a new run folder, as notebook 00 does, unless `WORKBENCH_RUN` names one.

    Raises:
        WorkbenchError: the project or the run folder cannot be found.
    """
    # Imported here, so that `import workbench` stays cheap and works without the extra `workbench`.
    from workbench import opening

    return opening.load(project, settings, depth=depth, new=new)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workbench`: the magics of `workbench.magics`."""
    from workbench import magics

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext workbench`: they are gone."""
    from workbench import magics

    magics.unload(shell)
