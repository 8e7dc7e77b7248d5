"""The promise: the edited text itself, in processes of its own, beside the project as it is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.judge import estimates
from workbench.profile import fingerprints, pages, scaling
from workbench.profile.loading import Loaded
from workbench.profile.pages import Baseline
from workbench.profile.records import Batch, Measured, PageView, Query
from workbench.profile.suspects import Suspect
from workbench.profile.trials import NONE
from workbench.project_process import ProjectProcess
from workbench.schema import to_json

#: Timed views of one page in each process; their median counts.
VIEWS = 3
#: Blocks in which the peak of memory is looked at too: it hardly differs, and its view takes several times as long.
PEAKS = 2
#: Less memory than this share, or than so many mebibytes, is no gain.
LIGHTER, SMALL = 0.10, 0.1
#: Growth of memory that must be bought by time: mebibytes, and times as much.
HEAVY, HEAVIER = 5.0, 1.5

CHANGED = "the response changes"
UNSTABLE = "its answer differs between two processes without any change, so that nothing can be said"

Overlay = Mapping[str, bytes]


@dataclass(frozen=True)
class Page:
    """One page, as it is measured.

    Attributes:
        url, headers: of the request.
        baseline: of its answer without a change.
    """

    url: str
    headers: Mapping[str, str] | None
    baseline: Baseline


@dataclass(frozen=True)
class Proof:
    """Both sides of one change.

    Attributes:
        before, after: figures.
        reduction: share of the milliseconds that it saves, with its bounds; None where it cannot be told.
        same: the answers were the same.
        rejected: why it is not recommended; None when it is.
    """

    before: Measured | None
    after: Measured | None
    reduction: tuple[float, float, float] | None
    same: bool | None
    rejected: str | None


@dataclass(frozen=True)
class Check:
    """What one process of the edited text shows.

    Attributes:
        reason: why it is no cure; None when it seems to be one.
        same: whether the answer was as before; None where there was none.
    """

    reason: str | None
    same: bool | None = None


def checked(loaded: Loaded, page: Page, overlay: Overlay, suspect: Suspect, view: PageView) -> Check:
    """Whether the edited text is a cure of a finding, by one process.

    Args:
        loaded: the project.
        page: of the finding.
        overlay: the edited files.
        suspect: the finding, with its evidence.
        view: the attributed view that it was found on.
    """
    try:
        with loaded.process(attribution=True, edits=overlay) as process:
            check = _checked(process, page, suspect, view)
    except WorkbenchError as error:
        return Check(f"the project does not run with it: {error.problem}")
    if check.reason == CHANGED:
        with loaded.process() as process:
            plain = _warm(process, page)
        if plain.digest != page.baseline.digest:
            return Check(UNSTABLE)
    return check


def _checked(process: ProjectProcess, page: Page, suspect: Suspect, view: PageView) -> Check:
    warm = _warm(process, page)
    unused = process.call("workbench.guest.edited:unused")
    if unused:
        return Check("the edited file was never imported, so that nothing was tried")
    if warm.error:
        return Check(f"the page then fails: {warm.error}", False)
    if warm.status != view.status or warm.digest != page.baseline.digest:
        return Check(CHANGED, False)
    follows = suspect.finding.kind in scaling.KINDS and _follows(process, page, suspect, view)
    return Check(follows or None, True)


def _warm(process: ProjectProcess, page: Page) -> PageView:
    """A second view: what a first one fills is filled."""
    pages.visit(process, page.url, "cold", headers=page.headers)
    return pages.visit(process, page.url, "warm", headers=page.headers, masks=page.baseline.masks)


def _follows(process: ProjectProcess, page: Page, suspect: Suspect, view: PageView) -> str | None:
    """Why the finding is still one: its statements are there, or follow the rows."""
    whole = pages.visit(process, page.url, "attributed", headers=page.headers)
    left, asked = _count(whole, suspect, view), len(suspect.positions)
    if left >= asked:
        return f"its {asked} statements stay: what the loop asks for is not what is loaded along"
    for producer in suspect.producers[:1]:
        again = _same(whole, producer)
        if again is None or again.rows < 2:
            continue
        record = to_json(again)
        site = {name: record[name] for name in ("model", "created", "evaluated", "template")}
        limit = {"batch": site, "rows": max(again.rows // 2, 1)}
        cut = pages.visit(process, page.url, "truncated", headers=page.headers, limit=limit)
        rows = again.rows - sum(batch.rows for batch in cut.batches if _is_like(batch, again))
        if cut.error or rows <= 0:
            continue
        slope = (left - _count(cut, suspect, view)) / rows
        if slope > NONE:
            return f"its statements still follow the rows: {slope:.2g} for each"
    return None


def _same(view: PageView, producer: Batch) -> Batch | None:
    """The producer, found again in the edited program: lines and offsets have moved, its function and rows have not."""
    alike = [batch for batch in view.batches if _is_like(batch, producer)]
    return max(alike, key=lambda batch: batch.rows) if alike else None


def _is_like(batch: Batch, producer: Batch) -> bool:
    return (batch.model, _where(batch.evaluated), _where(batch.template)) == (
        producer.model,
        _where(producer.evaluated),
        _where(producer.template),
    )


def _where(site: Any) -> tuple[str, str] | None:
    return None if site is None else (site.file, site.function)


def _count(view: PageView, suspect: Suspect, original: PageView) -> int:
    """A finding's statements, told by what they ask and in which function, for lines may have moved."""
    wanted = {_told(original.queries[p]) for p in suspect.positions}
    return sum(_told(query) in wanted for query in view.queries if query.origin != "prefetch")


