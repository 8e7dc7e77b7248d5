"""The bank's faults: seeded, and every kind as often as any other."""

from __future__ import annotations

from itertools import islice

import pytest

from workbench.drills.bank import bank
from workbench.drills.bank.drill import KINDS
from workbench.drills.bank.timetable import LONGEST, LONGEST_GAP, SHORTEST, SHORTEST_GAP, strikes
from workbench.drills.faults import FAULTS
from workbench.errors import WorkbenchError


def test_every_round_holds_each_kind_once() -> None:
    """No kind is left out of a round, the order varies, and gaps and lengths keep their bounds."""
    kinds = list(KINDS)
    found = list(islice(strikes(3, kinds), 20 * len(kinds)))
    rounds = [found[at : at + len(kinds)] for at in range(0, len(found), len(kinds))]
    assert all(sorted(one.kind for one in each) == sorted(kinds) for each in rounds)
    assert all({one.round for one in each} == {number} for number, each in enumerate(rounds))
    assert len({tuple(one.kind for one in each) for each in rounds}) > 15
    assert all(SHORTEST <= one.length <= LONGEST for one in found)
    assert all(SHORTEST_GAP <= one.gap <= LONGEST_GAP for one in found)


def test_the_seed_decides() -> None:
    """The arms of a block share every strike; another seed has others."""
    first, again, other = (list(islice(strikes(seed, list(KINDS)), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_every_registered_fault_strikes_the_bank() -> None:
    """A kind that is added to the faults joins by itself."""
    assert set(FAULTS) < set(bank(1).faults)
    assert {"commit-reply-lost", "commit-never-arrives", "deadlock", "lock-timeout"} < set(bank(1).faults)


def test_the_long_run_asks_for_what_was_promised() -> None:
    """Ten minutes are void below 10,000 orders or 300 faults."""
    assert bank(10).workload["least orders"] == 10_000
    assert bank(10).workload["least faults"] == 300
    assert bank(10).workload["clerks"] >= 8


@pytest.mark.parametrize("minutes", [0.0, -1.0, 1e6, float("nan")])
def test_a_senseless_length_is_refused(minutes: float) -> None:
    """Neither no time nor a lifetime is run."""
    with pytest.raises(WorkbenchError, match="minutes cannot be run"):
        bank(minutes)


def test_an_unknown_fault_is_refused() -> None:
    """The message names what there is."""
    with pytest.raises(WorkbenchError, match="earthquake") as refusal:
        bank(1, ["earthquake"])
    assert "deadlock" in refusal.value.next_step
