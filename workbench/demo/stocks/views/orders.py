"""Placing an order."""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from workbench.demo.stocks import orders


@csrf_exempt  # an API without cookies has nothing that another site could ride on
@require_POST
def create(request: HttpRequest) -> JsonResponse:
    """``POST /api/orders/`` with JSON ``{id, portfolio, symbol, side, quantity}``.

    201 executed now; 200 with ``"duplicate": true`` executed earlier under this id; 400, 404 and 409 refused for certain.
    Other errors are the middleware's: 503 ``{"outcome": "unknown"}`` is the one answer after which the order may be there.
    """
    try:
        try:
            data = json.loads(request.body)
        except ValueError:
            raise orders.OrderRefusedError(400, "the body is not JSON") from None
        result = orders.place_order(orders.OrderIntent.from_json(data))
    except orders.OrderRefusedError as refusal:
        return JsonResponse({"error": refusal.reason}, status=refusal.status)
    return JsonResponse(result.as_dict(), status=200 if result.duplicate else 201)
