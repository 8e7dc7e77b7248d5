"""The magics themselves, thin over what does the work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class

from workbench.errors import WorkbenchError
from workbench.magics import cells, connections, loading
from workbench.magics.automatic import Automatic
from workbench.magics.worker import Worker

_VERBS = "load PATH [MODULE], auto, manual, status"


@magics_class
class Commands(Magics):
    """`%django` and the cell magics.

    Args:
        shell: IPython's.
        worker: runs what uses the ORM.
        automatic: whether every cell does.
    """

    def __init__(self, shell: Any, worker: Worker, automatic: Automatic) -> None:
        super().__init__(shell)
        self._worker = worker
        self._automatic = automatic

    @line_cell_magic
    def django(self, line: str, cell: str | None = None) -> None:
        """`%django load|auto|manual|status`, or `%%django`: the cell runs in the thread in which the ORM works.

        Raises:
            WorkbenchError: no such verb, no project is loaded, or it cannot be.
        """
        with _plainly():
            if cell is None:
                self._command(line.strip())
                return
            if line.strip():
                raise WorkbenchError(
                    f"%%django takes nothing on its line, not {line.strip()!r}",
                    f"%django alone has: {_VERBS}",
                )
            self._require()
            self._run(cell, lambda prepared: prepared.show(prepared.run()))

    def _command(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        if verb == "load":
            print(loading.load(loading.parsed(rest), self._worker).text())
        elif line in ("auto", "manual"):
            self._automatic.turn(line == "auto")
        elif line == "status":
            print(self._status())
        else:
            raise WorkbenchError(f"%django {line} is nothing that can be done", f"it has: {_VERBS}")

    def _status(self) -> str:
        mode = (
            "every cell runs in the thread for the ORM"
            if self._automatic.on
            else "cells of %%django run in the thread for the ORM"
        )
        left = self._worker.left_behind
        lines = [mode + (f"; {left} threads were left behind" if left else "")]
        project = loading.here()
        if project is not None:
            lines.insert(0, project.text())
        elif connections.is_set_up():
            lines.insert(
                0,
                "Django was set up by this notebook, on its own databases: nothing is copied, stubbed or blocked",
            )
        else:
            lines.insert(0, "no project is loaded: %django load PATH")
        return "\n".join(lines)

    def _require(self) -> None:
        if not connections.is_set_up():
            raise WorkbenchError(
                "no project is loaded in this kernel", "%django load PATH, or %django load alone for the demo"
            )

    def _run(self, body: str, use: Callable[[cells.Cell], Any]) -> Any:
        """Have a cell's body used in the worker; its errors look as if the magic were not there."""
        with self._automatic:
            prepared = cells.prepare(self.shell, body)
        try:
            # By this thread: one that is left behind must not change it later.
            with loading.in_project():
                return self._worker.run(lambda: use(prepared))
        except BaseException as error:  # noqa: BLE001 it goes on
            raise cells.cut(self.shell, error, prepared.file)  # noqa: B904 it is the same one


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except WorkbenchError as error:
        raise cells.plain(error)  # noqa: B904 it is the same one
