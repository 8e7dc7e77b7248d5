"""Which trials count, and the numbers read from them. A trial that cannot be used is left out and counted, never guessed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workbench.records import ArmName, Metric, Trial

#: Exclusions that mean "this was no test": with no valid trial left, the claim is void.
VOIDING = ("fault-did-not-bite", "not-healed", "load-not-met", "not-isolated")


@dataclass(frozen=True)
class Sample:
    """The trials of one part, by arm and block.

    Attributes:
        arms: of each arm the first trial of each block that counts: a block that was run twice is one block.
        excluded: of each arm, how many trials each exclusion code took out.
    """

    arms: Mapping[str, Mapping[int, Trial]]
    excluded: Mapping[str, Counter[str]]

    def of(self, arm: ArmName) -> Mapping[int, Trial]:
        return self.arms.get(arm, {})

    def pairs(self, baseline: ArmName, arm: ArmName) -> list[tuple[Trial, Trial]]:
        """The blocks in which both arms count, in order."""
        control, treatment = self.of(baseline), self.of(arm)
        return [(control[block], treatment[block]) for block in sorted(control.keys() & treatment.keys())]

    def exclusions(self, *arms: ArmName) -> Counter[str]:
        """How many trials of these arms each code took out."""
        return sum((self.excluded.get(arm, Counter()) for arm in arms), Counter[str]())


def sample(trials: Iterable[Trial], part: str) -> Sample:
    """Sort the trials of a part."""
    arms: dict[str, dict[int, Trial]] = {}
    excluded: dict[str, Counter[str]] = {}
    for trial in trials:
        if trial.part != part:
            continue
        codes = {*trial.exclusions, *trial.validity.codes}
        if codes:
            excluded.setdefault(trial.arm, Counter()).update(codes)
        else:
            arms.setdefault(trial.arm, {}).setdefault(trial.block, trial)
    return Sample(arms, excluded)


def number(trial: Trial, metric: str, *, negative: bool = False) -> float | None:
    """The value of a metric; None when it is missing, not finite, or below zero where that has no meaning."""
    found = trial.metrics.get(metric)
    if not isinstance(found, Metric) or not isinstance(found.value, int | float):
        return None
    if not math.isfinite(found.value) or (found.value < 0 and not negative):
        return None
    return float(found.value)


def counts(trial: Trial, metric: str) -> tuple[int, int] | None:
    """Events and exposure of a metric; None when they are missing or contradict each other."""
    found = trial.metrics.get(metric)
    if not isinstance(found, Metric) or found.events is None or found.exposure is None:
        return None
    if not 0 <= found.events <= found.exposure:
        return None
    return found.events, found.exposure


def payloads(trials: Sequence[Trial], prefix: str) -> dict[str, float]:
    """The mean bytes of each payload over trials; a payload with an unusable value in any of them is left out."""
    names = {name for trial in trials for name in trial.metrics if name.startswith(prefix) and name != prefix}
    found: dict[str, float] = {}
    for name in sorted(names):
        values = [value for trial in trials if (value := number(trial, name)) is not None]
        if len(values) == len(trials):
            found[name.removeprefix(prefix)] = math.fsum(value / len(values) for value in values)
    return found
