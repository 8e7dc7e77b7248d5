"""Does the number of statements follow the number of rows? The page is visited again with a producer's rows cut.

Nothing is written and no other data is needed, and what follows is caused by that producer: the answer holds for pages and
slices as well. A page that fails when it sees fewer rows than it counted has not been tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from workbench.profile import places, suspects
from workbench.profile.records import FOLLOWING, Batch, Finding, PageView, Verdict
from workbench.profile.suspects import Suspect
from workbench.schema import to_json

#: Statements per row from which on they follow the rows; a prefetch in chunks has one for each chunk.
STEEP = 0.5
#: What can follow rows at all.
KINDS = FOLLOWING

#: Visits the page in the pass "truncated" with this limit.
Visit = Callable[[dict[str, Any]], PageView]


def judged(found: Sequence[Suspect], attributed: PageView, visit: Visit) -> tuple[Suspect, ...]:
    """Suspects with their verdicts: "scales", "flat", or "untested" where no producer could be cut.

    Args:
        found: of one page.
        attributed: the view that they were found on.
        visit: as `Visit` says; each cut is asked for once.
    """
    cuts = _Cuts(attributed, visit)
    return tuple(_judge(one, cuts) if one.finding.kind in KINDS else one for one in found)


def slope(keys: frozenset[suspects.Key], producer: Batch, whole: PageView, cut: PageView) -> float | None:
    """Statements per row of the producer; None where the cut shows nothing: it failed, or no row less was made."""
    if cut.error or cut.status != whole.status:
        return None
    key = places.key_of(producer)
    rows = [sum(batch.rows for batch in places.alike(view, key)) for view in (whole, cut)]
    if rows[0] <= rows[1]:
        return None
    return (suspects.count(whole, keys) - suspects.count(cut, keys)) / (rows[0] - rows[1])


class _Cuts:
    """Views with one producer cut, each visited once for all suspects of the page."""

    def __init__(self, attributed: PageView, visit: Visit) -> None:
        self.attributed = attributed
        self._visit = visit
        self._known: dict[tuple[places.BatchKey, int], PageView] = {}

    def slope(self, keys: frozenset[suspects.Key], producer: Batch) -> float | None:
        """Half of the rows, so that the page stays what it is; one row where it would not bear that."""
        for rows in dict.fromkeys((producer.rows // 2, 1)):
            found = slope(keys, producer, self.attributed, self._cut(producer, rows))
            if found is not None:
                return found
        return None

    def _cut(self, producer: Batch, rows: int) -> PageView:
        key = (places.key_of(producer), rows)
        if key not in self._known:
            record = to_json(producer)
            site = {name: record[name] for name in ("model", "created", "evaluated", "template")}
            self._known[key] = self._visit({"batch": site, "rows": rows})
        return self._known[key]


def _judge(one: Suspect, cuts: _Cuts) -> Suspect:
    slopes = []
    for producer in one.producers:
        found = cuts.slope(one.keys, producer)
        if found is not None and found >= STEEP:
            return _with(one, "scales", found, producer)
        # Of an evaluation that only ran before the loop, a flat answer says that it was the wrong one.
        if found is not None and one.certain:
            slopes.append(found)
    return _with(one, "flat", max(slopes)) if slopes else one


def _with(one: Suspect, verdict: Verdict, slope: float, producer: Batch | None = None) -> Suspect:
    finding: Finding = replace(one.finding, verdict=verdict, slope=round(slope, 3))
    if producer is None:
        return replace(one, finding=finding)
    others = [batch for batch in one.producers if batch is not producer]
    return replace(one, finding=finding, producers=(producer, *others), certain=True)
