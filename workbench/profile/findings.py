"""What the views of one page show, as findings with a label each; pure functions over records.

A cold view may do what no later one does (fill a cache, write thumbnails): only what the warm view does as well is a finding,
and its times are those of the warm view. The attributed view tells relations, places and producers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from workbench.profile import fingerprints, holding, loads, places, planned, repeats
from workbench.profile.records import Finding, PageView, Plan
from workbench.profile.suspects import Suspect


def suspects(
    cold: PageView | None, warm: PageView, attributed: PageView, plans: Iterable[Plan] = ()
) -> tuple[Suspect, ...]:
    """Everything that one page shows, with its evidence, for scaling and advice; the costliest first.

    Args:
        cold: the first view; None when there was none.
        warm: one whose times count.
        attributed: one that tells producers, after the others.
        plans: of the page's statements, where they were asked for.
    """
    if warm.error or attributed.error:
        return ()  # how far a page got that failed says nothing of it when it works
    timed = (_timed(one, warm, attributed) for one in repeats.repeated(attributed))
    found = [
        *(one for one in timed if one is not None),
        *loads.wasted(attributed),
        *holding.held(cold, warm),
        *holding.connections(warm),
        *planned.planned(warm, plans),
    ]
    return tuple(sorted(found, key=lambda one: (-one.finding.milliseconds, -one.finding.queries)))


def findings(
    cold: PageView | None, warm: PageView, attributed: PageView, plans: Iterable[Plan] = ()
) -> tuple[Finding, ...]:
    """As `suspects`, the findings alone, none of them tested."""
    return tuple(one.finding for one in suspects(cold, warm, attributed, plans))


def _timed(suspect: Suspect, warm: PageView, attributed: PageView) -> Suspect | None:
    """With the time that its statements took on the warm view; None when they are not repeated there."""
    texts = {
        (fingerprints.of(query), places.of_query(query))
        for query in (attributed.queries[p] for p in suspect.positions)
    }
    same = [query for query in warm.queries if (fingerprints.of(query), places.of_query(query)) in texts]
    if len(same) < min(len(suspect.positions), 2):
        return None
    share = min(1.0, len(suspect.positions) / len(same))
    milliseconds = share * sum(query.milliseconds for query in same)
    return replace(suspect, finding=replace(suspect.finding, milliseconds=milliseconds))
