"""Every published claim as a record: what was said, how it is measured, and the rule that decides it.

The rules stand here before any data exist and are not tuned until a claim passes. `CLAIMS` holds all of them in the
order of the page, also those that this version cannot test yet; `PROMISES` holds what no measurement can settle.
"""

from __future__ import annotations

import difflib

from workbench.claims.database import DATABASE
from workbench.claims.design import (
    Claim,
    Design,
    Limit,
    Never,
    PartRule,
    Payloads,
    Promise,
    Proportion,
    Reduction,
    Rule,
)
from workbench.claims.errors import ERRORS
from workbench.claims.memory import MEMORY
from workbench.claims.network import NETWORK
from workbench.claims.promises import PROMISES
from workbench.claims.system import SYSTEM
from workbench.errors import WorkbenchError

CLAIMS: tuple[Claim, ...] = (*DATABASE, *MEMORY, *ERRORS, *NETWORK, *SYSTEM)

__all__ = [
    "CLAIMS",
    "PROMISES",
    "Claim",
    "Design",
    "Limit",
    "Never",
    "PartRule",
    "Payloads",
    "Promise",
    "Proportion",
    "Reduction",
    "Rule",
    "claim",
]


def claim(id_: str) -> Claim:
    """The claim of an id, in either case.

    Raises:
        WorkbenchError: when there is none; it names the nearest.
    """
    wanted = id_.strip().upper()
    known = {one.id: one for one in CLAIMS}
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise WorkbenchError(f"there is no claim {id_!r}", f"{hint}`workbench claims` lists all {len(CLAIMS)}")
