"""A step of this very process, observed while it runs; afterwards nothing of ours is left on Django."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from workbench.errors import WorkbenchError
from workbench.profile import findings
from workbench.profile.records import PageView
from workbench.schema import from_json
from workbench.steps.step import Step


class Observing:
    """Gets its step when what it observes has ended, well or not."""

    step: Step


def is_set_up() -> bool:
    """Whether this process's Django has its apps loaded."""
    registry = sys.modules.get("django.apps.registry")
    return registry is not None and bool(registry.apps.ready)


@contextmanager
def observed(
    label: str,
    *,
    attributed: bool = True,
    limit: Mapping[str, Any] | None = None,
    named: Callable[[Any], Any] = lambda record: record,
) -> Iterator[Observing]:
    """Observe what runs in this process meanwhile; Django is set up in it.

    Args:
        label: for people.
        attributed: relations and repetitions are told; without, the time of the whole step counts, and there are no findings.
        limit: see `workbench.guest.calls.observing`.
        named: puts other names in the place of files.

    Raises:
        WorkbenchError: something is being observed already.
    """
    from workbench.guest.calls import observing

    made = Observing()
    watching = None
    try:
        with observing(label, attributed=attributed, limit=limit) as watching:
            yield made
    except RuntimeError as error:
        if watching is None:
            raise WorkbenchError(str(error), "let the other one end first") from error
        raise
    finally:
        if watching is not None:
            made.step = step_of(named(watching.as_json()))


def step_of(record: Mapping[str, Any]) -> Step:
    """The step of what `workbench.guest.calls` has taken down."""
    view: PageView = from_json(PageView, dict(record))
    if view.pass_ == "warm":  # noqa: S105 no password
        return Step(view, attributed=False, timed=True)
    # What ran before an error stays of interest, unlike a page that failed.
    whole = replace(view, error=None)
    return Step(view, findings.findings(None, whole, whole))
