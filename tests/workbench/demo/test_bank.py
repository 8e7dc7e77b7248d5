"""The bank's checker: it passes what is right and names each way of being wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from workbench.demo.stocks.bank import MEANING, BankReport, Tables, check_bank, examine
from workbench.servers.postgres import PostgresServer

PRICE = Decimal("12.5000")
#: One portfolio that opened with 1,000, bought 10 shares (order a) and sold 4 (order b).
RIGHT = Tables(
    portfolios=[(1, Decimal(1000), Decimal(925))],
    holdings=[(1, 7, 6)],
    orders=[(1, "a", 1, 7, "buy", 10, PRICE), (2, "b", 1, 7, "sell", 4, PRICE)],
    entries=[("a", 1, 1, 7, Decimal(-125), 10), ("b", 2, 1, 7, Decimal(50), -4)],
)


def kinds(report: BankReport) -> set[str]:
    """The kinds of violation in a report."""
    return {violation.kind for violation in report.violations}


def test_what_is_right_passes_and_is_counted() -> None:
    """Sums that agree with the ledger are no violation, and every id is counted in its place."""
    report = examine(RIGHT, acknowledged={"a"}, failed={"x", "y"}, indeterminate={"b", "z"})
    assert report.holds
    assert report == BankReport(
        violations=(),
        orders=2,
        acknowledged=1,
        failed=2,
        indeterminate_present=1,
        indeterminate_absent=1,
        unlisted=0,
    )


def test_orders_that_nobody_sent_are_counted() -> None:
    """Orders in none of the sets are shown as unlisted; those of the seed are such."""
    assert examine(RIGHT, acknowledged={"a"}, failed=()).unlisted == 1


WRONG: list[tuple[str, Callable[[Tables], Tables], set[str]]] = [
    ("cash moved twice", lambda t: replace(t, portfolios=[(1, Decimal(1000), Decimal(800))]), {"cash"}),
    ("shares moved twice", lambda t: replace(t, holdings=[(1, 7, 16)]), {"shares"}),
    ("holding gone", lambda t: replace(t, holdings=[]), {"shares"}),
    ("portfolio gone", lambda t: replace(t, portfolios=[]), {"cash"}),
    ("entry gone", lambda t: replace(t, entries=t.entries[:1]), {"cash", "shares", "incomplete"}),
    ("order gone", lambda t: replace(t, orders=t.orders[:1]), {"incomplete"}),
    (
        "written twice",
        lambda t: replace(
            t,
            portfolios=[(1, Decimal(1000), Decimal(975))],
            holdings=[(1, 7, 2)],
            orders=[*t.orders, (3, "b", 1, 7, "sell", 4, PRICE)],
            entries=[*t.entries, ("b", 3, 1, 7, Decimal(50), -4)],
        ),
        {"doubled"},
    ),
    (
        "one order with two entries",
        lambda t: replace(
            t,
            portfolios=[(1, Decimal(1000), Decimal(975))],
            holdings=[(1, 7, 2)],
            entries=[*t.entries, ("b2", 2, 1, 7, Decimal(50), -4)],
        ),
        {"entry", "doubled"},
    ),
    (
        "another amount than the order's",
        lambda t: replace(
            t,
            portfolios=[(1, Decimal(1000), Decimal(926))],
            entries=[t.entries[0], ("b", 2, 1, 7, Decimal(51), -4)],
        ),
        {"entry"},
    ),
    (
        "spent twice",
        lambda t: replace(
            t,
            portfolios=[(1, Decimal(0), Decimal(-75))],
        ),
        {"overdrawn"},
    ),
]


@pytest.mark.parametrize(("break_it", "expected"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_each_way_of_being_wrong_is_named(break_it: Callable[[Tables], Tables], expected: set[str]) -> None:
    """Every corruption of the tables is found, as what it is and as nothing else."""
    report = examine(break_it(RIGHT), acknowledged=(), failed=())
    assert kinds(report) == expected
    assert not report.holds
    assert all(violation.count >= 1 and violation.first for violation in report.violations)


def test_a_lost_order_is_named() -> None:
    """An acknowledged id that is not there is a violation, with the first such id."""
    report = examine(RIGHT, acknowledged={"a", "m", "n"}, failed=())
    assert [(v.kind, v.count, v.first) for v in report.violations] == [
        ("lost", 2, "m was acknowledged and is not there")
    ]


def test_a_ghost_order_is_named() -> None:
    """An id that was answered with a definite failure and is there is a violation."""
    report = examine(RIGHT, acknowledged={"a"}, failed={"b", "c"})
    assert [(v.kind, v.count, v.first) for v in report.violations] == [
        ("ghost", 1, "b was answered with a failure and is there")
    ]


def test_an_id_has_one_outcome() -> None:
    """An id in two sets is an error of the caller, not a violation."""
    with pytest.raises(ValueError, match="'a'"):
        examine(RIGHT, acknowledged={"a"}, failed={"a"})


def test_every_kind_is_explained_and_every_report_is_json() -> None:
    """The kinds that can be found have a sentence each, and a report goes into a journal."""
    found = {kind for *_, expected in WRONG for kind in expected} | {"lost", "ghost"}
    assert found == set(MEANING)
    assert examine(RIGHT, acknowledged={"q"}, failed=()).as_dict()["violations"] == [
        {"kind": "lost", "count": 1, "first": "q was acknowledged and is not there"}
    ]


def test_the_seeded_database_is_right_and_a_dropped_constraint_is_noticed(
    postgres: PostgresServer, demo: object
) -> None:
    """On real tables the seed's orders pass, and a row doubled behind a dropped constraint is found."""
    name = demo.database["NAME"]  # type: ignore[attr-defined]
    with postgres.connect(name) as connection:
        before = check_bank(connection, acknowledged=(), failed={"never-sent"})
        assert before.holds
        assert before.unlisted == before.orders > 0

        connection.execute("ALTER TABLE stocks_order DROP CONSTRAINT stocks_order_reference_key")
        connection.execute(
            "INSERT INTO stocks_order (reference, portfolio_id, company_id, side, quantity, price, placed_at) "
            "SELECT reference, portfolio_id, company_id, side, quantity, price, placed_at FROM stocks_order LIMIT 1"
        )
        after = check_bank(connection, acknowledged=(), failed=())
        assert kinds(after) == {"doubled", "incomplete"}


def test_the_checker_reads_sqlite_through_django(sqlite: object) -> None:
    """Django's own connection to an SQLite file serves too."""
    sqlite.manage("migrate", "--verbosity=0")  # type: ignore[attr-defined]
    sqlite.manage("seed", "--companies=3", "--bars=30", "--portfolios=2")  # type: ignore[attr-defined]
    report = sqlite.script(  # type: ignore[attr-defined]
        """
        from django.db import connection
        from workbench.demo.stocks.bank import check_bank
        result = check_bank(connection, acknowledged=[], failed=[]).as_dict()
        """
    )
    assert report["violations"] == []
    assert report["orders"] == report["unlisted"] > 0
