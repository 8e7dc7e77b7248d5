"""The valuation of a portfolio."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from stalwart import database_retry
from workbench.demo.stocks.models import Portfolio
from workbench.demo.stocks.records import valuation_record


@require_GET
@database_retry
def detail(request: HttpRequest, key: int) -> JsonResponse:
    """``/api/portfolios/<id>/``: cash, positions and total (an N+1, on purpose: see ``position_records``)."""
    return JsonResponse(valuation_record(get_object_or_404(Portfolio, pk=key)))
