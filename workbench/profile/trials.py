"""The cheap search: candidates laid on in the probe process, one page view each, to find those worth a proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.profile import combining, places, scaling, suspects
from workbench.profile.candidates import Candidate
from workbench.profile.pages import Baseline
from workbench.profile.probing import Laid, Probe, Tried
from workbench.profile.records import Batch, PageView
from workbench.profile.suspects import Suspect
from workbench.schema import to_json

#: Statements per row that count as none: a prefetch in chunks has one for each chunk.
NONE = 0.01


@dataclass(frozen=True)
class Trial:
    """What a set of changes did.

    Attributes:
        queries: of the whole page.
        own: of the finding's statements those that are left.
        refused: why the set is out of the question; None when it is not.
        same: whether the response was as before; None where it was not seen.
    """

    queries: int
    own: int
    refused: str | None
    same: bool | None


class Trials:
    """Views of one page with changes laid on, each set visited once.

    Args:
        probe: in which process.
        view: the attributed one without any.
        baseline: what of its answer counts.
        headers: of the request.
    """

    def __init__(
        self, probe: Probe, view: PageView, baseline: Baseline, headers: Mapping[str, str] | None
    ) -> None:
        self.view, self.baseline = view, baseline
        self.probe, self._headers = probe, headers
        self._known: dict[frozenset[Laid], Tried] = {}
        #: The page as it is, in the process and the pass in which changes are tried.
        self.before = self._visit(()).view

    def trial(self, changes: Sequence[Candidate], suspect: Suspect | None = None) -> Trial:
        """What a set of changes does to the page and to one finding of it; the slope of that is not asked for yet."""
        tried = self._visit([one.laid for one in changes if one.laid is not None])
        after = tried.view
        own = suspects.count(after, suspect.keys) if suspect is not None else 0
        same = after.status == self.view.status and after.digest == self.baseline.digest
        reason = tried.refused
        if reason is None and after.error:
            reason, same = f"the page then fails: {after.error}", False
        elif reason is None and not tried.applied:
            reason = "no queryset of this place was evaluated again, so that nothing was tried"
        elif reason is None and not same:
            reason = "the response changes"
        return Trial(len(after.queries), own, reason, same)

    def chosen(self, options: Sequence[Candidate], suspect: Suspect) -> tuple[Candidate, ...]:
        """The changes that together leave the fewest statements, or none."""
        return combining.greedy(
            [one for one in options if one.laid is not None],
            lambda changes: self._cost(changes, suspect),
            len(self.before.queries),
        )

    def minimal(self, changes: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """Without those that the others make needless; what cannot be laid on stays."""
        laid = tuple(one for one in changes if one.laid is not None)
        kept = combining.minimal(laid, lambda some: self._cost(some, None))
        return tuple(one for one in changes if one.laid is None or one in kept)

    def slope(self, changes: Sequence[Candidate], suspect: Suspect) -> float | None:
        """Statements of the finding per row that are left, by the steepest producer; None where that shows nothing."""
        laid = [one.laid for one in changes if one.laid is not None]
        after = self._visit(laid).view
        found = []
        for producer in suspect.producers:
            if not any(True for _ in places.alike(after, places.key_of(producer))):
                continue
            cut = self._cut(laid, producer)
            slope = scaling.slope(suspect.keys, producer, after, cut)
            if slope is not None:
                found.append(slope)
        return max(found) if found else None

    def _cut(self, laid: Sequence[Laid], producer: Batch) -> PageView:
        record = to_json(producer)
        site = {name: record[name] for name in ("model", "created", "evaluated", "template")}
        limit = {"batch": site, "rows": max(producer.rows // 2, 1)}
        return self.probe.visit(self.view.url, laid, headers=self._headers, limit=limit).view

    def _cost(self, changes: tuple[Candidate, ...], suspect: Suspect | None) -> float | None:
        trial = self.trial(changes, suspect)
        return None if trial.refused is not None else float(trial.queries)

    def _visit(self, laid: Sequence[Laid]) -> Tried:
        key = frozenset(laid)
        if key not in self._known:
            self._known[key] = self.probe.visit(
                self.view.url, laid, headers=self._headers, masks=self.baseline.masks
            )
        return self._known[key]
