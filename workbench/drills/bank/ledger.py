"""What the ledger says of every order against what its client was told.

The bank's invariant (`workbench.demo.stocks.bank`) is checked over orders by the client's own id: an entry whose key was made
inside the transaction counts under the id with which that key begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from workbench.demo.stocks.bank import Tables, examine

ACKNOWLEDGED, REFUSED, FAILED, UNKNOWN = "ok", "refused", "failed", "indeterminate"
SUMS = ("cash", "shares", "overdrawn", "entry", "incomplete")


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        lost: orders that were acknowledged and are not there.
        doubled: orders that took effect more than once.
        ghosts: orders that are there and were answered with a definite failure.
        sums: portfolios, holdings and entries that do not add up.
        unknown_present, unknown_absent: orders of unknown outcome, neither right nor wrong.
        violations: each broken invariant with its number and its first case.
    """

    lost: int
    doubled: int
    ghosts: int
    sums: int
    unknown_present: int
    unknown_absent: int
    violations: Mapping[str, str]


def by_client(tables: Tables) -> Tables:
    """The tables with the client's id in the place of the keys that were made from it."""
    return replace(
        tables,
        orders=[(row[0], client(row[1]), *row[2:]) for row in tables.orders],
        entries=[(client(row[0]), *row[1:]) for row in tables.entries],
    )


def client(key: str) -> str:
    """The client's id in a ledger's key."""
    return key.partition(":")[0]


def audit(tables: Tables, told: Mapping[str, str]) -> Audit:
    """Check tables that were read when nobody was writing any more.

    Args:
        tables: as `workbench.demo.stocks.bank.read_tables` gives them.
        told: the client's id of each order to what the client was told.
    """

    def ids(*outcomes: str) -> set[str]:
        return {name for name, outcome in told.items() if outcome in outcomes}

    tables = by_client(tables)
    report = examine(tables, ids(ACKNOWLEDGED), ids(FAILED, REFUSED), ids(UNKNOWN))
    found = {one.kind: one for one in report.violations}
    # The invariant counts an order and its entry on their own; here the order is the unit.
    doubled = sum(number > 1 for number in Counter(row[1] for row in tables.orders).values())
    doubled = max(doubled, int("doubled" in found))
    counts = {kind: doubled if kind == "doubled" else one.count for kind, one in found.items()}
    return Audit(
        lost=found["lost"].count if "lost" in found else 0,
        doubled=doubled,
        ghosts=found["ghost"].count if "ghost" in found else 0,
        sums=sum(found[kind].count for kind in SUMS if kind in found),
        unknown_present=report.indeterminate_present,
        unknown_absent=report.indeterminate_absent,
        violations={kind: f"{counts[kind]} times; first: {one.first}" for kind, one in found.items()},
    )
