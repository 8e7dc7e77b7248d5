"""The A/A pass: both arms with Stalwart off, so that any difference is noise of the machine and of the method.

One metric was named before any data: DB-1's failures. If its 99.5 % interval excludes "no difference", the run is unsound.
"""

from __future__ import annotations

from workbench import arms
from workbench.drills.base import Drill
from workbench.drills.connection_loss import CONNECTION_LOSS
from workbench.drills.environment import Environment
from workbench.records import Arm
from workbench.run import Depth


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    return (arms.control("DATABASE"), arms.control("DATABASE"))


NOISE_FLOOR = Drill(
    id="noise-floor",
    claims=(),
    title="A/A: connections lost under load, Stalwart off in both arms",
    run=CONNECTION_LOSS.run,
    blocks={"quick": 0, "default": 0, "full": 8},
    arms=arms_of,
    seconds=CONNECTION_LOSS.seconds,
    faults=CONNECTION_LOSS.faults,
    workload=CONNECTION_LOSS.workload,
)
