"""The drills by id, and the one way to find them."""

from __future__ import annotations

import difflib

from workbench.claims import CLAIMS
from workbench.drills.bandwidth import BANDWIDTH
from workbench.drills.bank import BANK, MINUTES, bank
from workbench.drills.base import Drill
from workbench.drills.connection_efficiency import CONNECTION_EFFICIENCY
from workbench.drills.connection_loss import CONNECTION_LOSS
from workbench.drills.deadlock_storm import DEADLOCK_STORM
from workbench.drills.demoted_primary import DEMOTED_PRIMARY
from workbench.drills.large_querysets import LARGE_QUERYSETS
from workbench.drills.lock_convoy import LOCK_CONVOY
from workbench.drills.lost_commit_reply import LOST_COMMIT_REPLY
from workbench.drills.noise_floor import NOISE_FLOOR
from workbench.drills.pool_exhaustion import POOL_EXHAUSTION
from workbench.drills.slow_queries import SLOW_QUERIES
from workbench.drills.transient_errors import TRANSIENT_ERRORS
from workbench.errors import WorkbenchError
from workbench.run import Depth

DRILLS: dict[str, Drill] = {
    drill.id: drill
    for drill in (
        CONNECTION_LOSS,
        TRANSIENT_ERRORS,
        CONNECTION_EFFICIENCY,
        SLOW_QUERIES,
        LARGE_QUERYSETS,
        BANDWIDTH,
        NOISE_FLOOR,
        BANK,
        POOL_EXHAUSTION,
        DEADLOCK_STORM,
        LOCK_CONVOY,
        LOST_COMMIT_REPLY,
        DEMOTED_PRIMARY,
    )
}


def find(name: str) -> Drill:
    """A drill by its id, or by the id of a claim that it decides.

    Raises:
        WorkbenchError: there is none; the message names the nearest.
    """
    wanted = name.strip()
    for drill in DRILLS.values():
        if wanted.lower() == drill.id or wanted.upper() in drill.claims:
            return drill
    known = [*DRILLS, *(claim for drill in DRILLS.values() for claim in drill.claims)]
    if any(wanted.upper() == one.id for one in CLAIMS):
        raise WorkbenchError(
            f"no drill decides {wanted.upper()} in this version",
            f"`workbench claims` shows its rule; drills: {', '.join(known)}",
        )
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise WorkbenchError(f"there is no drill {name!r}", f"{hint}known: {', '.join(known)}")


def lasting(drill: Drill, depth: Depth, minutes: float | None) -> Drill:
    """The bank for the time that it is given, or that the depth has for it; any other drill as it is.

    Raises:
        WorkbenchError: minutes for a drill that has no length.
    """
    if drill.id == BANK.id:
        return bank(MINUTES[depth] if minutes is None else minutes)
    if minutes is not None:
        raise WorkbenchError(
            f"{drill.id} has no length in minutes", "leave --minutes away; --pairs says how often it is run"
        )
    return drill
