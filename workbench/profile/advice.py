"""Advice that was tried: changes found, laid on, combined, and then the diff itself run beside the project as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from workbench.errors import WorkbenchError
from workbench.profile import edits, pages, proving, scaling
from workbench.profile.candidates import Candidate, candidates
from workbench.profile.edits import Edit
from workbench.profile.loading import Loaded
from workbench.profile.probing import Probe
from workbench.profile.records import Advice, Finding, PageView
from workbench.profile.sources import NoEditError, Sources
from workbench.profile.suspects import Suspect
from workbench.profile.trials import NONE, Trials

#: Ways to cure one finding that are proved; the others are told with what the trial said of them.
WAYS = 2


@dataclass(frozen=True)
class Page:
    """A page with its findings.

    Attributes:
        attributed: the view that they were found on.
        suspects: as `scaling.judged` returns them.
        headers: of the request.
    """

    attributed: PageView
    suspects: tuple[Suspect, ...]
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Advised:
    """What came out.

    Attributes:
        findings: of all pages, in the order in which they were given, each with its advice, the best first.
        together: of a page with several accepted changes, all that are needed of them as one, by URL.
        notes: what could not be tried, for people.
    """

    findings: tuple[Finding, ...]
    together: Mapping[str, Advice] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class _Way:
    """A set of changes that may cure a finding, on its way to a proof."""

    suspect: Suspect
    changes: tuple[Candidate, ...]
    edit: Edit | None = None
    diff: str = ""
    reason: str | None = None
    same: bool | None = None
    applied: bool = False
    proof: proving.Proof | None = None

    @property
    def is_told(self) -> bool:
        """What was neither run nor refused was not needed, for another change for the finding held."""
        return self.proof is not None or self.reason is not None

    def advice(self) -> Advice:
        words = "; ".join(one.words for one in self.changes)
        notes = dict.fromkeys(one.note for one in self.changes if one.note)
        made = Advice(
            self.diff or words,
            self.applied,
            same_response=self.same,
            rejected=self.reason,
            note="; ".join(notes),
        )
        if self.proof is None:
            return made
        share, low, high = self.proof.reduction or (None, None, None)
        return replace(
            made,
            before=self.proof.before,
            after=self.proof.after,
            same_response=self.proof.same if self.proof.same is not None else self.same,
            rejected=self.proof.rejected,
            reduction=share,
            reduction_low=low,
            reduction_high=high,
        )


def advised(
    loaded: Loaded,
    found: Sequence[Page],
    *,
    pairs: int = 5,
    budget_seconds: float = 120.0,
    tell: Callable[[str], None] | None = None,
) -> Advised:
    """Try what might cure the findings of some pages, and prove what seems to.

    Args:
        loaded: the project, entered.
        found: its pages.
        pairs: fresh processes of each side for each change, at least 2.
        budget_seconds: for all of it; what was not reached says so, the costliest pages come first.
        tell: told of each step.

    Raises:
        ValueError: fewer pairs than an interval needs.
    """
    if pairs < 2:
        raise ValueError(f"an interval needs at least 2 pairs, got {pairs}")
    deadline = time.monotonic() + budget_seconds
    told: dict[int, Finding] = {}
    together: dict[str, Advice] = {}
    notes: list[str] = []
    sources = Sources(loaded.project.root)
    order = sorted(range(len(found)), key=lambda number: -_cost(found[number]))
    for number in order:
        page = found[number]
        one = _OnePage(loaded, sources, page, pairs, deadline, tell or (lambda text: None))
        try:
            advice, whole = one.run()
        except WorkbenchError as error:
            notes.append(f"no advice for {page.attributed.url}: {error.problem}")
            continue
        for suspect, given in zip(page.suspects, advice, strict=True):
            told[id(suspect)] = replace(suspect.finding, advice=(*suspect.finding.advice, *given))
        if whole is not None:
            together[page.attributed.url] = whole
    findings = [told.get(id(one), one.finding) for page in found for one in page.suspects]
    return Advised(tuple(findings), together, tuple(notes))


def _cost(page: Page) -> float:
    return sum(one.finding.milliseconds for one in page.suspects)


class _OnePage:
    """The search and the proofs of one page."""

    def __init__(
        self,
        loaded: Loaded,
        sources: Sources,
        page: Page,
        pairs: int,
        deadline: float,
        tell: Callable[[str], None],
    ) -> None:
        self._loaded, self._sources, self._page = loaded, sources, page
        self._pairs, self._deadline, self._tell = pairs, deadline, tell
        self._url = page.attributed.url

    def run(self) -> tuple[list[tuple[Advice, ...]], Advice | None]:
        """The advice for each suspect of the page, and that for all of them together."""
        suspects = self._page.suspects
        if time.monotonic() > self._deadline:
            return [self._late(one) for one in suspects], None
        with self._loaded.process(attribution=True) as process:
            probe = Probe(process, self._sources)
            options = [candidates(one, self._page.attributed, probe) for one in suspects]
            if not any(options):
                return [() for _ in suspects], None
            for _ in range(2):  # as warm as the others were
                pages.visit(process, self._url, "warm", headers=self._page.headers)
            baseline = pages.baseline(process, self._url, headers=self._page.headers)
            if not baseline.stable:
                reason = f"its answer changes by itself ({baseline.reason}), so that nothing can be compared"
                return [
                    self._untried(one, some, reason) for one, some in zip(suspects, options, strict=True)
                ], None
            measured = proving.Page(self._url, self._page.headers, baseline)
            trials = Trials(probe, self._page.attributed, baseline, self._page.headers)
            ways = [self._ways(trials, one, some) for one, some in zip(suspects, options, strict=True)]
            self._prove(measured, ways)
            whole = self._together(measured, trials, ways)
        return [_sorted(way.advice() for way in some if way.is_told) for some in ways], whole

    def _late(self, suspect: Suspect) -> tuple[Advice, ...]:
        if suspect.finding.kind not in scaling.KINDS or suspect.finding.verdict != "scales":
            return ()
        return (Advice("", False, rejected="the time for advice had passed before this page was reached"),)

    def _untried(self, suspect: Suspect, options: Sequence[Candidate], reason: str) -> tuple[Advice, ...]:
        return tuple(self._way(suspect, (one,), one.refused or reason).advice() for one in options[:1])

    def _ways(self, trials: Trials, suspect: Suspect, options: Sequence[Candidate]) -> list[_Way]:
        """The sets that may cure a finding, with what is already known to be wrong with them."""
        self._tell(f"{self._url}: {suspect.finding.kind} at {suspect.finding.location}")
        ways = [self._way(suspect, (one,), one.refused) for one in options if one.refused]
        left = [one for one in options if not one.refused]
        ways += [self._way(suspect, (one,)) for one in left if one.laid is None]
        tried = [one for one in left if one.laid is not None]
        taken: set[Candidate] = set()
        for _ in range(WAYS):
            chosen = trials.chosen([one for one in tried if one not in taken], suspect)
            if not chosen:
                break
            taken |= set(chosen) | {one for one in tried if one.laid and one.laid.verb == _verb(chosen[0])}
            ways.append(self._laid(trials, suspect, chosen))
            if ways[-1].edit is None:  # another verb at the same place is no edit either
                taken |= set(tried)
        wanted = {one for way in ways for one in way.changes}
        ways += [
            self._laid(trials, suspect, (one,)) for one in tried if one not in wanted and one not in taken
        ]
        return ways

    def _laid(self, trials: Trials, suspect: Suspect, changes: tuple[Candidate, ...]) -> _Way:
        """A set that was laid on, judged by that."""
        trial = trials.trial(changes, suspect)
        reason, before = trial.refused, len(trials.before.queries)
        if reason is None and suspect.finding.kind in scaling.KINDS:
            if trial.queries >= before:
                more = trial.queries - before
                reason = f"no statement is saved: {self._asked(trials, suspect)} is not what is loaded along"
                reason += f", which costs {more} more" if more else ""
            else:
                slope = trials.slope(changes, suspect)
                if slope is not None and slope > NONE:
                    reason = (
                        f"its statements still follow the rows, {slope:.2g} for each: "
                        f"{self._asked(trials, suspect)} is not what is loaded along"
                    )
        way = self._way(suspect, changes, reason)
        way.applied, way.same = trial.refused is None or trial.same is not None, trial.same
        return way

    def _asked(self, trials: Trials, suspect: Suspect) -> str:
        """What the loop asks for, as its author wrote it."""
        numbers = {self._page.attributed.queries[p].batch for p in suspect.positions}
        for batch in self._page.attributed.batches:
            if batch.id in numbers and batch.created:
                try:
                    source, node = trials.probe.expressions(batch)[0]
                except NoEditError:
                    break
                text = " ".join(source.of(node).split())
                return text if len(text) < 120 else f"what the loop asks for at {source.file}:{node.lineno}"
        return "what the loop asks for"

    def _way(self, suspect: Suspect, changes: tuple[Candidate, ...], reason: str | None = None) -> _Way:
        """With its diff, or the reason why there is none."""
        way = _Way(suspect, changes, reason=reason)
        unedited = next((one.unedited for one in changes if one.edit is None), None)
        if unedited is not None:
            holds = "it holds when it is laid on, but " if all(one.laid for one in changes) else ""
            way.reason = reason or f"{holds}no edit is made: {unedited}"
            return way
        way.edit = sum((one.edit for one in changes if one.edit is not None), Edit())
        try:
            way.diff = edits.diff(way.edit, self._sources)
        except NoEditError as error:
            way.reason = reason or f"no edit is made: {error}"
            way.edit = None
        return way

    def _prove(self, measured: proving.Page, ways: Sequence[Sequence[_Way]]) -> None:
        """Run the diffs: of each finding the first way, and the next one where that was rejected."""
        for turn in range(WAYS):
            todo: list[_Way] = []
            for some in ways:
                if any(way.proof is not None and way.proof.rejected is None for way in some):
                    continue
                todo += [way for way in some if way.proof is None and way.reason is None][:1]
            if not todo:
                return
            self._run(measured, todo, f"turn {turn + 1}")

    def _run(self, measured: proving.Page, todo: Sequence[_Way], words: str) -> None:
        """One process to look whether it is a cure, and blocks of fresh ones to see what it is worth."""
        by_diff: dict[str, list[_Way]] = {}
        for way in todo:
            assert way.edit is not None
            if time.monotonic() > self._deadline:
                way.reason = "the time for advice had passed before it was measured"
                continue
            overlay = edits.overlay(way.edit, self._sources)
            self._tell(f"{self._url}: {words}, {way.changes[0].words}")
            way.applied = True
            check = proving.checked(self._loaded, measured, overlay, way.suspect, self._page.attributed)
            way.reason, way.same = check.reason, check.same
            if way.reason is None:
                by_diff.setdefault(way.diff, []).append(way)
        overlays = [edits.overlay(some[0].edit or Edit(), self._sources) for some in by_diff.values()]
        if not overlays:
            return
        found = proving.proofs(
            self._loaded, measured, overlays, pairs=self._pairs, deadline=self._deadline, tell=self._tell
        )
        for some, proof in zip(by_diff.values(), found, strict=True):
            for way in some:
                way.proof = proof
                if proof is None:
                    way.reason = "the time for advice had passed before it was measured"

    def _together(
        self, measured: proving.Page, trials: Trials, ways: Sequence[Sequence[_Way]]
    ) -> Advice | None:
        """All accepted changes of the page as one, without those that the others make needless."""
        accepted = [
            next(way for way in some if way.proof and way.proof.rejected is None)
            for some in ways
            if any(way.proof and way.proof.rejected is None for way in some)
        ]
        if len({way.diff for way in accepted}) < 2:
            return None
        changes = trials.minimal(tuple(dict.fromkeys(one for way in accepted for one in way.changes)))
        whole = self._way(accepted[0].suspect, changes)
        if whole.reason is not None or whole.edit is None:
            return whole.advice()
        known = next((way for way in accepted if way.diff == whole.diff), None)
        if known is not None:
            return known.advice()
        whole.applied = True
        (whole.proof,) = proving.proofs(
            self._loaded,
            measured,
            [edits.overlay(whole.edit, self._sources)],
            pairs=self._pairs,
            deadline=self._deadline,
            tell=self._tell,
        )
        if whole.proof is None:
            whole.reason = "the time for advice had passed before it was measured"
        return whole.advice()


def _verb(one: Candidate) -> str:
    return one.laid.verb if one.laid is not None else ""


def _sorted(advice: Iterable[Advice]) -> tuple[Advice, ...]:
    """What is recommended first, by the milliseconds that it saves; then the rest."""

    def key(one: Advice) -> tuple[bool, float]:
        saved = one.before.milliseconds - one.after.milliseconds if one.before and one.after else 0.0
        return one.rejected is not None, -saved

    return tuple(sorted(advice, key=key))
