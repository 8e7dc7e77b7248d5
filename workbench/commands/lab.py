"""`workbench lab`: the notebooks in JupyterLab, with a run folder that all of them join."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys

from workbench import notebooks
from workbench.commands.opening import new_run, terminable
from workbench.errors import INSTALL, WorkbenchError
from workbench.run import VARIABLE
from workbench.servers.watchdog import Watchdog


def run(arguments: argparse.Namespace) -> int:
    """Open JupyterLab on copies of the notebooks in a new run folder, so that the originals keep no output."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise WorkbenchError("JupyterLab is not installed", INSTALL)
    notebooks.require_kernel()
    source = notebooks.folder()
    made = new_run(arguments)
    for notebook in source.glob("[0-9]*.ipynb"):
        shutil.copy(notebook, made.path)
    print(f"run folder, with the notebooks: {made.path}", flush=True)
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={made.path}",
        "--LabApp.default_url=/lab/tree/00_start_here.ipynb",
    ]
    if arguments.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with terminable():
        process = subprocess.Popen(command, env={**os.environ, VARIABLE: str(made.path)})
        # A killed driver must not leave a server that runs code for whoever knows its address.
        Watchdog.current().guard(process.pid)
        try:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:
                    if sys.stdin is None or not sys.stdin.isatty():
                        raise  # not typed by a person: end
                    # Typed: JupyterLab got it as well, and asks whether to end.
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            Watchdog.current().release(process.pid)
