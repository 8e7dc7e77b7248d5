"""A watchlist."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from stalwart import database_retry
from workbench.demo.stocks import figures
from workbench.demo.stocks.models import Watchlist
from workbench.demo.stocks.records import company_record, latest_bars


@require_GET
@database_retry
def detail(request: HttpRequest, key: int) -> JsonResponse:
    """``/api/watchlists/<id>/``: the companies with their latest prices (an N+1, on purpose)."""
    watchlist = get_object_or_404(Watchlist, pk=key)
    companies = []
    for company in watchlist.companies.order_by("symbol"):
        closes = [bar.close for bar in latest_bars(company, 20)]
        companies.append(
            {
                **company_record(company),
                "price": closes[-1],
                "change": figures.change(float(closes[-1]), float(closes[-2])) if len(closes) > 1 else None,
                "volatility": figures.volatility([float(close) for close in closes]),
                "alert_above": None,
                "alert_below": None,
            }
        )
    return JsonResponse(
        {
            "id": watchlist.pk,
            "name": watchlist.name,
            "owner": watchlist.owner,
            "note": watchlist.note,
            "shared_with": None,
            "companies": companies,
        }
    )
