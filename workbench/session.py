"""A session on one run: what a notebook's cells call, thin over the package's own functions."""

from __future__ import annotations

import atexit
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench import drills, judge, report
from workbench.claims import claim
from workbench.drills.environment import PLAIN, Environment
from workbench.errors import WorkbenchError
from workbench.journal import Journal
from workbench.profile import document, journalled, text
from workbench.profile.advising import advise
from workbench.profile.loading import Data
from workbench.profile.records import PageView, Profile
from workbench.profile.run import Options, profiled
from workbench.progress import Show, Step, tell
from workbench.records import Trial, Verdict
from workbench.run import RunFolder
from workbench.steps.step import Step as QueryStep
from workbench.trial import run_drill

if TYPE_CHECKING:
    import pandas as pd

#: Seconds that advice gets at each depth.
ADVICE = {"quick": 45.0, "default": 180.0, "full": 1800.0}


@dataclass(frozen=True)
class ClaimView:
    """One claim as a notebook shows it: verdict, charts, evidence; the same renderer as the report's."""

    journal: Journal
    verdict: Verdict

    def __repr__(self) -> str:
        return f"{self.verdict.claim}: {self.verdict.outcome}. {self.verdict.reason}"

    def _repr_html_(self) -> str:
        return report.claim_html(self.journal, self.verdict.claim)


@dataclass(frozen=True)
class GuardView:
    """A drill that decides no claim as a notebook shows it: its arms side by side."""

    journal: Journal
    comparison: judge.Comparison

    def __repr__(self) -> str:
        return repr(self.comparison)

    def _repr_html_(self) -> str:
        return report.guard_html(self.journal, self.comparison.plan.drill)


@dataclass(frozen=True)
class Scorecard:
    """All claims with their verdicts."""

    journal: Journal
    verdicts: Sequence[Verdict]

    def __repr__(self) -> str:
        return "\n".join(judge.lines(self.verdicts))

    def _repr_html_(self) -> str:
        return report.scorecard_html(self.journal)


@dataclass(frozen=True)
class ProfileView:
    """A profile as a notebook shows it: the report's section, and each of its tables as a DataFrame.

    Attributes:
        record: all of it.
        views: one warm view of each page, by URL.
    """

    record: Profile
    views: Mapping[str, PageView]

    def __repr__(self) -> str:
        return "\n".join(text.lines(self.record))

    def _repr_html_(self) -> str:
        return report.project_html(self.record)

    def urls(self) -> pd.DataFrame:
        """The pages: template, view, methods, login, and what their visits showed."""
        return _frame([asdict(row) for row in self.record.urls])

    def models(self) -> pd.DataFrame:
        """The models: rows, size, indexes, memory of one instance."""
        return _frame([asdict(row) for row in self.record.project.models])

    def settings(self) -> pd.DataFrame:
        """Settings that matter for resilience, with what is missing."""
        return _frame([asdict(row) for row in self.record.project.settings_rows])

    def responses(self) -> pd.DataFrame:
        """The responses: what is sent, and how small it could be."""
        rows = [asdict(row) for row in self.record.responses]
        return _frame([{**row, **row.pop("sizes")} for row in rows])

    def findings(self) -> pd.DataFrame:
        """The findings, the worst first, each with how many changes were tried and held."""
        rows = [asdict(one) for one in self.record.findings]
        for row, one in zip(rows, self.record.findings, strict=True):
            row["advice"] = sum(change.rejected is None for change in one.advice)
            row["tried"] = len(one.advice)
        return _frame(rows)

    def page(self, url: str | None = None) -> QueryStep:
        """What one page asked, by call site and along its time; by default the one with the most statements.

        Raises:
            WorkbenchError: there is no such page.
        """
        if url is None:
            most = max(self.views.values(), key=lambda view: len(view.queries), default=None)
            url = "" if most is None else most.url
        if not self.views:
            return QueryStep(PageView(url, "warm", 0), attributed=False)
        if url not in self.views:
            raise WorkbenchError(f"{url} was not seen", f"name one of {', '.join(list(self.views)[:10])}")
        own = tuple(one for one in self.record.findings if one.url == url)
        return QueryStep(self.views[url], own, attributed=False, timed=True)


@dataclass(frozen=True)
class Done:
    """A drill that has been run."""

    drill: str
    trials: tuple[Trial, ...]

    def __repr__(self) -> str:
        if not self.trials:
            return f"{self.drill}: not run; the reason stands in the journal"
        counted = sum(trial.counts for trial in self.trials)
        left_out = len(self.trials) - counted
        note = f", {left_out} do not count" if left_out else ""
        return f"{self.drill}: {counted} trials in the journal{note}"


