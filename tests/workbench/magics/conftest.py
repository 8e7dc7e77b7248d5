"""A real kernel, driven by nbclient as the notebooks are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from workbench.notebooks import OwnKernel

RAILWAY = Path(__file__).parents[2] / "projects" / "railway"
SHOP = RAILWAY.parent / "shop"

#: Seconds for a kernel to start or a cell to end, on a machine that does other work too; and for a kernel to go.
LIMIT, GOING = 120.0, 20.0
T = TypeVar("T")


class Ran:
    """A cell that has run, or runs still."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def _texts(self, kind: str, *keys: str) -> str:
        found = []
        for output in self.cell.outputs:
            if output.output_type == kind:
                value: Any = output
                for key in keys:
                    value = value.get(key, "")
                found.append("".join(value))
        return "\n".join(found)

    @property
    def printed(self) -> str:
        return "".join(one.text for one in self.cell.outputs if one.output_type == "stream")

    @property
    def value(self) -> str:
        """What the cell's last expression is shown as."""
        return self._texts("execute_result", "data", "text/plain")

    @property
    def html(self) -> str:
        return self._texts("execute_result", "data", "text/html")

    @property
    def shown(self) -> str:
        """What was displayed otherwise."""
        return self._texts("display_data", "data", "text/plain")

    @property
    def error(self) -> str:
        return next((one.ename for one in self.cell.outputs if one.output_type == "error"), "")

    @property
    def message(self) -> str:
        return next((one.evalue for one in self.cell.outputs if one.output_type == "error"), "")

    @property
    def traceback(self) -> str:
        lines = next((one.traceback for one in self.cell.outputs if one.output_type == "error"), [])
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


class Kernel:
    """A kernel of this interpreter; a context manager.

    Args:
        folder: its working directory and everything of Jupyter's.
        variables: of its environment.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._notebook = nbformat.v4.new_notebook()
        self._manager = AsyncKernelManager(
            kernel_spec_manager=OwnKernel(),
            connection_file=str(folder / "kernel.json"),
            transport_encryption="auto",
        )
        self._client = NotebookClient(
            self._notebook,
            km=self._manager,
            timeout=int(LIMIT),
            startup_timeout=int(LIMIT),
            allow_errors=True,
            resources={"metadata": {"path": str(folder)}},
        )
        inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        self._environment = {
            **inherited,
            "JUPYTER_RUNTIME_DIR": str(folder),
            "IPYTHONDIR": str(folder / "ipython"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **variables,
        }
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        self._wait(
            self._stack.enter_async_context(
                self._client.async_setup_kernel(env=self._environment, cleanup_kc=True)
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._wait(self._stack.aclose(), GOING)
        finally:
            self._kill()
            self._loop.close()

    def _kill(self) -> None:
        """End a kernel that would not go; one that hangs is a failed test, not a suite that hangs."""
        process = getattr(self._manager.provisioner, "process", None)
        if process is not None and process.poll() is None:
            process.kill()

    def _wait(self, coroutine: Coroutine[Any, Any, T], seconds: float = LIMIT) -> T:
        # A little longer than nbclient's own limit, whose error names the cell.
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, seconds + 10))

    def run(self, source: str) -> Ran:
        """Run a cell to its end, as the notebook's next one."""
        return self._wait(self._execute(self._cell(source)))

    def interrupted(self, source: str, when: Callable[[Ran], object]) -> tuple[Ran, float]:
        """Run a cell and interrupt the kernel when a condition holds.

        Returns:
            the cell when it is over, and how many seconds that took from the interruption on.
        """
        return self._wait(self._interrupted(self._cell(source), when))

    def _cell(self, source: str) -> Any:
        cell = nbformat.v4.new_code_cell(source)
        self._notebook.cells.append(cell)
        return cell

    async def _execute(self, cell: Any) -> Ran:
        await self._client.async_execute_cell(cell, len(self._notebook.cells) - 1)
        return Ran(cell)

    async def _interrupted(self, cell: Any, when: Callable[[Ran], object]) -> tuple[Ran, float]:
        running = asyncio.create_task(self._execute(cell))
        deadline = time.monotonic() + 60
        while not when(Ran(cell)):
            assert not running.done(), Ran(cell).traceback or Ran(cell).printed
            assert time.monotonic() < deadline, "the cell never came so far"
            await asyncio.sleep(0.02)
        began = time.monotonic()
        await self._client.km.interrupt_kernel()
        return await running, time.monotonic() - began


SET_UP = """
import sys
sys.path.insert(0, {root!r})
import django
from django.conf import settings
settings.configure(
    DATABASES={{"default": {database!r}, "scratch": {{**{database!r}, "NAME": ":memory:"}}}},
    INSTALLED_APPS=["django.contrib.contenttypes", "trips"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIGRATION_MODULES={{"trips": None, "contenttypes": None}},
)
django.setup()
%load_ext workbench
"""

FILL = """%%django
from django.core.management import call_command
from trips.models import Carrier, Route, Trip
call_command("migrate", run_syncdb=True, verbosity=0)
carrier = Carrier.objects.create(name="Coast")
for number in range(30):
    route = Route.objects.create(carrier=carrier, name=f"Line <{number}>")
    Trip.objects.create(route=route, number=number, notes="long " * 40)
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel in which the notebook itself has set Django up, on a SQLite file with 30 trips, and loaded the extension."""
    folder = tmp_path_factory.mktemp("kernel")
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "trips.sqlite3")}
    with Kernel(folder) as made:
        for source in (SET_UP.format(root=str(RAILWAY), database=database), FILL):
            ran = made.run(source)
            assert not ran.error, ran.traceback
        yield made


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Path]]:
    """A kernel with the shop loaded from a folder beside the notebook's, and that folder; loading it takes seconds."""
    folder = tmp_path_factory.mktemp("notebook")
    project = folder / "shop"
    shutil.copytree(SHOP, project, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    with Kernel(folder, DJANGO_ALLOW_ASYNC_UNSAFE="1") as kernel:
        kernel.run("%load_ext workbench")
        refused = kernel.run("%%django\n1")
        assert "%django load PATH" in refused.message
        loaded = kernel.run("%django load shop --rows 0")
        assert not loaded.error, loaded.traceback
        assert "private PostgreSQL" in loaded.printed
        yield kernel, project
