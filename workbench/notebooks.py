"""Runs the notebooks headless: a fresh kernel each, cell by cell, with progress; interrupted cleanly, healed always."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from workbench.errors import INSTALL, WorkbenchError
from workbench.run import VARIABLE, RunFolder
from workbench.servers.watchdog import Watchdog

#: Seconds that a cell may take; a drill at full depth takes hours and sets its own pace.
CELL_LIMIT = {"quick": 600, "default": 1800, "full": None}
#: Seconds that contexts get to heal after an interrupt, and the kernel's watchdog after that.
GRACE, HEALING = 5.0, 20.0
#: Older releases of jupyter_client do not know the option.
ENCRYPTION = {"transport_encryption": "auto"} if hasattr(AsyncKernelManager, "transport_encryption") else {}
SOURCE = Path(__file__).resolve().parent


def folder() -> Path:
    """Where the notebooks are: beside the package in a checkout, inside it when it was installed from a wheel.

    Raises:
        WorkbenchError: in neither place.
    """
    for place in (SOURCE.parent / "notebooks", SOURCE / "_notebooks"):
        if (place / "00_start_here.ipynb").is_file():
            return place
    raise WorkbenchError(
        "the notebooks are not installed", "install the package again, or run from a complete checkout"
    )


class OwnKernel(KernelSpecManager):
    """Always this interpreter's kernel: a kernel spec in the user's home may point to any other Python."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--HistoryManager.enabled=False",
        ]
        # Cells and outputs travel over loopback TCP, where other users of the machine could listen: encrypted.
        metadata = {"supported_encryption": "curve"}
        return KernelSpec(argv=argv, display_name="Stalwart", language="python", metadata=metadata)


def require_kernel() -> None:
    """Check that a kernel can start at all.

    Raises:
        WorkbenchError: ipykernel is not installed for this interpreter.
    """
    import importlib.util

    if (
        importlib.util.find_spec("ipykernel") is None
        or importlib.util.find_spec("ipykernel_launcher") is None
    ):
        raise WorkbenchError(
            f"there is no Jupyter kernel for {sys.executable}: ipykernel is not installed",
            INSTALL,
        )


class Interrupted(Exception):
    """The user asked to stop; everything is healed when this is raised."""


class Runner:
    """Executes one notebook after the other.

    Args:
        run: its folder gets the executed notebooks; kernels find it through `WORKBENCH_RUN`.
        watch: called while a cell runs, about five times a second.
    """

    def __init__(self, run: RunFolder, watch: Callable[[str], None]) -> None:
        self.run = run
        self._watch = watch
        self._asked: int | None = None
        self._again = False

    def execute(self, source: Path) -> None:
        """Execute one notebook and write it, outputs and all, into the run folder.

        Raises:
            WorkbenchError: a cell failed, or the kernel died.
            Interrupted: SIGINT or SIGTERM came; the kernel and its servers are gone.
        """
        asyncio.run(self._execute(source))

    async def _execute(self, source: Path) -> None:
        notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
        # Jupyter's own folders lie in a private one, so that a killed run leaves nothing in the user's home.
        private = Watchdog.current().make_folder("kernel")
        manager = AsyncKernelManager(
            kernel_spec_manager=OwnKernel(), connection_file=str(private / "kernel.json"), **ENCRYPTION
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=CELL_LIMIT[self.run.depth],
            resources={"metadata": {"path": str(self.run.path)}},
            record_timing=False,
        )
        restore = self._listen(asyncio.get_running_loop())
        try:
            await client.async_start_new_kernel(env=self._environment(private))
            await client.async_start_new_kernel_client()
            await self._cells(client, manager, notebook, source)
        finally:
            await self._end(client, manager)
            restore()
            nbformat.write(notebook, self.run.path / source.name)  # type: ignore[no-untyped-call]
            shutil.rmtree(private, ignore_errors=True)
        if self._asked is not None:
            raise Interrupted

    async def _cells(
        self, client: NotebookClient, manager: AsyncKernelManager, notebook: Any, source: Path
    ) -> None:
        for index, cell in enumerate(notebook.cells):
            task = asyncio.ensure_future(client.async_execute_cell(cell, index))
            while not task.done():
                await asyncio.wait([task], timeout=0.2)
                self._watch(source.stem)
                if self._asked is not None and not task.done():
                    await self._interrupt(manager, task)
            try:
                task.result()
            except CellExecutionError as error:
                if self._asked is None:
                    raise explained(source, index, error) from error
            except (DeadKernelError, RuntimeError) as error:
                if self._asked is None:
                    raise WorkbenchError(
                        f"the kernel died in {source.name}, cell {index + 1}; its servers were ended and its faults healed",
                        "look for an out-of-memory kill (dmesg), then run it again; what was measured is in the journal",
                    ) from error
            if self._asked is not None:
                return

    async def _interrupt(self, manager: AsyncKernelManager, task: asyncio.Future[Any]) -> None:
        """Let the cell's contexts heal; after `GRACE`, or when asked again, the kernel is killed and its watchdog heals."""
        with contextlib.suppress(Exception):
            await manager.interrupt_kernel()
        deadline = time.monotonic() + GRACE
        while not task.done() and time.monotonic() < deadline and not self._again:
            await asyncio.wait([task], timeout=0.1)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)

    async def _end(self, client: NotebookClient, manager: AsyncKernelManager) -> None:
        kernel = getattr(manager.provisioner, "pid", None) if manager.provisioner else None
        watchdogs = watchdogs_of(kernel) if kernel else []
        if client.kc is not None:
            client.kc.stop_channels()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(manager.shutdown_kernel(now=self._again), GRACE + 5)
        if kernel:
            with contextlib.suppress(psutil.Error):
                psutil.Process(kernel).kill()
        # The kernel is gone; its watchdog ends what it has left and then itself.
        deadline = time.monotonic() + HEALING
        while any(alive(process) for process in watchdogs) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    def _environment(self, private: Path) -> dict[str, str]:
        return {
            **os.environ,
            VARIABLE: str(self.run.path),
            "JUPYTER_RUNTIME_DIR": str(private),
            "IPYTHONDIR": str(private / "ipython"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }

    def _listen(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Take SIGINT and SIGTERM for the time of a notebook; returns what gives them back."""

        def asked(number: int, frame: object) -> None:
            self._again = self._asked is not None
            self._asked = number
            loop.call_soon_threadsafe(lambda: None)

        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
        before = {name: signal.signal(getattr(signal, name), asked) for name in names}

        def restore() -> None:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)

        return restore


def watchdogs_of(kernel: int) -> list[psutil.Process]:
    """The watchdog processes that a kernel has started."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(kernel).children():
            with contextlib.suppress(psutil.Error):
                if any("watchdog_process" in word for word in child.cmdline()):
                    found.append(child)
    return found


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def explained(source: Path, index: int, error: CellExecutionError) -> WorkbenchError:
    """A cell's error as one sentence: the workbench's own as it is, any other with its place."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue))
    if error.ename == "WorkbenchError":
        problem, _, step = text.partition("\n  next: ")
        return WorkbenchError(problem, step or "run it again")
    return WorkbenchError(
        f"{source.name}, cell {index + 1}: {error.ename}: {text.splitlines()[0] if text else ''}",
        f"open the executed {source.name} in the run folder; the traceback: the same command with --debug",
    )