class Session:
    """One run, opened: its project, its drills, its verdicts.

    A context manager; in a notebook, `close()` or the end of the kernel ends the servers.

    Args:
        run: the run folder.
        show: told of each step of a drill.
    """

    def __init__(self, run: RunFolder, show: Show | None = None) -> None:
        self.run_folder = run
        self._show = show
        self._environment: Environment | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        run = self.run_folder
        return f"{run.project.name}, depth {run.depth}, seed {run.seed}; run folder {run.path.name}"

    def close(self) -> None:
        """End every server of this session; it starts them again when they are needed."""
        environment, self._environment = self._environment, None
        atexit.unregister(self.close)
        if environment is not None:
            environment.__exit__(None, None, None)

    @property
    def environment(self) -> Environment:
        if self._environment is None:
            self._environment = Environment(self.run_folder.project, self.run_folder.seed)
            atexit.register(self.close)
        return self._environment

    def run(self, drill: str, *, pairs: int | None = None, minutes: float | None = None) -> Done:
        """Run a drill and journal it.

        Args:
            drill: its id, or the id of a claim that it decides.
            pairs: blocks to run; the depth's own number by default.
            minutes: of each arm, for the bank; the depth's own by default.

        Raises:
            WorkbenchError: no such drill, or its trials cannot be run.
        """
        if pairs is not None and pairs < 1:
            raise WorkbenchError(f"{pairs} pairs cannot be run", "give 1 or more, or leave it out")
        found = drills.lasting(drills.find(drill), self.run_folder.depth, minutes)
        trials = run_drill(found, self.run_folder, self.environment, blocks=pairs, show=self._show)
        return Done(found.id, tuple(trials))

    def claim(self, name: str) -> ClaimView:
        """What the run's journal says of one claim."""
        journal = self.run_folder.journal()
        wanted = claim(name).id
        return ClaimView(journal, next(one for one in judge.judge(journal) if one.claim == wanted))

    def comparison(self, drill: str) -> GuardView | Done:
        """The arms of a drill that decides no claim, side by side; that it was not run, where it was not."""
        wanted = drills.find(drill).id
        journal = self.run_folder.journal()
        found = [one for one in judge.comparisons(journal) if one.plan.drill == wanted]
        return GuardView(journal, found[0]) if found else Done(wanted, ())

    def scorecard(self) -> Scorecard:
        """What the run's journal says of every claim."""
        journal = self.run_folder.journal()
        return Scorecard(journal, judge.judge(journal))

    def models(self) -> pd.DataFrame:
        """The project's models with their tables and numbers of rows."""
        return _frame(self._ask("workbench.guest.probe:models"))

    def urls(self) -> list[str]:
        """Paths that answer a GET without arguments."""
        paths: list[str] = self._ask("workbench.guest.probe:plain_paths")
        return paths

    def profile(
        self,
        urls: Sequence[str] | None = None,
        *,
        seed_command: str | None = None,
        fixture: str | None = None,
        copy_database: bool = False,
        rows: int | None = None,
        headers: Mapping[str, str] | None = None,
        login: str | None = None,
        advice: bool = True,
    ) -> ProfileView:
        """Profile the project, as `workbench profile` does, and journal it.

        Args:
            urls: pages; those of the URL configuration by default.
            seed_command: a management command that fills the private copy, as "manage.py seed".
            fixture: a file or a name for loaddata, likewise.
            copy_database: the project's own rows are copied.
            rows: of each model, where they are generated.
            headers: of every request; never shown nor journalled.
            login: user name, in the private copy, who is logged in.
            advice: changes are tried, for as long as the depth gives.

        Raises:
            WorkbenchError: the project cannot be loaded or its pages not be visited.
        """
        data = None
        if seed_command or fixture or copy_database or rows is not None:
            seeds, fixtures = ((one,) if one else () for one in (seed_command, fixture))
            data = Data(copy_database, seeds, fixtures, 50 if rows is None else rows)
        run = self.run_folder
        options = Options(data, tuple(urls) if urls else None, dict(headers or {}), login, advise=advice)
        steps = itertools.count()

        def told(stage: str, done: int, total: int, what: str) -> None:
            place = f"{stage} {done + 1} of {total}, {what}" if total > 1 else f"{stage}, {what}"
            tell(Step("profile", next(steps), 0, place, None), run.progress_path, self._show)

        found = profiled(run.project, options, told, partial(advise, budget=ADVICE[run.depth]))
        tell(Step("profile", next(steps), 0, "done", None), run.progress_path, self._show)
        profile = document.hidden(found.profile, options.headers.values())
        run.append(journalled.finding_of(document.shared(profile, str(run.project.root))))
        if profile.interrupted:
            raise KeyboardInterrupt
        return ProfileView(profile, found.views)

    def _ask(self, call: str) -> Any:
        with self.environment.process(PLAIN, self.environment.template()) as process:
            return process.call(call)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)
