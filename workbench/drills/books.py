"""The bank's books, checked from outside after a trial: nothing lost, nothing doubled, sums conserved."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.demo.stocks.bank import check_bank
from workbench.servers.postgres import PostgresServer

#: What a client was told of an order.
ACKNOWLEDGED, FAILED, UNKNOWN = "ok", "failed", "indeterminate"


def check(server: PostgresServer, dbname: str, told: Mapping[str, str]) -> dict[str, str]:
    """The broken invariants of a trial's database, each with its number and its first case.

    Args:
        server: the private PostgreSQL; it is asked directly, not through the proxy.
        dbname: the trial's database.
        told: order id to what its client was told; a dropped order was never sent, so it must not be there.
    """

    def ids(*outcomes: str) -> set[str]:
        return {name for name, outcome in told.items() if outcome in outcomes}

    with server.connect(dbname) as connection:
        report = check_bank(
            connection,
            acknowledged=ids(ACKNOWLEDGED),
            failed=ids(FAILED, "dropped"),
            indeterminate=ids(UNKNOWN),
        )
    return {one.kind: f"{one.count} times; first: {one.first}" for one in report.violations}
