"""The noise floor: what the method finds between two arms that are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.journal import Journal
from workbench.judge import estimates
from workbench.judge.samples import number

#: Named before any data; one metric for the whole run, so that the level is what it says.
DRILL, METRIC, LEVEL = "noise-floor", "failures", 0.995


@dataclass(frozen=True)
class NoiseFloor:
    """The reduction between two control arms, which is truly zero.

    Attributes:
        estimate, low, high: as a reduction; the interval is at `LEVEL`.
        pairs: how many counted.
    """

    estimate: float
    low: float
    high: float
    pairs: int

    @property
    def sound(self) -> bool:
        """Whether "no difference" lies within the interval."""
        return self.low <= 0 <= self.high


def noise_floor(journal: Journal) -> NoiseFloor | None:
    """The A/A result of a journal; None when it has none, or too few pairs for an interval."""
    blocks: dict[int, list[tuple[int, float]]] = {}
    for trial in journal.trials(DRILL):
        value = number(trial, METRIC)
        if trial.counts and not trial.validity.codes and value is not None:
            blocks.setdefault(trial.block, []).append((trial.order, value))
    pairs = [[value for _, value in sorted(pair)] for pair in blocks.values() if len(pair) == 2]
    if len(pairs) < 2:
        return None
    first, second = np.array(pairs, dtype=float).T
    found = estimates.paired_reduction(first, second, LEVEL).floats()
    return None if found is None else NoiseFloor(*found, len(pairs))
