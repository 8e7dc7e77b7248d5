"""Drills that decide no claim: their arms side by side, and whether what they guard held."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.journal import Journal
from workbench.judge.wording import amount
from workbench.records import Metric, Plan, Trial

Outcome = Literal["held", "broken", "void"]
CODES: Mapping[Outcome, int] = {"held": 0, "broken": 1, "void": 3}
_GAP = "  "


@dataclass(frozen=True, repr=False)
class Comparison:
    """One drill without a claim.

    Attributes:
        plan: what was to be done.
        trials: what was done, of all arms.
    """

    plan: Plan
    trials: Sequence[Trial]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    @property
    def outcome(self) -> Outcome:
        """Broken by one violation in the treatment arm, also in a trial that does not count; void when a trial does not."""
        if any(trial.violations for trial in self.of("treatment")):
            return "broken"
        arms = {arm.name for arm in self.plan.arms}
        complete = all(any(trial.counts for trial in self.of(arm)) for arm in arms)
        return "held" if complete and all(trial.counts for trial in self.trials) else "void"

    @property
    def exit_code(self) -> int:
        """1 when it is broken, 3 when it is void, else 0."""
        return CODES[self.outcome]

    def of(self, name: str) -> list[Trial]:
        """The trials of one arm."""
        return [trial for trial in self.trials if trial.arm == name]

    def tables(self) -> list[tuple[list[str], list[list[str]]]]:
        """Heads and rows: the arms with their figures, then one table for each group of figures, as the kinds of fault."""
        columns = self._columns()
        names = list(dict.fromkeys(name for found in columns.values() for name in found))
        plain = [name for name in names if ":" not in name]
        rows = [
            [label, *(_figure(metrics.get(name)) for name in plain)] for label, metrics in columns.items()
        ]
        found: list[tuple[list[str], list[list[str]]]] = [(["", *plain], rows)] if columns else []
        for group in dict.fromkeys(name.partition(":")[0] for name in names if ":" in name):
            rows = [
                [
                    name.partition(":")[2],
                    *(_figure(metrics.get(name), full=True) for metrics in columns.values()),
                ]
                for name in names
                if name.startswith(f"{group}:")
            ]
            found.append(([group, *columns], rows))
        return found

    def lines(self) -> list[str]:
        """For a terminal: the tables, and what is wrong."""
        tables = self.tables()
        if not tables:
            return [f"{self.plan.drill}: no trial was finished"]
        found = [self.plan.title]
        for heads, rows in tables:
            found += ["", *_table(heads, rows)]
        return [*found, "", *self.findings()]

    def _columns(self) -> dict[str, dict[str, Metric]]:
        """The figures of each arm, and of each part where there are several, by what a reader is told."""
        found = {}
        for part in self.plan.parts:
            for arm in self.plan.arms:
                own = [trial for trial in self.of(arm.name) if trial.part == part]
                if own:
                    found[f"{part}, {arm.label}" if part else arm.label] = _combined(own)
        return found

    def findings(self) -> list[str]:
        """What is wrong, a sentence each; the last one sums it up."""
        found = []
        for arm in self.plan.arms:
            for trial in self.of(arm.name):
                block = f"block {trial.block + 1}" if self.plan.blocks > 1 else ""
                name = ", ".join(filter(None, (arm.label, trial.part, block)))
                found += [f"{name}: {kind}: {text}" for kind, text in trial.violations.items()]
                if trial.exclusions:
                    found.append(f"{name}: does not count: {', '.join(trial.exclusions)}")
                found += [f"{name}: {note}" for note in trial.validity.notes]
        planned = self.plan.blocks * len(self.plan.parts) * len(self.plan.arms)
        if len(self.trials) < planned:
            found.append(f"Only {len(self.trials)} of the {planned} planned trials are in the journal.")
        said = {
            "held": "With Stalwart on, nothing was broken.",
            "broken": "With Stalwart on, something was broken: that refutes what this drill guards.",
            "void": "Void: not every arm has trials that count.",
        }
        return [*found, said[self.outcome]]


def comparisons(journal: Journal) -> list[Comparison]:
    """The newest run of every drill in a journal that decides no claim; the A/A pass has a place of its own."""
    return [
        Comparison(plan, journal.trials(plan.drill))
        for plan in journal.plans
        if not plan.claims and len({arm.name for arm in plan.arms}) == len(plan.arms)
    ]


def _combined(trials: Sequence[Trial]) -> dict[str, Metric]:
    """Counts and shares are added up over trials, times are medians."""
    found: dict[str, list[Metric]] = {}
    for trial in trials:
        for name, metric in trial.metrics.items():
            found.setdefault(name, []).append(metric)
    return {name: _together(metrics) for name, metrics in found.items()}


def _together(metrics: Sequence[Metric]) -> Metric:
    unit = metrics[0].unit
    events: list[int] = [one.events for one in metrics if one.events is not None]
    exposure: list[int] = [one.exposure for one in metrics if one.exposure is not None]
    if len(events) == len(exposure) == len(metrics):
        events_all, exposure_all = sum(events), sum(exposure)
        share = unit == "share" and exposure_all > 0
        value = events_all / exposure_all if share else float(events_all)
        return Metric(value, unit, events_all, exposure_all)
    if unit == "s":
        value = statistics.median(one.value for one in metrics)
        return Metric(value, unit, censored=any(one.censored for one in metrics))
    return Metric(sum(one.value for one in metrics), unit)


def _figure(metric: Metric | None, *, full: bool = False) -> str:
    if metric is None:
        return "–"
    if metric.events is not None and metric.exposure is not None:
        of = f" of {metric.exposure:,}" if full or metric.unit == "share" else ""
        return f"{metric.events:,}{of}"
    if metric.unit == "s":
        return f"{'> ' if metric.censored else ''}{amount(metric.value, 's')}"
    return f"{metric.value:,.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        return _GAP.join(cells).rstrip()

    return [line(heads), "─" * len(line(heads)), *(line(row) for row in rows)]
