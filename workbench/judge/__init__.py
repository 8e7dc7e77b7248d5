"""The judge: what the trials of a journal say of each published claim. Pure functions over records."""

from __future__ import annotations

from workbench.judge.noise import NoiseFloor, noise_floor
from workbench.judge.summary import exit_code, strongest
from workbench.judge.table import lines
from workbench.judge.unclaimed import Comparison, comparisons
from workbench.judge.verdicts import contrast, judge, judge_claim

__all__ = [
    "Comparison",
    "NoiseFloor",
    "comparisons",
    "contrast",
    "exit_code",
    "judge",
    "judge_claim",
    "lines",
    "noise_floor",
    "strongest",
]
