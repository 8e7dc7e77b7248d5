"""What a drill is: a fault, a workload, the metrics that come out, and the arms that are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workbench.drills.environment import Environment
from workbench.records import Arm, Fault, Intent, Json, Trial
from workbench.run import Depth


@dataclass(frozen=True)
class Task:
    """One trial to run: the arm, its place in the plan, and the seed that the arms of a block share."""

    id: str
    drill: str
    arm: Arm
    block: int
    order: int
    seed: int
    part: str
    note: Callable[[Intent | Fault | Trial], None]
    """Writes to the journal: the intent before a fault, the evidence after it was healed, a trial that was interrupted."""
    operations: Path
    """Folder for raw operations; they lie beside the journal and are never needed to judge."""
    tell: Callable[[str], None] = lambda text: None
    """Shows how far a long trial is."""


@dataclass(frozen=True)
class Drill:
    """A comparison that can be run on a project.

    Attributes:
        id: as the command line names it.
        claims: which it decides.
        title: what it does, in a line.
        run: runs one trial in fresh processes.
        blocks: how many blocks (pairs) at each depth.
        arms: the arms at a depth, peers only where the depth pays for them.
        seconds: rough time of one trial, until one has been timed.
        faults: kinds that every trial holds.
        missing: kinds that the claim's population names and that this version does not inject.
        at_once: trials that may run beside each other: 1, but for drills whose metric does not depend on the machine's load.
        parts: parts of the claim at a depth, and those left out with the reason.
        workload: its figures, for the plan.
        options: further words of the command line that repeats it.
        demo_only: it needs the demo's models.
        reason_elsewhere: what a user's own project is told.
    """

    id: str
    claims: tuple[str, ...]
    title: str
    run: Callable[[Environment, Task], Trial]
    blocks: Mapping[Depth, int]
    arms: Callable[[Environment, Depth], tuple[Arm, ...]]
    seconds: float
    faults: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    parts: Callable[[Depth], tuple[tuple[str, ...], Mapping[str, str]]] = lambda depth: (("",), {})
    at_once: int = 1
    workload: Mapping[str, Json] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    demo_only: bool = True
    reason_elsewhere: str = "needs the demo's models"
