"""The bank under fire on real servers: single kinds of fault, and Ctrl-C. With all kinds it is in test_drills_for_real."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from workbench.drills.bank import bank
from workbench.records import Trial
from workbench.run import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def test_a_black_hole_does_not_silence_an_arm_for_good(run_arm: Callable[..., Trial]) -> None:
    """Plain Django waits on what the black hole has swallowed; the drill ends that silence, so later faults find it at work."""
    trial = run_arm(bank(0.05, ["blackhole", "deadlock", "slots-exhausted"]), "control")
    assert trial.exclusions == (), trial.evidence
    assert trial.metrics["hung"].value == 0
    reasons = {
        name.partition(":")[2]: metric
        for name, metric in trial.metrics.items()
        if name.startswith("failed by:")
    }
    assert sum(metric.value for metric in reasons.values()) == trial.metrics["failed"].value
    assert reasons["OperationalError (conflict)"].value > 0


def test_a_naive_retry_doubles(run_arm: Callable[..., Trial]) -> None:
    """COMMIT replies are lost under tenacity: orders are there twice, and the checker that passed us finds them."""
    trial = run_arm(bank(0.04, ["commit-reply-lost"]), "peer")
    assert trial.metrics["doubled"].value > 0
    assert "doubled" in trial.violations
    assert trial.metrics["lost"].value == 0


def test_an_interruption_shows_what_was_found_so_far(world: Any, poll: Callable[..., Any]) -> None:
    """Ctrl-C in the middle ends everything, and the books of the arm under fire are read all the same."""
    folder = world.temp.parent / "run"
    command = [sys.executable, "-m", "workbench", "drill", "bank", "--minutes", "5", "--out", str(folder)]
    process = world.start(*command)

    def struck() -> bool:
        if not (folder / "journal.jsonl").exists():
            return process.poll() is not None
        return (folder / "journal.jsonl").read_text().count('"kind":"fault"') >= 2

    poll(struck, timeout=60)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert "does not count: interrupted" in out
    assert "Traceback" not in err
    assert world.is_clean(), (world.living(), world.lying())
    [trial] = RunFolder.open(folder).journal().trials("bank")
    assert trial.exclusions == ("interrupted",)
    assert trial.metrics["orders"].value > 0
    assert trial.metrics["sums"].value == 0
