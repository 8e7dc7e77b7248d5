"""The demo's data, made from a seed: the same seed and size give the same rows on every platform and numpy release.

To hold that promise only what is guaranteed is used: the raw 64-bit stream of PCG64 (numpy keeps bit generators
stable, not its distributions), integer sums, and the IEEE operations ``+ - * /`` one at a time. No logarithm or
exponential, whose last digit differs between mathematical libraries.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import count, repeat
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from workbench.demo.stocks import words

#: The last trading day. Fixed, so that nothing depends on the day on which data are made.
LAST_DAY = dt.date(2026, 6, 30)
MOMENT = dt.datetime(2026, 6, 30, 17, 30, tzinfo=dt.UTC)
OPENING_CASH = Decimal(10_000_000)
#: One trading day in PostgreSQL's COPY text form, which the loader for other databases reads too.
BAR = "%d\t%d\t%s\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%d\t%s\t%s\n"
BAR_COLUMNS = (
    "id", "company_id", "date", "open", "high", "low", "close", "adjusted_close", "volume", "trades", "dividend",
)  # fmt: skip

Floats = npt.NDArray[np.float64]
T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much data, and from which seed.

    Raises:
        ValueError: when the numbers do not go together.
    """

    companies: int = 50
    bars: int = 25_000
    portfolios: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        if self.companies < 1 or self.portfolios < 1 or self.seed < 0:
            raise ValueError(f"{self}: companies and portfolios must be at least 1 and the seed not negative")
        if self.bars < self.companies:
            raise ValueError(
                f"{self.bars} bars for {self.companies} companies: every company needs at least one"
            )

    def days(self, company: int) -> int:
        """How many bars the company (counted from 0) gets; together exactly ``bars``."""
        return self.bars // self.companies + (company < self.bars % self.companies)


class Draw:
    """Random draws from one stream, named by whole numbers, so that one table's size does not shift another's values."""

    def __init__(self, *name: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(name))

    def below(self, limit: int) -> int:
        """A whole number from 0 up to, and without, ``limit``."""
        return int(self._bits.random_raw()) % limit

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self.below(len(choices))]

    def maybe(self, percent: int, value: T) -> T | None:
        """The value in so many of a hundred cases, else None."""
        return value if self.below(100) < percent else None

    def digits(self, length: int) -> str:
        """So many decimal digits."""
        return str(self.below(10**length)).zfill(length)

    def uniform(self, length: int) -> Floats:
        """Numbers from 0 up to 1."""
        raw = np.asarray(self._bits.random_raw(length), dtype=np.uint64)
        return (raw >> np.uint64(32)).astype(np.float64) / 2.0**32

    def noise(self, length: int) -> Floats:
        """About normal with mean 0 and deviation 1: twelve uniform numbers summed as integers, so exactly."""
        raw = np.asarray(self._bits.random_raw(length * 12), dtype=np.uint64) >> np.uint64(32)
        sums = raw.astype(np.int64).reshape(length, 12).sum(axis=1) - 6 * 2**32
        normal: Floats = sums.astype(np.float64) / 2.0**32
        return normal


def cents(values: Floats) -> Floats:
    """Rounded to whole cents."""
    rounded: Floats = np.rint(values * 100.0) / 100.0
    return rounded


def symbol(index: int) -> str:
    """A four-letter symbol, distinct for the first 456,976 companies (7919 has no factor in common with 26)."""
    number = (index * 7919 + 54_321) % 26**4
    letters = []
    for _ in range(4):
        number, letter = divmod(number, 26)
        letters.append(chr(ord("A") + letter))
    return "".join(letters)


