"""The bank invariant: after any fault, no money made or lost, no order twice, none lost, none there that was refused.

The first half reads the tables through any DB-API connection; the second half is a pure function over what was read.
Check when the application's processes are gone: an order that commits while the tables are read looks like a violation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol

Kind = Literal["cash", "shares", "overdrawn", "entry", "incomplete", "doubled", "lost", "ghost"]

#: What each kind says, in the order in which they are reported.
MEANING: dict[Kind, str] = {
    "cash": "a portfolio's cash is not its opening cash plus its ledger",
    "shares": "a holding is not the sum of its ledger entries",
    "overdrawn": "cash or shares below zero",
    "entry": "a ledger entry does not say what its order says",
    "incomplete": "an order without its ledger entry, or an entry without its order",
    "doubled": "one id more than once",
    "lost": "an order that was acknowledged is not there",
    "ghost": "an order is there that was answered with a definite failure",
}


class Connection(Protocol):
    """A DB-API connection whose cursors are context managers: psycopg's, or Django's."""

    def cursor(self) -> Any:
        """A cursor."""


@dataclass(frozen=True)
class Tables:
    """The rows that the check needs, as tuples.

    Args:
        portfolios: id, opening cash, cash.
        holdings: portfolio, company, quantity.
        orders: id, reference, portfolio, company, side, quantity, price.
        entries: id, order, portfolio, company, cash delta, share delta.
    """

    portfolios: list[tuple[int, Decimal, Decimal]]
    holdings: list[tuple[int, int, int]]
    orders: list[tuple[int, str, int, int, str, int, Decimal]]
    entries: list[tuple[str, int, int, int, Decimal, int]]


@dataclass(frozen=True)
class Violation:
    """One way in which the invariant is broken: how often, and the first case in words."""

    kind: Kind
    count: int
    first: str


@dataclass(frozen=True)
class BankReport:
    """What the check found.

    Args:
        violations: empty when the invariant holds; one for each kind that was found.
        orders: orders in the database.
        acknowledged: ids given as acknowledged.
        failed: ids given as definitely failed.
        indeterminate_present: ids of unknown outcome whose order is there: neither right nor wrong.
        indeterminate_absent: ids of unknown outcome whose order is not there.
        unlisted: orders in none of the three sets, those of the seed among them.
    """

    violations: tuple[Violation, ...]
    orders: int
    acknowledged: int
    failed: int
    indeterminate_present: int
    indeterminate_absent: int
    unlisted: int

    @property
    def holds(self) -> bool:
        """Whether the invariant holds."""
        return not self.violations

    @property
    def total(self) -> int:
        """How many violations of all kinds together."""
        return sum(violation.count for violation in self.violations)

    def as_dict(self) -> dict[str, Any]:
        """A JSON form for the journal."""
        return {**asdict(self), "violations": [asdict(violation) for violation in self.violations]}


def check_bank(
    connection: Connection,
    *,
    acknowledged: Collection[str],
    failed: Collection[str],
    indeterminate: Collection[str] = (),
) -> BankReport:
    """Read the tables and check them against what the clients were told.

    Args:
        connection: to the demo's database; four SELECTs are sent.
        acknowledged: ids answered with 200 or 201.
        failed: ids answered with a definite failure, refusals among them.
        indeterminate: ids whose client knows nothing: 503 ``{"outcome": "unknown"}``, or a transport lost after sending.

    Raises:
        ValueError: when an id is in two of the sets.
    """
    return examine(read_tables(connection), acknowledged, failed, indeterminate)


def read_tables(connection: Connection) -> Tables:
    """Everything that `examine` needs."""
    with connection.cursor() as cursor:

        def select(columns: str, table: str) -> list[Any]:
            cursor.execute(f"SELECT {columns} FROM stocks_{table} ORDER BY 1, 2")
            return [tuple(row) for row in cursor.fetchall()]

        return Tables(
            portfolios=[
                (key, _money(opening), _money(cash))
                for key, opening, cash in select("id, opening_cash, cash", "portfolio")
            ],
            holdings=select("portfolio_id, company_id, quantity", "holding"),
            orders=[
                (*row[:-1], _money(row[-1]))
                for row in select("id, reference, portfolio_id, company_id, side, quantity, price", "order")
            ],
            entries=[
                (*row[:4], _money(row[4]), row[5])
                for row in select(
                    "id, order_id, portfolio_id, company_id, cash_delta, share_delta", "ledgerentry"
                )
            ],
        )


def _money(value: Any) -> Decimal:
    # SQLite hands out numbers, PostgreSQL decimals; four places are what the columns keep.
    return Decimal(str(value)).quantize(Decimal("0.0001"))


def examine(
    tables: Tables,
    acknowledged: Collection[str],
    failed: Collection[str],
    indeterminate: Collection[str] = (),
) -> BankReport:
    """Check tables that were read; pure. Arguments and errors as for `check_bank`."""
    told = Counter([*set(acknowledged), *set(failed), *set(indeterminate)])
    twice = sorted(key for key, number in told.items() if number > 1)
    if twice:
        raise ValueError(
            f"{len(twice)} ids are in two of the sets, such as {twice[0]!r}; an order has one outcome"
        )
    present = {order[1] for order in tables.orders} | {entry[0] for entry in tables.entries}

    found: dict[Kind, list[str]] = defaultdict(list)
    for kind, case in [*_sums(tables), *_entries(tables), *_doubled(tables)]:
        found[kind].append(case)
    found["lost"] = [
        f"{key} was acknowledged and is not there" for key in sorted(set(acknowledged) - present)
    ]
    found["ghost"] = [
        f"{key} was answered with a failure and is there" for key in sorted(set(failed) & present)
    ]
    unknown = set(indeterminate)
    return BankReport(
        violations=tuple(
            Violation(kind, len(found[kind]), found[kind][0]) for kind in MEANING if found[kind]
        ),
        orders=len(tables.orders),
        acknowledged=len(set(acknowledged)),
        failed=len(set(failed)),
        indeterminate_present=len(unknown & present),
        indeterminate_absent=len(unknown - present),
        unlisted=len({order[1] for order in tables.orders} - set(told)),
    )


Cases = Iterator[tuple[Kind, str]]


def _sums(tables: Tables) -> Cases:
    cash: dict[int, Decimal] = defaultdict(Decimal)
    shares: dict[tuple[int, int], int] = defaultdict(int)
    for _, _, portfolio, company, cash_delta, share_delta in tables.entries:
        cash[portfolio] += cash_delta
        shares[portfolio, company] += share_delta
    for portfolio, opening, now in tables.portfolios:
        expected = opening + cash.pop(portfolio, Decimal())
        if now != expected:
            yield "cash", f"portfolio {portfolio} has {now}, its ledger says {expected}"
        if now < 0:
            yield "overdrawn", f"portfolio {portfolio} has {now} in cash"
    for portfolio, company, quantity in tables.holdings:
        expected_shares = shares.pop((portfolio, company), 0)
        if quantity != expected_shares:
            yield (
                "shares",
                f"portfolio {portfolio} has {quantity} of company {company}, its ledger says {expected_shares}",
            )
        if quantity < 0:
            yield "overdrawn", f"portfolio {portfolio} has {quantity} of company {company}"
    # What the ledger moved for a portfolio or holding that is not there.
    for portfolio, moved in cash.items():
        yield "cash", f"portfolio {portfolio} is not there, its ledger says {moved}"
    for (portfolio, company), number in shares.items():
        if number:
            yield (
                "shares",
                f"portfolio {portfolio} has no holding of company {company}, its ledger says {number}",
            )


def _entries(tables: Tables) -> Cases:
    orders = {order[0]: order for order in tables.orders}
    without = dict.fromkeys(orders)
    for key, order_key, portfolio, company, cash_delta, share_delta in tables.entries:
        order = orders.get(order_key)
        without.pop(order_key, None)
        if order is None:
            yield "incomplete", f"entry {key} has no order"
            continue
        _, reference, order_portfolio, order_company, side, quantity, price = order
        sign = 1 if side == "buy" else -1
        expected = (reference, order_portfolio, order_company, -sign * price * quantity, sign * quantity)
        if (key, portfolio, company, cash_delta, share_delta) != expected:
            yield (
                "entry",
                f"entry {key} moved {cash_delta} and {share_delta} shares, its order {reference} {expected[3]} and {expected[4]}",
            )
    for order_key in without:
        yield "incomplete", f"order {orders[order_key][1]} has no entry"


def _doubled(tables: Tables) -> Cases:
    # The database's constraints forbid it. Were one dropped by a migration, nothing else would notice.
    keys: tuple[tuple[str, list[object]], ...] = (
        ("order", [order[1] for order in tables.orders]),
        ("entry", [entry[0] for entry in tables.entries]),
        ("entry of order", [entry[1] for entry in tables.entries]),
    )
    for what, found in keys:
        for key, number in Counter(found).items():
            if number > 1:
                yield "doubled", f"{what} {key} is there {number} times"
