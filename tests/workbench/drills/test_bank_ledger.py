"""The bank's auditor: orders are counted under their client's id, and each planted wrong is found as what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from workbench.demo.stocks.bank import Tables
from workbench.drills.bank.ledger import audit, client

PRICE = Decimal("12.5000")
#: One portfolio that opened with 1,000: order a with the client's key bought 10 shares, b and c with keys of their own 4 each.
RIGHT = Tables(
    portfolios=[(1, Decimal(1000), Decimal(775))],
    holdings=[(1, 7, 18)],
    orders=[
        (1, "a", 1, 7, "buy", 10, PRICE),
        (2, "b:1f", 1, 7, "buy", 4, PRICE),
        (3, "c:2e", 1, 7, "buy", 4, PRICE),
    ],
    entries=[
        ("a", 1, 1, 7, Decimal(-125), 10),
        ("b:1f", 2, 1, 7, Decimal(-50), 4),
        ("c:2e", 3, 1, 7, Decimal(-50), 4),
    ],
)
TOLD = {"a": "ok", "b": "ok", "c": "indeterminate", "d": "indeterminate", "e": "failed", "f": "refused"}
#: Order b a second time, with everything that belongs to it: each sum is right, and the client's money is gone twice.
TWICE = replace(
    RIGHT,
    portfolios=[(1, Decimal(1000), Decimal(725))],
    holdings=[(1, 7, 22)],
    orders=[*RIGHT.orders, (4, "b:9a", 1, 7, "buy", 4, PRICE)],
    entries=[*RIGHT.entries, ("b:9a", 4, 1, 7, Decimal(-50), 4)],
)


def test_what_is_right_passes() -> None:
    """Nothing is found where every acknowledged order is there once; unknown ones may be there or not."""
    found = audit(RIGHT, TOLD)
    assert found.violations == {}
    assert (found.lost, found.doubled, found.ghosts, found.sums) == (0, 0, 0, 0)
    assert (found.unknown_present, found.unknown_absent) == (1, 1)


def test_a_double_under_another_key_is_found() -> None:
    """Two orders whose keys begin with one client's id are one order twice, though no key and no sum is wrong."""
    found = audit(TWICE, TOLD)
    assert (found.lost, found.doubled, found.ghosts, found.sums) == (0, 1, 0, 0)
    assert list(found.violations) == ["doubled"]
    assert found.violations["doubled"] == "1 times; first: order b is there 2 times"


@pytest.mark.parametrize("outcome", ["ok", "failed", "refused", "indeterminate"])
def test_a_double_is_wrong_whatever_was_answered(outcome: str) -> None:
    """Not even an unknown outcome excuses an order that took effect twice."""
    assert audit(TWICE, {**TOLD, "b": outcome}).doubled == 1


def test_a_lost_order_is_found() -> None:
    """An acknowledged order that is not there is lost, whichever key it would have had."""
    found = audit(RIGHT, {**TOLD, "g": "ok"})
    assert (found.lost, found.doubled, found.ghosts, found.sums) == (1, 0, 0, 0)
    assert "g was acknowledged and is not there" in found.violations["lost"]


@pytest.mark.parametrize("outcome", ["failed", "refused"])
def test_an_order_that_was_answered_with_a_failure_must_not_be_there(outcome: str) -> None:
    """A definite failure with an effect is a violation of its own."""
    found = audit(RIGHT, {**TOLD, "b": outcome})
    assert (found.lost, found.doubled, found.ghosts, found.sums) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda t: replace(t, portfolios=[(1, Decimal(1000), Decimal(775) + PRICE)]),
        lambda t: replace(t, holdings=[(1, 7, 19)]),
        lambda t: replace(t, entries=t.entries[:2]),
        lambda t: replace(t, entries=[("x", *t.entries[0][1:]), *t.entries[1:]]),
    ],
    ids=["cash", "shares", "entry gone", "entry under another id"],
)
def test_sums_that_do_not_add_up_are_found(break_it: Callable[[Tables], Tables]) -> None:
    """Cash, shares and entries must agree to the last digit."""
    found = audit(break_it(RIGHT), TOLD)
    assert found.sums >= 1
    assert found.doubled == 0


def test_the_clients_id_is_what_stands_before_the_colon() -> None:
    """Keys with and without an own part have the same client."""
    assert [client("5f-rc-1-2"), client("5f-rc-1-2:0a1b")] == ["5f-rc-1-2"] * 2
