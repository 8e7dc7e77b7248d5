"""Every cell in the worker, after `%django auto`: the magic's line is put above it before IPython sees it."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from workbench.magics.worker import Worker

#: Cells that stay where they are: commands for the extension and for this kernel itself, and the debugger, which reads keys.
_STAY = re.compile(r"%(?:django|load_ext|reload_ext|unload_ext|debug|pdb|reset)\b")
#: Magics around a whole cell of Python; they go into the worker with it.
_AROUND = re.compile(r"%%(?:time|timeit|capture|prun)\b")


class Automatic:
    """The mode of one shell; one of IPython's transformers of input.

    Args:
        shell: IPython's.
        worker: a cell that is run by one in it is there already.
    """

    #: Not for looking whether a cell is complete, which the terminal does at each key.
    has_side_effects = True

    def __init__(self, shell: Any, worker: Worker) -> None:
        self._listed: list[Any] = shell.input_transformers_cleanup
        self._worker = worker
        self._paused = False

    @property
    def on(self) -> bool:
        return self in self._listed

    def turn(self, on: bool) -> None:
        """Begin or end it; from the next cell on."""
        if on and not self.on:
            self._listed.append(self)
        elif not on and self.on:
            self._listed.remove(self)

    def __enter__(self) -> None:
        """A body is transformed that has its magic already."""
        self._paused = True

    def __exit__(self, *_: object) -> None:
        self._paused = False

    def __call__(self, lines: list[str]) -> list[str]:
        """The lines of a cell, with the magic above where it belongs."""
        first = next((line.strip() for line in lines if line.strip()), "")
        if self._paused or self._worker.is_current or not first or _STAY.match(first):
            return lines
        if (first.startswith("%%") and not _AROUND.match(first)) or _needs_loop(lines):
            return lines
        return ["%%django\n", *lines]


def _needs_loop(lines: list[str]) -> bool:
    """Whether a cell awaits: it runs in the kernel's own loop, where Django refuses only what would block it."""
    text = "".join(lines)
    if not re.search(r"\b(?:await|async)\b", text):
        return False
    try:
        tree = TransformerManager().transform_cell(text)  # type: ignore[no-untyped-call]
        code = compile(tree, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):  # to be told by whoever runs it
        return False
    return bool(code.co_flags & inspect.CO_COROUTINE)
