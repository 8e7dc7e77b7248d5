"""`workbench lab`: the notebooks in JupyterLab, with a run folder that all of them join."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys

from workbench import notebooks
from workbench.commands.opening import new_run
from workbench.errors import WorkbenchError
from workbench.run import VARIABLE


def run(arguments: argparse.Namespace) -> int:
    """Open JupyterLab on the notebooks, with a new run folder that all of them join."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise WorkbenchError(
            "JupyterLab is not installed", 'python -m pip install "django-stalwart[workbench]"'
        )
    notebooks.require_kernel()
    made = new_run(arguments)
    folder = notebooks.folder()
    print(f"run folder: {made.path}\nnotebooks: {folder}", flush=True)
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.default_url=/lab/tree/00_start_here.ipynb",
    ]
    if arguments.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    process = subprocess.Popen(command, env={**os.environ, VARIABLE: str(made.path)})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # JupyterLab got it as well, and asks whether to end
