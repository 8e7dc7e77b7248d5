"""A cell's body, made ready as IPython itself does it: its magics, its transformers, its number in tracebacks."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any

from IPython.core.displayhook import DisplayHook

from workbench.errors import WorkbenchError

#: What a cell has as its value when it ends in no expression.
NOTHING = object()


@dataclass(frozen=True)
class Cell:
    """A body, compiled.

    Attributes:
        file: the name under which its frames stand in tracebacks.
        number: as in In[3].
    """

    shell: Any
    file: str
    number: int
    steps: tuple[CodeType, ...]
    last: CodeType | None
    shown: bool

    def run(self) -> Any:
        """Run it in the notebook's namespace.

        Returns:
            the value of its last expression; NOTHING when it ends in a statement.
        """
        for step in self.steps:
            exec(step, self.shell.user_global_ns, self.shell.user_ns)  # noqa: S102 the user's own cell
        if self.last is None:
            return NOTHING
        return eval(self.last, self.shell.user_global_ns, self.shell.user_ns)  # noqa: S307 likewise

    def show(self, value: Any) -> None:
        """Display what `run` returned, as the end of a cell does."""
        if value is not NOTHING and self.shown:
            # Not the shell's own hook: %%capture puts one of its own in this place.
            sys.displayhook(value)


def prepare(shell: Any, body: str) -> Cell:
    """Compile the body of a cell magic.

    Raises:
        SyntaxError: with the line of the notebook's cell.
        WorkbenchError: it awaits at top level.
    """
    history = shell.history_manager.input_hist_raw
    raw, number = history[-1], len(history) - 1
    # Lines above the body, the magic's own among them, count in what the user sees.
    end = raw.rstrip().removesuffix(body.rstrip())
    above = 1 if end == raw.rstrip() else end.count("\n")
    # Empty lines at the top of the body are lost when it is transformed.
    lines = body.splitlines()
    above += next((place for place, line in enumerate(lines) if line.strip()), 0)
    text = "\n" * above + shell.transform_cell(body)
    compiler = shell.compile
    file = compiler.cache(text, number, raw_code=raw)
    tree = shell.transform_ast(compiler.ast_parse(text, file))
    with compiler.extra_flags(ast.PyCF_ALLOW_TOP_LEVEL_AWAIT):
        whole = compiler(tree, file, "exec")
    if whole.co_flags & inspect.CO_COROUTINE:
        raise WorkbenchError(
            "this cell awaits at top level, and it runs in a thread without an event loop",
            "await in a cell without the magic (await qs.acount() works there), or call async_to_sync(function)(...) here",
        )
    every = shell.ast_node_interactivity
    nodes = list(tree.body)
    last = None
    if nodes and isinstance(nodes[-1], ast.Expr) and every != "none":
        last = compiler(ast.Expression(nodes.pop().value), file, "eval")
    steps = [
        compiler(ast.Interactive([node]), file, "single")
        if every == "all" and isinstance(node, ast.Expr)
        else compiler(ast.Module([node], []), file, "exec")
        for node in nodes
    ]
    silenced = DisplayHook.semicolon_at_end_of_expression(body)  # type: ignore[no-untyped-call]
    return Cell(shell, file, number, tuple(steps), last, not silenced)


def cut(shell: Any, error: BaseException, file: str) -> BaseException:
    """An error with the traceback that the cell would have had without the magic: from its own frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != file:
        trace = trace.tb_next
    if trace is None:
        return error
    kept: TracebackType = trace
    if not isinstance(error, SyntaxError):  # IPython shows those by their place
        _show_once(
            error, lambda: shell.InteractiveTB.structured_traceback(type(error), error, kept, tb_offset=0)
        )
    return error.with_traceback(kept)


def plain(error: WorkbenchError) -> WorkbenchError:
    """Our own error without the frames of ours that it came through."""
    if not hasattr(error, "_render_traceback_"):  # the cell's own has one already
        _show_once(error, lambda: [f"{type(error).__name__}: {error}"])
    return error


def _show_once(error: BaseException, lines: Callable[[], Any]) -> None:
    """Have IPython show an error by these lines; when it is raised it gets the frames of the magic on top again."""

    def render() -> Any:
        del error._render_traceback_  # type: ignore[attr-defined]  # an error must stay picklable
        return lines()

    error._render_traceback_ = render  # type: ignore[attr-defined]


def named(shell: Any, record: Any) -> Any:
    """A record of JSON types in which the files of cells have the names that the user knows, as In[3]."""
    if isinstance(record, list):
        return [named(shell, one) for one in record]
    if not isinstance(record, dict):
        return record
    made = {key: named(shell, value) for key, value in record.items()}
    if "file" in made:
        labels = {
            os.path.realpath(name): f"In[{number}]" for name, number in shell.compile._filename_map.items()
        }
        made["file"] = labels.get(made["file"], made["file"])
    return made
