"""Pages of a loaded project, visited through its process: the guest's answers as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.profile.records import PageView, Pass
from workbench.project_process import ProjectProcess
from workbench.schema import from_json

#: Seconds for one view. The guest cuts a page after 60, waits for its threads and answers; only a guest that hangs gets here.
PATIENCE = 100.0


@dataclass(frozen=True)
class Baseline:
    """What of a page's answer changes by itself.

    Attributes:
        stable: two visits gave the same answer, but for what the masks cover.
        masks: positions of words of the body, to be handed to `visit`.
        digest: of the answer under them.
        reason: why it is not stable.
    """

    stable: bool
    masks: tuple[int, ...] = ()
    digest: str = ""
    reason: str | None = None


def visit(
    process: ProjectProcess,
    url: str,
    pass_: Pass,
    *,
    headers: Mapping[str, str] | None = None,
    limit: Mapping[str, Any] | None = None,
    masks: Sequence[int] = (),
    patience: float = PATIENCE,
) -> PageView:
    """Visit a page, as `workbench.guest.pages.visit` says.

    Args:
        patience: seconds after which a guest that gives no answer hangs.

    Raises:
        WorkbenchError: the process died or hangs; what the page itself raises is in the record.
    """
    answer = process.call(
        "workbench.guest.pages:visit",
        patience,
        url=url,
        pass_=pass_,
        headers=headers,
        limit=limit,
        masks=list(masks),
    )
    return from_json(PageView, answer)


def baseline(
    process: ProjectProcess,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    limit: Mapping[str, Any] | None = None,
) -> Baseline:
    """Visit a page twice and compare, as `workbench.guest.pages.baseline` says.

    Raises:
        WorkbenchError: as `visit`.
    """
    answer = process.call(
        "workbench.guest.pages:baseline", 2 * PATIENCE, url=url, headers=headers, limit=limit
    )
    return from_json(Baseline, answer)
