"""The small drills on real servers: the fault bites, plain Django suffers, and with Stalwart on nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench import drills
from workbench.drills.pool_exhaustion import POOL, VISITORS, WAITING
from workbench.records import Trial

Run = Callable[..., Trial]
SMALL = ("pool-exhaustion", "deadlock-storm", "lock-convoy", "lost-commit-reply", "demoted-primary")


def test_they_decide_no_claim_and_are_found() -> None:
    """Each is registered under its name."""
    for name in SMALL:
        assert drills.find(name).id == name
        assert drills.find(name).claims == ()


def test_a_deadlock_storm_passes_over(run_arm: Run) -> None:
    """The server ends transactions in both arms; with us nearly all come through, each once."""
    off, on = (run_arm(drills.find("deadlock-storm"), arm) for arm in ("control", "treatment"))
    assert off.metrics["bitten"].value >= 3
    assert on.metrics["bitten"].value >= 3
    assert off.outcomes.failed >= 3
    assert on.outcomes.failed < off.outcomes.failed
    assert off.violations == on.violations == {}


def test_a_lock_convoy_is_waited_out(run_arm: Run) -> None:
    """Whoever gave up waiting fails with Stalwart off; `database_retry` comes again until the holder is gone."""
    off, on = (run_arm(drills.find("lock-convoy"), arm) for arm in ("control", "treatment"))
    assert off.counts
    assert on.counts
    assert off.metrics["ok:retried"].value == 0
    assert on.metrics["ok:retried"].value == on.metrics["ok:retried"].exposure
    assert on.violations == {}


def test_a_lost_commit_reply_is_settled(run_arm: Run) -> None:
    """With us it is exactly once in both cases; tenacity doubles, and plain Django disowns, what was committed."""
    drill = drills.find("lost-commit-reply")
    off, on, peer = (run_arm(drill, arm) for arm in ("control", "treatment", "peer"))
    assert off.counts
    assert on.counts
    assert peer.counts
    assert set(off.violations) == {"ghost"}
    assert off.outcomes.ok == 0
    exactly_once = [metric for name, metric in on.metrics.items() if name.startswith("exactly once:")]
    assert len(exactly_once) == 4
    assert all(metric.events == metric.exposure == 3 for metric in exactly_once)
    assert on.violations == {}
    assert peer.metrics["twice:commit-reply-lost, retried"].value == 3
    assert peer.metrics["twice:commit-never-arrives, retried"].value == 0
    assert "doubled" in peer.violations


def test_a_demoted_primary_is_left(run_arm: Run) -> None:
    """On persistent connections plain Django never writes again; with us every thread does soon after the promotion."""
    off, on = (
        run_arm(drills.find("demoted-primary"), arm, part="persistent") for arm in ("control", "treatment")
    )
    assert off.counts
    assert on.counts
    assert off.metrics["ok after"].value == 0
    assert off.metrics["back after"].censored
    assert not on.metrics["back after"].censored
    assert on.violations == {}


def test_an_exhausted_pool_refuses_at_once(run_arm: Run) -> None:
    """With Stalwart off nobody has an answer before a connection is free; with the bulkhead a few wait, the rest know at once."""
    off, on = (run_arm(drills.find("pool-exhaustion"), arm) for arm in ("control", "treatment"))
    for trial in (off, on):
        assert trial.metrics["bitten"].value == POOL
        assert trial.violations == {}
    assert off.metrics["within 0.3 s"].value == 0
    assert off.outcomes.ok == VISITORS
    assert on.outcomes.ok == WAITING
    assert on.outcomes.failed == VISITORS - WAITING
    assert on.metrics["median"].value < off.metrics["median"].value


@pytest.mark.parametrize("name", SMALL)
def test_a_reader_can_repeat_it(name: str) -> None:
    """Each has a peer at full depth, and a title that says what happens."""
    drill = drills.find(name)
    assert len(drill.title) > 30
    assert drill.blocks["quick"] == 1
