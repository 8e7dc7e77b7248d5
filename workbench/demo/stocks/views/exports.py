"""Everything at once."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from stalwart import database_retry
from workbench.demo.stocks.models import Company, DailyBar
from workbench.demo.stocks.records import bar_record, company_record


@require_GET
@database_retry
def everything(request: HttpRequest) -> JsonResponse:
    """``/api/export/``: all companies and all bars.

    **Loads everything, on purpose**: every row becomes a model, a dict and text before the first byte leaves.
    """
    companies = {
        company.pk: company for company in Company.objects.select_related("exchange").order_by("symbol")
    }
    bars = list(DailyBar.objects.order_by("company_id", "date"))
    return JsonResponse(
        {
            "companies": [company_record(company) for company in companies.values()],
            "bars": [{"symbol": companies[bar.company_id].symbol, **bar_record(bar)} for bar in bars],
            "exported": {"companies": len(companies), "bars": len(bars)},
        }
    )
