"""The invented data, without a database."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import defaultdict
from decimal import Decimal

import pytest

from workbench.demo.stocks.dataset import LAST_DAY, OPENING_CASH, Dataset, Size, symbol

SMALL = Size(companies=7, bars=500, portfolios=4, seed=3)


def digest(size: Size) -> str:
    """A hash over every row of every table."""
    data = Dataset(size)
    tables = [
        data.exchanges(), data.companies(), data.portfolios(), data.orders(), data.holdings(), data.entries(),
        data.watchlists(), data.watched(),
    ]  # fmt: skip
    text = json.dumps([list(rows) for rows in tables], default=str) + "".join(data.bars())
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_same_seed_gives_the_same_rows_on_every_platform() -> None:
    """The rows of one size and seed have this hash, whatever the platform, Python or numpy release."""
    assert digest(SMALL) == "36f48ff8740abdc6f6a0266b02cff8a074bebea876a1346a10e21087d3742286"


def test_another_seed_gives_other_rows() -> None:
    """The seed matters."""
    assert digest(SMALL) != digest(Size(companies=7, bars=500, portfolios=4, seed=4))


@pytest.mark.parametrize(("companies", "bars"), [(1, 1), (7, 500), (7, 503), (9, 9)])
def test_there_are_exactly_as_many_bars_as_asked_for(companies: int, bars: int) -> None:
    """The bars are spread over the companies and none is lost in the rounding."""
    lines = "".join(Dataset(Size(companies=companies, bars=bars)).bars()).splitlines()
    assert len(lines) == bars
    assert [int(line.split("\t")[0]) for line in lines] == list(range(1, bars + 1))
    assert {int(line.split("\t")[1]) for line in lines} == set(range(1, companies + 1))


def test_a_bar_is_plausible() -> None:
    """Low is the least and high the greatest price of the day, days are weekdays and each is there once."""
    days = defaultdict(list)
    for line in "".join(Dataset(SMALL).bars()).splitlines():
        _, company, date, opening, high, low, close, adjusted, volume, *_ = line.split("\t")
        assert 0 < Decimal(low) <= min(Decimal(opening), Decimal(close))
        assert Decimal(high) >= max(Decimal(opening), Decimal(close))
        assert 0 < Decimal(adjusted) <= Decimal(close)
        assert int(volume) > 0
        days[company].append(date)
    for dates in days.values():
        assert dates == sorted(set(dates))
        assert dates[-1] == LAST_DAY.isoformat()
        assert all(dt.date.fromisoformat(date).weekday() < 5 for date in dates)


def test_the_ledger_accounts_for_every_share_and_cent() -> None:
    """What the portfolios have is their opening cash and their ledger, from the first row on."""
    data = Dataset(SMALL)
    moved: dict[int, Decimal] = defaultdict(Decimal)
    shares: dict[tuple[int, int], int] = defaultdict(int)
    for entry in data.entries():
        moved[entry["portfolio_id"]] += entry["cash_delta"]
        shares[entry["portfolio_id"], entry["company_id"]] += entry["share_delta"]
    assert {row["id"]: row["cash"] - OPENING_CASH for row in data.portfolios()} == dict(moved)
    assert {(row["portfolio_id"], row["company_id"]): row["quantity"] for row in data.holdings()} == dict(
        shares
    )


def test_most_optional_facts_are_unknown_and_some_are_known() -> None:
    """Company records carry many nulls, as a data vendor's do."""
    rows = list(Dataset(Size(companies=200, bars=200)).companies())
    values = [value for row in rows for value in row.values()]
    assert 0.3 < sum(value is None for value in values) / len(values) < 0.6


def test_symbols_are_distinct() -> None:
    """No two companies share a symbol."""
    assert len({symbol(index) for index in range(100_000)}) == 100_000


@pytest.mark.parametrize("wrong", [{"companies": 0}, {"bars": 3}, {"portfolios": 0}, {"seed": -1}])
def test_sizes_that_do_not_go_together_are_refused(wrong: dict[str, int]) -> None:
    """A size without companies or portfolios, or with too few bars, is an error that shows the values."""
    with pytest.raises(ValueError, match=r"\d"):
        Size(**{"companies": 5, "bars": 50, **wrong})
