"""A session on one run: what a notebook's cells call, thin over the package's own functions."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench import drills, judge, report
from workbench.claims import claim
from workbench.drills.environment import PLAIN, Environment
from workbench.errors import WorkbenchError
from workbench.journal import Journal
from workbench.progress import Show
from workbench.records import Trial, Verdict
from workbench.run import RunFolder
from workbench.trial import run_drill

if TYPE_CHECKING:
    import pandas as pd


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

    def queries(self, paths: Sequence[str] | None = None) -> pd.DataFrame:
        """What each page asks of the database: statements, distinct ones, times, the most repeated one.

        Args:
            paths: what to GET; every path without arguments by default.
        """
        with self.environment.process(PLAIN, self.environment.template()) as process:
            wanted = paths or process.call("workbench.guest.probe:plain_paths")
            rows = [process.call("workbench.guest.queries:profile", path=path) for path in wanted]
        return _frame(rows)

    def _ask(self, call: str) -> Any:
        with self.environment.process(PLAIN, self.environment.template()) as process:
            return process.call(call)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)
