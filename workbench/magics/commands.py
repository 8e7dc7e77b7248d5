"""The magics themselves, thin over what does the work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_cell_magic, magics_class
from IPython.display import display

from workbench.errors import WorkbenchError
from workbench.magics import cells, loading, wish
from workbench.magics.automatic import Automatic
from workbench.magics.worker import Worker
from workbench.profile import allocations, answers
from workbench.steps import observing

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
        self._namespace: dict[str, Any] = shell.user_ns
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

    @cell_magic
    def queries(self, line: str, cell: str) -> None:
        """`%%queries [--time] [NAME]`: what the cell asks of the database, by place; kept as NAME.

        With `--time` nothing but the clock is added to the cell: its whole time is told, relations and candidates are not.

        Raises:
            WorkbenchError: no project is loaded, or another cell is being observed.
        """
        with _plainly():
            self._require()
            timed, name = _options(line, "--time")

            def use(prepared: cells.Cell) -> None:
                label = f"In[{prepared.number}]"
                made: observing.Observing | None = None
                try:
                    with observing.observed(label, attributed=not timed, named=self._named) as made:
                        value = prepared.run()
                except BaseException:
                    if made is not None:
                        self._show(made.step, name)
                    raise
                prepared.show(value)
                self._show(made.step, name)

            self._run(cell, use)

    @cell_magic
    def memory(self, line: str, cell: str) -> None:
        """`%%memory [NAME]`: the highest point of what the cell allocates, and what is left of it; kept as NAME."""
        with _plainly():
            _, name = _options(line)

            def use(prepared: cells.Cell) -> None:
                with allocations.measured() as made:
                    value = prepared.run()
                prepared.show(value)
                self._show(made.allocated, name)

            self._run(cell, use)

    @cell_magic
    def responses(self, line: str, cell: str) -> None:
        """`%%responses [NAME]`: the cell ends with a URL, URLs or responses; their sizes and times; kept as NAME.

        Pages are visited twice, and what they write is rolled back.

        Raises:
            WorkbenchError: it ends with something else.
        """
        with _plainly():
            _, name = _options(line)

            def use(prepared: cells.Cell) -> None:
                value = prepared.run()
                self._show(answers.measured(None if value is cells.NOTHING else value, _visiting()), name)

            self._run(cell, use)

    def _named(self, record: Any) -> Any:
        return cells.named(self.shell, record)

    def _show(self, record: Any, name: str | None) -> None:
        if name is not None:
            self._namespace[name] = record
        display(record)  # type: ignore[no-untyped-call]

    def _command(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        if verb == "load":
            print(loading.load(wish.parsed(rest), self._worker).text())
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
        elif observing.is_set_up():
            lines.insert(
                0,
                "Django was set up by this notebook, on its own databases: nothing is copied, stubbed or blocked",
            )
        else:
            lines.insert(0, "no project is loaded: %django load PATH")
        return "\n".join(lines)

    def _require(self) -> None:
        if not observing.is_set_up():
            raise WorkbenchError(
                "no project is loaded in this kernel", "%django load PATH, or %django load alone for the demo"
            )

    def _run(self, body: str, use: Callable[[cells.Cell], Any]) -> Any:
        """Have a cell's body used in the worker; its errors look as if the magic were not there."""
        with self._automatic:
            prepared = cells.prepare(self.shell, body)
        run = self._worker.run if observing.is_set_up() else _here
        try:
            # By this thread: one that is left behind must not change it later.
            with loading.in_project():
                return run(lambda: use(prepared))
        except BaseException as error:  # noqa: BLE001 it goes on
            raise cells.cut(self.shell, error, prepared.file)  # noqa: B904 it is the same one


def _here(call: Callable[[], Any]) -> Any:
    return call()


def _options(line: str, *flags: str) -> tuple[bool, str | None]:
    """Whether a flag is on the magic's line, and the name beside it."""
    words = line.split()
    names = [word for word in words if word not in flags]
    if len(names) > 1 or not all(name.isidentifier() for name in names):
        raise WorkbenchError(
            f"{line.strip()!r} cannot be read",
            f"the magic takes {', '.join((*flags, 'a name for its record'))}, or nothing",
        )
    return len(names) < len(words), names[0] if names else None


def _visiting() -> answers.Observe | None:
    """How pages are visited; only on a private copy, for a page that is rolled back has still written."""
    if loading.here() is None:
        return None
    from workbench.guest import pages

    return lambda url, headers: pages.observed(url, "warm", headers)


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except WorkbenchError as error:
        raise cells.plain(error)  # noqa: B904 it is the same one
