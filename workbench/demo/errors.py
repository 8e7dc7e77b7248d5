"""What the demo answers when a view raises: every error is definite, but for a COMMIT whose outcome nobody knows.

The difference matters to whoever counts orders: after a definite error the order is not there and may be sent again;
after ``{"outcome": "unknown"}`` it may be there, and only its id can tell.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render

from stalwart.exceptions import CommitOutcomeUnknown

logger = logging.getLogger("workbench.demo")

#: The database or the external service is not to be had now: worth another try by the client.
UNAVAILABLE = (OperationalError, InterfaceError, OSError, http.client.HTTPException)


class ErrorMiddleware:
    """Turns exceptions of views into answers: JSON below ``/api/``, a page elsewhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer for one exception; None leaves a missing page to Django."""
        if isinstance(exception, Http404):
            return None
        if isinstance(exception, CommitOutcomeUnknown):
            logger.error("%s: the outcome of COMMIT is unknown", request.path)
            return JsonResponse({"outcome": "unknown"}, status=503)
        kind = type(exception).__name__
        if isinstance(exception, UNAVAILABLE):
            # One line: during an outage every request ends here, and the traceback says nothing new.
            logger.error("%s: %s: %s", request.path, kind, exception)
            return answer(request, 503, f"a service that this needs is not available now ({kind})")
        logger.error("%s: %s", request.path, kind, exc_info=exception)
        # The message may quote data, so only the kind leaves the house.
        return answer(request, 500, f"internal error ({kind})")


def answer(request: HttpRequest, status: int, error: str) -> HttpResponse:
    """One error in the form that the caller reads: JSON for the API, HTML for a browser."""
    if request.path.startswith("/api/"):
        return JsonResponse({"error": error}, status=status)
    return render(request, "stocks/error.html", {"status": status, "error": error}, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler404``."""
    return answer(request, 404, f"nothing at {request.path}")
