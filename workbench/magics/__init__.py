"""The workbench inside a notebook's kernel: a project is loaded here, and cells use its ORM.

    %load_ext workbench
    %django load PATH [MODULE]      the project on a private copy of its database; the demo without a path
    %%django                        a cell in which the ORM works
    %django auto                    every cell is such a one; %django manual takes it back
    %django status
    %%queries, %%memory, %%responses    what a cell asks of the database, allocates, answers

Django refuses to use a database where an event loop runs, and one runs in every kernel's main thread. These cells therefore
run in one thread of their own, and the refusal stays on: what would block a server's loop is still found.
"""

from __future__ import annotations

from typing import Any


def load(shell: Any) -> None:
    """Register the magics and displays with a shell; again does nothing."""
    from workbench.magics import extension

    extension.load(shell)


def unload(shell: Any) -> None:
    """Take off what `load` has put on. A loaded project stays loaded: Django cannot be set up twice in one process."""
    from workbench.magics import extension

    extension.unload(shell)
