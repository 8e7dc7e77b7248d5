"""The noise floor of an A/A pass: two arms that are the same, and a run that favours one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.journal import Journal, JournalWriter, read
from workbench.judge import noise_floor
from workbench.records import Arm, Metric, Plan, Trial

ARM = Arm("control", "Stalwart off")


def journal(path: Path, pairs: list[tuple[float, float]]) -> Journal:
    writer = JournalWriter(path / "journal.jsonl", "r")
    writer.append(Plan("noise-floor", (), "A/A", (ARM, ARM), len(pairs), 1))
    for block, pair in enumerate(pairs):
        for order, value in enumerate(pair):
            metric = {"failures": Metric(value, "share")}
            writer.append(Trial(f"{block}.{order}", "noise-floor", block, "control", order, 1, metric))
    return read(writer.path)


def test_equal_arms_are_sound(tmp_path: Path) -> None:
    """Noise alone keeps "no difference" within the interval."""
    noise = np.random.default_rng(4).normal(0.2, 0.02, (8, 2))
    floor = noise_floor(journal(tmp_path, [(float(a), float(b)) for a, b in noise]))
    assert floor is not None
    assert floor.sound
    assert floor.low < floor.estimate < floor.high
    assert floor.pairs == 8


def test_a_run_that_favours_the_second_trial_is_unsound(tmp_path: Path) -> None:
    """A difference between equal arms that noise does not explain marks the run."""
    noise = np.random.default_rng(4).normal(0.0, 0.002, (8, 2))
    floor = noise_floor(journal(tmp_path, [(0.3 + float(a), 0.2 + float(b)) for a, b in noise]))
    assert floor is not None
    assert not floor.sound
    assert floor.low > 0.2


@pytest.mark.parametrize("pairs", [[], [(0.2, 0.2)]])
def test_too_few_pairs_have_no_floor(tmp_path: Path, pairs: list[tuple[float, float]]) -> None:
    """Without two pairs there is no interval, and nothing is claimed."""
    assert noise_floor(journal(tmp_path, pairs)) is None
