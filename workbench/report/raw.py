"""Every trial of a drill in figures: one table of the trials, one of their metrics, arm beside arm."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.numbers import number, seconds
from workbench.charts.trials import ARMS
from workbench.records import Metric, Trial
from workbench.report.tables import Table, limited


def trials_table(trials: Sequence[Trial]) -> Table:
    """One row per trial, in the order in which they ran."""
    rows = [
        (
            t.id,
            t.part or "–",
            str(t.block),
            str(t.order + 1),
            t.arm,
            str(t.seed),
            f"{t.outcomes.ok:,}",
            f"{t.outcomes.failed:,}",
            f"{t.outcomes.indeterminate:,}",
            f"{t.outcomes.dropped:,}",
            "–" if t.validity.lateness_p99 is None else seconds(t.validity.lateness_p99),
            seconds(t.took),
            ", ".join(t.exclusions) or "counts",
        )
        for t in trials
    ]
    return limited(
        "Every trial, in the order in which they ran.",
        (
            "Trial",
            "Part",
            "Block",
            "Order",
            "Arm",
            "Seed",
            "Correct",
            "Failed",
            "Unknown",
            "Dropped",
            "Lateness p99",
            "Took",
            "Excluded by",
        ),
        rows,
        right=(2, 3, 5, 6, 7, 8, 9, 10, 11),
    )


def metrics_table(trials: Sequence[Trial]) -> Table:
    """One row per part, block and metric, with the arms beside each other."""
    arms = [arm for arm in (*ARMS, "absent") if any(t.arm == arm for t in trials)]
    found: dict[tuple[str, int, str], dict[str, Metric]] = {}
    for trial in trials:
        for name, metric in trial.metrics.items():
            found.setdefault((trial.part, trial.block, name), {})[trial.arm] = metric
    rows = [
        (name, part or "–", str(block), *(cell(by_arm.get(arm)) for arm in arms))
        for (part, block, name), by_arm in found.items()
    ]
    return limited(
        "Every metric of every block, arm beside arm; trials that are excluded are shown too.",
        ("Metric", "Part", "Block", *arms),
        rows,
        right=range(2, 3 + len(arms)),
    )


def cell(metric: Metric | None) -> str:
    """A metric with its events; "≥" where the true value was cut off."""
    if metric is None:
        return "–"
    told = ("≥ " if metric.censored else "") + number(metric.value, metric.unit)
    if metric.events is not None and metric.exposure is not None:
        told += f" ({metric.events:,} of {metric.exposure:,})"
    return told
