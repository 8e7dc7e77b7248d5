"""The pages for a browser."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from stalwart import database_retry
from workbench.demo.stocks import figures
from workbench.demo.stocks.models import Company, Portfolio
from workbench.demo.stocks.records import latest_bars, valuation_record
from workbench.demo.stocks.sparkline import points

LISTED = 50
SHOWN = 60


@require_GET
@database_retry
def index(request: HttpRequest) -> HttpResponse:
    """``/``: the first companies and portfolios (an N+1, on purpose)."""
    rows = []
    for company in Company.objects.order_by("symbol")[:LISTED]:
        bars = latest_bars(company, 30)
        closes = [float(bar.close) for bar in bars]
        rows.append(
            {
                "company": company,
                "bar": bars[-1],
                "change": figures.change(closes[-1], closes[-2]) * 100 if len(closes) > 1 else None,
                "points": points(closes, 120, 28),
            }
        )
    portfolios = Portfolio.objects.order_by("pk")[:LISTED]
    return render(request, "stocks/index.html", {"rows": rows, "portfolios": portfolios})


@require_GET
@database_retry
def stock(request: HttpRequest, symbol: str) -> HttpResponse:
    """``/stocks/<symbol>/``: one company with its price history."""
    company = get_object_or_404(Company.objects.select_related("exchange"), symbol=symbol)
    bars = latest_bars(company, SHOWN)
    closes = [float(bar.close) for bar in bars]
    changes = [step * 100 if step is not None else None for step in figures.changes(closes)]
    context = {
        "company": company,
        "bar": bars[-1],
        "history": list(zip(bars, changes, strict=True))[::-1],
        "points": points(closes, 640, 160),
        "low": min(closes),
        "high": max(closes),
    }
    return render(request, "stocks/stock.html", context)


@require_GET
@database_retry
def portfolio(request: HttpRequest, key: int) -> HttpResponse:
    """``/portfolios/<id>/``: what a portfolio holds and is worth."""
    found = get_object_or_404(Portfolio, pk=key)
    recent = found.orders.select_related("company").order_by("-pk")[:20]
    valuation = valuation_record(found)
    return render(
        request, "stocks/portfolio.html", {"portfolio": found, "valuation": valuation, "orders": recent}
    )