class Dataset:
    """All rows for one size and seed."""

    def __init__(self, size: Size) -> None:
        self.size = size

    @cached_property
    def closes(self) -> list[Floats]:
        """Per company its closing prices, a random walk of about 1.5 % a day, kept between 1 and 100,000."""
        walks = []
        for company in range(self.size.companies):
            draw = Draw(self.size.seed, 1, company)
            start = 10.0 + draw.below(30_000) / 100.0
            steps = 1.0 + (0.0002 + 0.015 * draw.noise(self.size.days(company)))
            walks.append(cents(np.clip(start * np.multiply.accumulate(steps), 1.0, 100_000.0)))
        return walks

    @cached_property
    def dates(self) -> list[str]:
        """The trading days, Monday to Friday, up to the last day, as ISO texts."""
        back = np.arange(self.size.days(0) - 1, -1, -1)
        return [str(day) for day in np.busday_offset(np.datetime64(LAST_DAY), -back)]

    def exchanges(self) -> Iterator[Row]:
        """The market places; the same ones at every size."""
        names = ("code", "name", "country", "city", "timezone", "currency", "website")
        for key, values in enumerate(words.EXCHANGES, 1):
            yield {"id": key, **dict(zip(names, values, strict=True))}

    def companies(self) -> Iterator[Row]:
        """The companies; most of the optional fields are None."""
        for index in range(self.size.companies):
            yield self._company(index)

    def _company(self, index: int) -> Row:
        draw = Draw(self.size.seed, 2, index)
        exchange = draw.below(len(words.EXCHANGES))
        name = f"{draw.pick(words.FIRST)} {draw.pick(words.SECOND)} {draw.pick(words.FORM)}"
        sector, industries = draw.pick(words.SECTORS)
        host = name.lower().rstrip(".").replace(" ", "-")
        shares = 1_000_000 + draw.below(900_000_000)
        cap = Decimal(str(self.closes[index][-1])) * shares
        pays = draw.below(100) < 55
        sentences = [
            f"{name} {draw.pick(words.DOES)} {draw.pick(words.THINGS)} in {draw.pick(words.PLACES)}."
            for _ in range(1 + draw.below(3))
        ]
        return {
            "id": index + 1,
            "symbol": symbol(index),
            "name": name,
            "exchange_id": exchange + 1,
            "currency": "USD",  # quoted in one currency everywhere, so that portfolios need no conversion
            "sector": draw.maybe(90, sector),
            "industry": draw.maybe(80, draw.pick(industries)),
            "sub_industry": None,
            "isin": draw.maybe(70, words.EXCHANGES[exchange][2] + draw.digits(10)),
            "cusip": draw.maybe(20, draw.digits(9)),
            "lei": draw.maybe(35, draw.digits(20)),
            "figi": draw.maybe(15, "BBG" + draw.digits(9)),
            "ceo": draw.maybe(60, f"{draw.pick(words.GIVEN)} {draw.pick(words.FAMILY)}"),
            "employees": draw.maybe(65, 40 + draw.below(60_000)),
            "founded": draw.maybe(55, 1850 + draw.below(170)),
            "ipo_date": draw.maybe(40, dt.date(1980, 1, 1) + dt.timedelta(days=draw.below(15_000))),
            "city": draw.maybe(75, draw.pick(words.CITIES)),
            "state": None,
            "country": words.EXCHANGES[exchange][2],
            "phone": draw.maybe(30, f"+00 555 {draw.digits(6)}"),
            "website": draw.maybe(70, f"https://{host}.example"),
            "logo_url": draw.maybe(25, f"https://cdn.example/logos/{host}.svg"),
            "description": draw.maybe(85, " ".join(sentences)),
            "fiscal_year_end": draw.maybe(50, draw.pick(("12-31", "03-31", "06-30"))),
            "market_cap": draw.maybe(80, cap),
            "shares_outstanding": draw.maybe(80, shares),
            "earnings_per_share": draw.maybe(75, Decimal(draw.below(140_000) - 20_000) / 10_000),
            "dividend_per_share": Decimal(draw.below(40_000) + 500) / 10_000 if pays else None,
            "ex_dividend_date": LAST_DAY - dt.timedelta(days=draw.below(90)) if pays else None,
            "next_earnings_date": draw.maybe(45, LAST_DAY + dt.timedelta(days=1 + draw.below(90))),
            "parent_company": None,
            "credit_rating": draw.maybe(30, draw.pick(words.RATINGS)),
            "esg_rating": draw.maybe(20, draw.pick(words.RATINGS)),
            "analyst_note": draw.maybe(15, draw.pick(words.NOTES)),
            "delisted_on": None,
            "delisting_reason": None,
        }

    def bars(self) -> Iterator[str]:
        """The daily bars as COPY text (``BAR_COLUMNS``, ``\\N`` for NULL), one text for each company."""
        first = 1
        for company, close in enumerate(self.closes):
            yield self._bars(company, close, first)
            first += len(close)

    def _bars(self, company: int, close: Floats, first: int) -> str:
        draw = Draw(self.size.seed, 3, company)
        days = len(close)
        opening = np.maximum(
            cents(np.concatenate((close[:1], close[:-1])) * (1.0 + 0.004 * draw.noise(days))), 0.01
        )
        high = cents(np.maximum(opening, close) * (1.0 + 0.01 * draw.uniform(days)))
        low = np.maximum(cents(np.minimum(opening, close) * (1.0 - 0.01 * draw.uniform(days))), 0.01)
        volume = (20_000 + 4_000_000 * draw.uniform(days)).astype(np.int64)
        trades = [
            str(number // 180) if known > 0.3 else r"\N"
            for number, known in zip(volume.tolist(), draw.uniform(days).tolist(), strict=True)
        ]
        # A dividend each quarter; the adjusted close takes the later ones off the earlier prices, as vendors do.
        left = np.arange(days, dtype=np.int64)[::-1] // 63
        adjusted = close / (1.0 + 0.004 * left.astype(np.float64))
        paid = np.arange(days)[::-1] % 63 == 31
        dividends = [
            f"{amount:.4f}" if due else r"\N"
            for amount, due in zip((close * 0.004).tolist(), paid.tolist(), strict=True)
        ]
        columns = zip(
            count(first), repeat(company + 1), self.dates[-days:], opening.tolist(), high.tolist(), low.tolist(),
            close.tolist(), adjusted.tolist(), volume.tolist(), trades, dividends,
        )  # fmt: skip
        return "".join([BAR % row for row in columns])

    def portfolios(self) -> Iterator[Row]:
        """The portfolios, with what is left in cash after their first orders."""
        spent: dict[int, Decimal] = {}
        for order in self.orders():
            spent[order["portfolio_id"]] = (
                spent.get(order["portfolio_id"], Decimal()) + order["price"] * order["quantity"]
            )
        for key in range(1, self.size.portfolios + 1):
            draw = Draw(self.size.seed, 4, key)
            owner = f"{draw.pick(words.GIVEN)} {draw.pick(words.FAMILY)}"
            yield {
                "id": key,
                "name": f"{draw.pick(('Growth', 'Income', 'Pension', 'Balanced', 'Reserve'))} {key}",
                "owner": owner,
                "currency": "USD",
                "opening_cash": OPENING_CASH,
                "cash": OPENING_CASH - spent.get(key, Decimal()),
                "benchmark": None,
                "note": draw.maybe(20, draw.pick(words.NOTES)),
            }

    def orders(self) -> Iterator[Row]:
        """The first orders: every share in the data was bought by one, so the sums can be checked from the start."""
        key = count(1)
        for portfolio in range(1, self.size.portfolios + 1):
            draw = Draw(self.size.seed, 5, portfolio)
            chosen = sorted({draw.below(self.size.companies) for _ in range(6 + draw.below(10))})
            for company in chosen:
                yield {
                    "id": next(key),
                    "reference": f"seed-{portfolio}-{company + 1}",
                    "portfolio_id": portfolio,
                    "company_id": company + 1,
                    "side": "buy",
                    "quantity": 1 + draw.below(40),
                    "price": Decimal(str(self.closes[company][-1])),
                    "placed_at": MOMENT,
                }

    def holdings(self) -> Iterator[Row]:
        """What the first orders bought."""
        for order in self.orders():
            yield {name: order[name] for name in ("id", "portfolio_id", "company_id", "quantity")}

    def entries(self) -> Iterator[Row]:
        """The ledger of the first orders."""
        cash: dict[int, Decimal] = {}
        for order in self.orders():
            portfolio = order["portfolio_id"]
            delta = -order["price"] * order["quantity"]
            cash[portfolio] = cash.get(portfolio, OPENING_CASH) + delta
            yield {
                "id": order["reference"],
                "order_id": order["id"],
                "portfolio_id": portfolio,
                "company_id": order["company_id"],
                "cash_delta": delta,
                "share_delta": order["quantity"],
                "cash_after": cash[portfolio],
                "written_at": MOMENT,
            }

    def watchlists(self) -> Iterator[Row]:
        """One watchlist for each portfolio's owner."""
        for portfolio in self.portfolios():
            yield {
                "id": portfolio["id"],
                "name": f"Watched by {portfolio['owner']}",
                "owner": portfolio["owner"],
                "note": None,
            }

    def watched(self) -> Iterator[Row]:
        """Which company is on which watchlist."""
        key = count(1)
        for watchlist in range(1, self.size.portfolios + 1):
            draw = Draw(self.size.seed, 6, watchlist)
            for company in sorted({draw.below(self.size.companies) for _ in range(4 + draw.below(9))}):
                yield {"id": next(key), "watchlist_id": watchlist, "company_id": company + 1}
