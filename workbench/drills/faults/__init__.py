"""Faults, one a file: each a context manager that injects on entry, bites as long as it is held, and heals on exit.

They harm only servers that the drill itself started. What they yield counts what the server or the proxy confirms, so
that a fault that did not bite cannot pass for one that did.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from workbench.drills.faults.backend_terminated import backend_terminated
from workbench.drills.faults.bite import Bite, Target
from workbench.drills.faults.blackhole import blackhole
from workbench.drills.faults.server_killed import server_killed
from workbench.drills.faults.slots_exhausted import slots_exhausted
from workbench.drills.faults.tcp_reset import tcp_reset

__all__ = [
    "FAULTS",
    "Bite",
    "FaultKind",
    "Target",
    "backend_terminated",
    "blackhole",
    "server_killed",
    "slots_exhausted",
    "tcp_reset",
]


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault by the name that plans and journals use.

    Attributes:
        name: as "server-killed".
        inject: the context manager.
        heal: what makes it good again, in words, for the intent that is journalled first.
        label: what a chart writes on the shaded stretch.
    """

    name: str
    inject: Callable[[Target], AbstractContextManager[Bite]]
    heal: str
    label: str


FAULTS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(
            "backend-terminated",
            backend_terminated,
            "nothing to undo: back ends are not terminated any more",
            "back ends terminated",
        ),
        FaultKind(
            "server-killed",
            server_killed,
            "start the server again and wait until it answers",
            "server killed",
        ),
        FaultKind("tcp-reset", tcp_reset, "nothing to undo: connections are not reset any more", "TCP reset"),
        FaultKind("blackhole", blackhole, "switch the proxy's toxic off", "black hole"),
        FaultKind(
            "slots-exhausted",
            slots_exhausted,
            "close the sessions that hold the slots; they end with the drill's process",
            "slots exhausted",
        ),
    )
}