def _told(query: Query) -> tuple[str, Any]:
    asked = query.relation if query.relation is not None else fingerprints.of(query)
    return asked, _where(query.site or query.template)


def proofs(
    loaded: Loaded,
    page: Page,
    overlays: Sequence[Overlay],
    *,
    pairs: int,
    deadline: float,
    tell: Callable[[str], None],
) -> list[Proof | None]:
    """Measure changes of one page, each beside the page as it is, in blocks of fresh processes in random order.

    Args:
        loaded: the project.
        page: which.
        overlays: the edited files of each change.
        pairs: blocks.
        deadline: of `time.monotonic`; a block that has begun is finished.
        tell: told of each block.

    Returns:
        One for each change; None where the time did not suffice for two blocks.
    """
    sides: list[list[dict[str, Any]]] = [[] for _ in (None, *overlays)]
    for block in range(pairs):
        if block >= 2 and time.monotonic() > deadline:
            break
        if block < 2 and time.monotonic() > deadline:
            return [None for _ in overlays]
        tell(f"{page.url}: block {block + 1} of {pairs}, {len(overlays)} changes")
        order = list(range(len(sides)))
        random.Random(f"{page.url}/{block}").shuffle(order)
        for number in order:
            overlay = overlays[number - 1] if number else None
            sides[number].append(_side(loaded, page, overlay, memory=block < PEAKS))
    return [proof(sides[0], after, page.baseline) for after in sides[1:]]


def _side(loaded: Loaded, page: Page, overlay: Overlay | None, *, memory: bool) -> dict[str, Any]:
    try:
        with loaded.process(edits=overlay) as process:
            answer: dict[str, Any] = process.call(
                "workbench.guest.edited:measured",
                (VIEWS + 3) * pages.PATIENCE,
                url=page.url,
                headers=page.headers,
                masks=list(page.baseline.masks),
                views=VIEWS,
                memory=memory,
            )
            return answer
    except WorkbenchError as error:
        return {"error": error.problem, "digests": [], "unused": []}


def proof(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], baseline: Baseline
) -> Proof:
    """What the sides of one change show.

    Args:
        before, after: answers of `workbench.guest.edited.measured`, block by block.
        baseline: of the page's answer.
    """
    for sides, words in ((before, "the page fails in a process of its own"), (after, "the page then fails")):
        if error := next((one["error"] for one in sides if one["error"]), None):
            return Proof(None, None, None, None, f"{words}: {error}")
    if any(one["unused"] for one in after):
        return Proof(None, None, None, None, "the edited file was never imported, so that nothing was tried")
    if {digest for one in before for digest in one["digests"]} != {baseline.digest}:
        return Proof(_measured(before), _measured(after), None, None, UNSTABLE)
    same = {digest for one in after for digest in one["digests"]} == {baseline.digest}
    plain, changed = _measured(before), _measured(after)
    reduction = estimates.paired_reduction(_times(before), _times(after)).floats()
    rejected = _pointless(plain, changed, reduction) if same else CHANGED
    return Proof(plain, changed, reduction, same, rejected)


def _times(sides: Sequence[Mapping[str, Any]]) -> list[float]:
    return [one["milliseconds"] for one in sides]


def _measured(sides: Sequence[Mapping[str, Any]]) -> Measured:
    times = _times(sides)
    interval = estimates.mean(times).floats() or (sum(times) / len(times), min(times), max(times))
    peaks = sorted(one["mebibytes"] for one in sides if one["mebibytes"] is not None)
    queries = sorted(one["queries"] for one in sides)
    return Measured(
        queries[len(queries) // 2],
        interval[0],
        max(interval[1], 0.0),
        interval[2],
        peaks[len(peaks) // 2] if peaks else None,
    )


def _pointless(before: Measured, after: Measured, reduction: tuple[float, float, float] | None) -> str | None:
    """Why a change that keeps the response is none all the same."""
    if reduction is not None and reduction[2] < 0:
        share, low, high = reduction
        return f"it is slower by {-share:.0%} ({-high:.0%} to {-low:.0%})"
    quicker = reduction is not None and reduction[1] > 0
    plain, changed = before.mebibytes or 0.0, after.mebibytes or 0.0
    if changed - plain > max(HEAVY, (HEAVIER - 1) * plain) and not quicker:
        return f"it takes {changed - plain:,.1f} MiB more and is not surely quicker"
    saved = before.queries - after.queries
    lighter = after.mebibytes is not None and plain - changed > max(SMALL, LIGHTER * plain)
    if saved > 0 or lighter or (saved == 0 and quicker):
        return None
    if saved < 0:
        return f"it costs {-saved} statement{'s' if saved < -1 else ''} more"
    return "nothing is gained: as many statements, and neither less time nor less memory that could be told from chance"
