"""The JSON forms of the models: nulls and all, money as decimal strings, computed figures as unrounded floats."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.forms.models import model_to_dict

from workbench.demo.stocks import figures
from workbench.demo.stocks.models import Company, DailyBar, Exchange, Portfolio

Record = dict[str, Any]


def exchange_record(exchange: Exchange) -> Record:
    """Every field but the database's own key, which would say nothing to a client."""
    return model_to_dict(exchange, exclude=["id"])


def company_record(company: Company) -> Record:
    """Every field, the exchange in full; computed ratios are floats, and None where a part is unknown."""
    record = model_to_dict(company, exclude=["id", "exchange"])
    record["exchange"] = exchange_record(company.exchange)
    return record


def latest_bars(company: Company, number: int) -> list[DailyBar]:
    """The company's last bars, the oldest first."""
    return list(company.bars.order_by("-date")[:number])[::-1]


def ratios_record(company: Company, close: Decimal) -> Record:
    """What analysts divide by what."""

    def over(part: Decimal | None) -> float | None:
        return float(part) / float(close) if part is not None else None

    earnings = company.earnings_per_share
    return {
        "price_to_earnings": float(close) / float(earnings) if earnings else None,
        "earnings_yield": over(earnings),
        "dividend_yield": over(company.dividend_per_share),
        "price_to_book": None,
        "debt_to_equity": None,
        "beta": None,
    }


def bar_record(bar: DailyBar) -> Record:
    """One trading day."""
    return model_to_dict(bar, exclude=["id", "company"])


def history_records(bars: Sequence[DailyBar]) -> list[Record]:
    """Trading days with what a chart draws over them."""
    closes = [float(bar.adjusted_close) for bar in bars]
    extra = zip(
        figures.changes(closes),
        figures.moving_averages(closes, 20),
        figures.moving_averages(closes, 50),
        strict=True,
    )
    return [
        {**bar_record(bar), "change": change, "sma_20": short, "sma_50": long}
        for bar, (change, short, long) in zip(bars, extra, strict=True)
    ]


def position_records(portfolio: Portfolio) -> list[Record]:
    """The portfolio's holdings at their latest prices.

    **An N+1, on purpose**: company and latest bar are fetched holding by holding, as code that grew does it.
    """
    positions = []
    for holding in portfolio.holdings.filter(quantity__gt=0).order_by("id"):
        company = holding.company
        bars = latest_bars(company, 2)
        value = bars[-1].close * holding.quantity
        positions.append(
            {
                "symbol": company.symbol,
                "name": company.name,
                "currency": company.currency,
                "sector": company.sector,
                "isin": company.isin,
                "quantity": holding.quantity,
                "price": bars[-1].close,
                "price_date": bars[-1].date,
                "value": value,
                "change": figures.change(float(bars[-1].close), float(bars[0].close)),
                "stop_loss": None,
                "target_price": None,
                "note": None,
            }
        )
    return positions


def valuation_record(portfolio: Portfolio) -> Record:
    """The portfolio with its positions, their weights, and what it is worth in all."""
    positions = position_records(portfolio)
    total = portfolio.cash + sum((position["value"] for position in positions), Decimal())
    for position in positions:
        position["weight"] = float(position["value"]) / float(total) if total else None
    return {
        **model_to_dict(portfolio),
        "positions": positions,
        "total": total,
        "cash_weight": float(portfolio.cash) / float(total) if total else None,
        "result": figures.change(float(total), float(portfolio.opening_cash)),
        "risk_profile": None,
        "last_review": None,
    }
