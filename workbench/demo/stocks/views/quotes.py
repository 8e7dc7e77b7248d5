"""A live quote from the external service."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

#: Never through the proxy that the environment names: the service is on this machine.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@require_GET
def detail(request: HttpRequest, symbol: str) -> JsonResponse:
    """``/api/quotes/<symbol>/``: asks the service within ``QUOTES_TIMEOUT`` seconds; what it raises, the middleware answers."""
    if not settings.QUOTES_URL:
        raise ConnectionError("STALWART_DEMO_QUOTES names no quote service")
    url = f"{settings.QUOTES_URL.rstrip('/')}/quotes/{urllib.parse.quote(symbol, safe='')}"
    with opener.open(url, timeout=settings.QUOTES_TIMEOUT) as reply:
        quote = json.loads(reply.read())
    return JsonResponse(
        {"symbol": symbol, "source": "external", **{name: quote[name] for name in ("bid", "ask", "last")}}
    )
