"""The workbench: loads a Django project, runs fault drills on it, and judges published claims by what was measured.

In a notebook:

    import workbench
    session = workbench.load()        # the demo, or workbench.load("path/to/project", "package.settings")
    session.run("bandwidth")          # a drill, with its progress
    session.claim("NET-1")            # what the measurements say of the published number
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.profile.loading import Loaded
    from workbench.run import Depth
    from workbench.session import Session
    from workbench.steps.step import Step

__version__ = "0.1.0"
__all__ = ["__version__", "load", "profile_queries"]


def load(
    project: str | Path | None = None,
    settings: str | None = None,
    *,
    depth: Depth | None = None,
    new: bool = False,
) -> Session:
    """Open a session on a project.

    The run folder is the one that `WORKBENCH_RUN` names, else the newest under `reports/`, so that all notebooks of a
    run write to one journal.

    Args:
        project: folder with manage.py; the demo by default.
        settings: dotted settings module; by default the one that manage.py names.
        depth: "quick", "default" or "full"; the run's own by default.
        new: start a new run folder, as notebook 00 does, unless `WORKBENCH_RUN` names one.

    Raises:
        WorkbenchError: the project or the run folder cannot be found.
    """
    # Imported here, so that `import workbench` stays cheap and works without the extra `workbench`.
    from workbench import opening

    return opening.load(project, settings, depth=depth, new=new)


def profile_queries(
    target: Callable[[], Any] | str,
    *,
    prove: bool = False,
    headers: Mapping[str, str] | None = None,
    project: str | Path | Loaded | None = None,
    settings: str | None = None,
    namespace: dict[str, Any] | None = None,
) -> Step:
    """What one step asks of the database: every statement with its place, and what looks wrong with them.

        step = workbench.profile_queries(lambda: build_report(2024))
        step.findings, step.by_site(), step.chart(), step.to_dataframe()

    A callable or code runs here, once, as Django is set up in this process, on its own databases, and does what it does:
    nothing is rolled back. Meanwhile a few methods of Django's are patched, which makes instances slower (statements' own
    times are taken without that); afterwards all is as it was. Statements of all threads and aliases are taken down, so
    nothing else should use the databases in the meantime. A page is visited several times, on a private copy only, and
    what it writes is rolled back.

    Args:
        target: a callable without arguments, which may be a coroutine function; a URL ("/orders/"); or code as text.
        prove: call it again, with the rows of one queryset cut, up to twice for each likely producer, to see whether
            statements follow the rows. For what may run several times. Pages are tested always.
        headers: of a URL's request.
        project: of a URL: a folder with manage.py, which is loaded on a private copy for this call; or a `Loaded` one. By
            default the one that `%django load` has loaded in this kernel.
        settings: dotted settings module of the project.
        namespace: of code; that of `__main__`, a notebook's own, by default.

    Raises:
        WorkbenchError: Django is not set up here, an event loop runs in this thread, something is being observed already, or
            there is no private copy on which a URL could be visited.
        Exception: what the callable or the code raises.
    """
    from workbench.steps import targets

    return targets.profile_queries(
        target, prove=prove, headers=headers, project=project, settings=settings, namespace=namespace
    )


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workbench`: the magics of `workbench.magics`."""
    from workbench import magics

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext workbench`: they are gone."""
    from workbench import magics

    magics.unload(shell)
