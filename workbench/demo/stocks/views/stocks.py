"""The list of stocks, one stock, its price history."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from stalwart import database_retry
from workbench.demo.stocks import figures
from workbench.demo.stocks.models import Company
from workbench.demo.stocks.records import (
    bar_record,
    company_record,
    history_records,
    latest_bars,
    ratios_record,
)
from workbench.demo.stocks.views.parameters import BadParameterError, whole

PAGE = 25
LARGEST_PAGE = 500
DAYS = 30
LONGEST = 20_000


@require_GET
@database_retry
def index(request: HttpRequest) -> JsonResponse:
    """``/api/stocks/?limit=&offset=``: the companies with their latest prices.

    **An N+1, on purpose**: exchange and bars are fetched company by company.
    """
    try:
        limit = whole(request, "limit", PAGE, 1, LARGEST_PAGE)
        offset = whole(request, "offset", 0, 0, 10**9)
    except BadParameterError as error:
        return JsonResponse({"error": str(error)}, status=400)
    results = []
    for company in Company.objects.order_by("symbol")[offset : offset + limit]:
        bars = latest_bars(company, 2)
        results.append(
            {
                **company_record(company),
                "latest": bar_record(bars[-1]),
                "change": figures.change(float(bars[-1].close), float(bars[0].close)),
            }
        )
    return JsonResponse(
        {"count": Company.objects.count(), "limit": limit, "offset": offset, "results": results}
    )


@require_GET
@database_retry
def detail(request: HttpRequest, symbol: str) -> JsonResponse:
    """``/api/stocks/<symbol>/``: everything about one company."""
    company = get_object_or_404(Company, symbol=symbol)
    bars = latest_bars(company, figures.TRADING_DAYS)
    closes = [float(bar.close) for bar in bars]
    return JsonResponse(
        {
            **company_record(company),
            "latest": bar_record(bars[-1]),
            "ratios": ratios_record(company, bars[-1].close),
            "change": figures.change(closes[-1], closes[-2]) if len(closes) > 1 else None,
            "change_in_a_year": figures.change(closes[-1], closes[0]),
            "volatility": figures.volatility(closes),
            "high_in_a_year": max(bar.high for bar in bars),
            "low_in_a_year": min(bar.low for bar in bars),
        }
    )


@require_GET
@database_retry
def history(request: HttpRequest, symbol: str) -> JsonResponse:
    """``/api/stocks/<symbol>/history/?days=``: the last trading days, the oldest first."""
    try:
        days = whole(request, "days", DAYS, 1, LONGEST)
    except BadParameterError as error:
        return JsonResponse({"error": str(error)}, status=400)
    company = get_object_or_404(Company, symbol=symbol)
    return JsonResponse(
        {
            "symbol": company.symbol,
            "currency": company.currency,
            "days": days,
            "splits": None,
            "bars": history_records(latest_bars(company, days)),
        }
    )
