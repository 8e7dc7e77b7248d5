"""How a session finds its run: the one that is named, the newest, or a new one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from workbench import jupyter
from workbench import project as projects
from workbench.errors import WorkbenchError
from workbench.run import DEPTHS, VARIABLE, Depth, RunFolder
from workbench.session import Session


def load(project: str | Path | None, settings: str | None, *, depth: Depth | None, new: bool) -> Session:
    """See `workbench.load`."""
    if depth is not None and depth not in DEPTHS:
        raise WorkbenchError(f"there is no depth {depth!r}", f"take one of {', '.join(DEPTHS)}")
    wanted = None if project is None and settings is None else projects.find(project, settings)
    named = bool(os.environ.get(VARIABLE))
    if new and not named:
        run = RunFolder.new(measured=wanted, depth=depth or "default", command="notebook")
    else:
        run = RunFolder.join()
        if wanted is not None and (wanted.root, wanted.settings) != (run.project.root, run.project.settings):
            # A journal holds one project: another one gets the newest run of its own, or a new one.
            run = RunFolder.newest_of(wanted) or RunFolder.new(
                measured=wanted, depth=depth or "default", command="notebook"
            )
    # Inside one run the depth is the run's; asking for another one is allowed, and the plan says so.
    return Session(replace(run, depth=depth) if depth else run, jupyter.progress_display())
