"""What several charts ask of a drill's trials: pairs, arms' words, medians."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from workbench.records import Plan, Series, Trial

ARMS = ("control", "treatment", "peer")
SHORT = {"control": "off", "treatment": "on", "peer": "peer", "absent": "absent"}

_FAULTS = {
    "backend-terminated": "back ends terminated",
    "backends-terminated": "back ends terminated",
    "server-killed": "server killed and restarted",
    "tcp-reset": "TCP reset",
    "blackhole": "black hole",
    "slots-exhausted": "slots exhausted",
    "lock-timeout": "lock time-out",
    "serialization-failure": "serialization failure",
    "connection-lost": "lost connection",
}


def fault_words(kind: str) -> str:
    """A kind of fault in words."""
    return _FAULTS.get(kind, kind.replace("-", " ").replace("_", " "))


def arm_label(plan: Plan, arm: str) -> str:
    """What the plan calls an arm; "off", "on" or "peer" where it does not say."""
    return next((one.label for one in plan.arms if one.name == arm and one.label), SHORT.get(arm, arm))


def counted(trials: Sequence[Trial], arm: str, part: str | None = None) -> list[Trial]:
    """The trials of an arm (and part) that count, in the order of their blocks."""
    found = [t for t in trials if t.arm == arm and t.counts and part in (None, t.part)]
    return sorted(found, key=lambda trial: trial.block)


def pairs(trials: Sequence[Trial], metric: str, part: str | None = None) -> list[tuple[Trial, Trial]]:
    """Control and treatment of each block in which both count and both carry the metric."""
    treated = {(t.part, t.block): t for t in counted(trials, "treatment", part) if metric in t.metrics}
    return [
        (c, treated[c.part, c.block])
        for c in counted(trials, "control", part)
        if metric in c.metrics and (c.part, c.block) in treated
    ]


def series(trial: Trial, name: str) -> Series | None:
    """A trial's series of that name."""
    return next((one for one in trial.series if one.name == name), None)


def middle(trials: Sequence[Trial], metric: str) -> float | None:
    """The median of a metric over trials; None where none carries it."""
    values = [trial.metrics[metric].value for trial in trials if metric in trial.metrics]
    return median(values) if values else None
