"""`RequestRetryMiddleware`: a view that failed in a way that passes is run again, before the client hears of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from stalwart import django_conf
from stalwart.conf import DatabaseConfig
from stalwart.database.request_run import NAME, Run
from stalwart.database.watch import CallWatch, entered, watched
from stalwart.policies.budget import RetryBudget

GetResponse: TypeAlias = (
    Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]
)


class RequestRetryMiddleware:
    """Runs a failed view again, up to `STALWART["DATABASE"]["REQUEST_RETRIES"]` times; for WSGI and ASGI.

    List it last: what stands behind it may make an answer of the error first. Django then resolves the URL again, calls
    `process_view` and the view, and renders; outer middleware sees one request and one response. Before a repeat the request
    is put back to what it was (`stalwart.database.request_snapshot`), and after a lost connection it waits for a usable one
    within `RECONNECT_WITHIN` per request, holding none.

    A view is run again after the errors that `database_retry` repeats for, and

    * by a safe method (GET, HEAD, OPTIONS) if nothing it wrote is committed. A SELECT counts as writing here when it calls
      functions that are not known (`stalwart.database.statements`);
    * by another method if, moreover, Django has made it one transaction: ATOMIC_REQUESTS on a database, and not
      taken back by `non_atomic_requests` on any that has it;
    * with a body that is no larger than `REQUEST_BODY_BYTES` and was not partly read by other middleware. It is read
      before the first run;
    * if the outcome is known, nothing below has given up on the same error already, and no transaction was begun around the
      request. On PostgreSQL a lost COMMIT is looked up as under `database_retry`; when that finds nothing out, the error
      that middleware and logs get to see is `CommitOutcomeUnknown`;
    * if the view did not renew a session (login, logout) that lives outside the database.

    Not covered: what other middleware does (`request.user` in a `process_view`, say: transparent reads are for that); a
    response that fails while it is streamed; frameworks that make a response of the exception inside the view
    (Django REST framework does, for its own exceptions only); what a view does outside its databases (mail, files, caches,
    other threads), which is done again: exempt such a view by `non_atomic_requests`, or do it in `on_commit`. Nor is anything
    repeated that Http404 and the like have answered.

    When the repeats are used up the error goes on as it came, with a note. Off, requests pass through untouched.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._budget = RetryBudget("database")
        self._is_async: bool = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        config = django_conf.current().database
        if not config.request_retries or not config.enabled:
            return self.get_response(request)
        if self._is_async:
            return self._acall(request, config)
        run = Run.begin(request, config, shared=False, before=sys.exception())
        if run is None:
            return self.get_response(request)
        try:
            while True:
                with run.watch:
                    response = cast("HttpResponseBase", self.get_response(request))
                if not run.again:
                    run.answered(response, self._budget)
                    return response
                run.renew()
        finally:
            run.leave()

    async def _acall(self, request: HttpRequest, config: DatabaseConfig) -> HttpResponseBase:
        get_response = cast("Callable[[HttpRequest], Awaitable[HttpResponseBase]]", self.get_response)
        run = await entered(partial(_begin, request, config, sys.exception()))
        if run is None:
            return await get_response(request)

        async def respond() -> HttpResponseBase:
            try:
                return await get_response(request)
            except asyncio.CancelledError:
                # `process_exception` may be waiting in the very thread in which the watch is taken off now.
                run.leave()
                raise

        try:
            while True:
                response = await watched(run.watch, respond, (), {})
                if not run.again:
                    run.answered(response, self._budget)
                    return response
                run.renew()
                await entered(run.watch.enter)
        finally:
            run.leave()

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Called by Django, in the thread of the ORM, for what a view or the rendering of its response raises."""
        run: Run | None = request.__dict__.get(NAME)
        return None if run is None else run.failed(exception)


def _begin(
    request: HttpRequest, config: DatabaseConfig, before: BaseException | None, begun: list[CallWatch]
) -> Run | None:
    run = Run.begin(request, config, shared=True, before=before)
    if run is not None:
        run.watch.enter(begun)
    return run
