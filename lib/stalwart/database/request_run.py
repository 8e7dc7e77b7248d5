"""One request whose view may be run again: what it did so far, and what is to be done when it fails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from stalwart import events
from stalwart.conf import DatabaseConfig
from stalwart.database.classification import classify
from stalwart.database.driver import as_text
from stalwart.database.failed_call import FailedCall
from stalwart.database.request_snapshot import Snapshot, read_ahead
from stalwart.database.retry_plan import RetryPlan
from stalwart.database.settling import Execute
from stalwart.database.statements import describe
from stalwart.database.watch import CallWatch
from stalwart.exceptions import CommitOutcomeUnknown
from stalwart.policies.backoff import Backoff
from stalwart.policies.budget import RetryBudget
from stalwart.policies.marker import mark, note

NAME = "_stalwart_run"
"""Name of the attribute of a request that holds its `Run` while it is under way."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_BACKOFF = Backoff(base=0.05, multiplier=2.0, cap=1.0)
# Django makes these answers of the 4xx kind: the view has decided, even if a database error was on its mind.
_ANSWERS = (Http404, PermissionDenied, SuspiciousOperation, BadRequest, MultiPartParserError)

_FUNCTIONS = "it has called functions of the database that may have written"


class RunWatch(CallWatch):
    """Mistrusts functions, too: nobody has said of this view that it may be called twice.

    Attributes:
        called: it committed, or may have, a statement that reads by its words and calls functions that are not known.
    """

    __slots__ = ("called",)

    def __init__(self, connections: Iterable[BaseDatabaseWrapper] = (), *, shared: bool = False) -> None:
        super().__init__(connections, shared=shared)
        self.called = False

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if self.concerns_this_context and describe(as_text(context["connection"], sql)).opaque:
            connection: BaseDatabaseWrapper = context["connection"]
            if connection.in_atomic_block:
                connection.on_commit(self._on_call)  # forgotten when it is rolled back
            else:
                self.called = True
        return super().__call__(execute, sql, params, many, context)

    def _on_call(self) -> None:
        self.called = True


class NotTheAnswer(HttpResponse):
    """What Django carries out of the middle of a request whose view is to run again; it never gets to the client."""

    def __init__(self) -> None:
        super().__init__(status=503)


class Raising(SimpleTemplateResponse):
    """Brings an error other than the view's before all middleware: Django shows them what fails in rendering.

    Attributes:
        error: what it raises.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(template=(), context={}, status=500)
        self.error = error

    def render(self) -> HttpResponse:  # type: ignore[override]
        """Raises it."""
        raise self.error


class Run:
    """The runs of one request's view.

    Attributes:
        watch: over the databases, for the coming or running run.
        again: the run that just ended is to be followed by another one.
    """

    def __init__(
        self,
        request: HttpRequest,
        body: bytes,
        config: DatabaseConfig,
        watched: Sequence[BaseDatabaseWrapper],
        *,
        shared: bool,
        before: BaseException | None,
    ) -> None:
        request.__dict__[NAME] = self  # before the snapshot: it is put back with the rest
        self.again = False
        self.watch = RunWatch(watched, shared=shared)
        self._request = request
        self._began_safe = request.method in SAFE_METHODS
        self._snapshot = Snapshot(request, body)
        self._config = config
        self._shared = shared
        self._before = before
        self._runs = 1
        self._state: _Failures | None = None
        self._last: tuple[str, str, str | None] | None = None
        self._failed_at = 0.0
        self._left = False
        self._leaving: threading.Event | None = (
            None  # made by the first failure: it is dearer than all the rest
        )

    @classmethod
    def begin(
        cls, request: HttpRequest, config: DatabaseConfig, *, shared: bool, before: BaseException | None
    ) -> Run | None:
        """The first run, None for a request that surely is not run again. In the thread of the ORM."""
        if request.method not in SAFE_METHODS and not _atomic_aliases():
            return None
        watched = connections.all()
        if any(_is_taken(each) for each in watched):
            return None
        body = read_ahead(request, config.request_body_bytes)
        if body is None or request.__dict__.get("_files"):
            return None  # files that middleware has asked for: where they were read to is not known
        try:
            return cls(request, body, config, watched, shared=shared, before=before)
        except Exception:  # noqa: BLE001  what cannot be copied cannot be put back
            del request.__dict__[NAME]
            return None

    def renew(self) -> None:
        """The next run."""
        self.again = False
        self._runs += 1
        self.watch = RunWatch(self.watch.connections, shared=self._shared)

    def failed(self, failure: Exception) -> HttpResponse | None:
        """The view has failed. Waits when it is to run again; None for an error that goes its way."""
        if isinstance(failure, _ANSWERS) or not self._may_run_again():
            return None
        if self.watch.called:
            if classify(failure, self._before) is not None:
                note(
                    failure, f"RequestRetryMiddleware did not run {_name(self._request)} again: {_FUNCTIONS}."
                )
            return None
        traceback = failure.__traceback__
        if self._state is None:
            self._failed_at = time.monotonic()
            self._state = _Failures(_plan(self._config), _name(self._request), self._before)
        try:
            wait = self._state.after(failure, self.watch)
        except CommitOutcomeUnknown as unknown:
            return None if unknown is failure else Raising(unknown)
        except Exception:  # noqa: BLE001  it is the failure, with a note where there is something to say
            failure.__traceback__ = traceback
            return None
        if not self._wait(wait, failure):
            return None
        self._last = self._state.error(failure)
        self._snapshot.put_back()
        self.again = True
        return NotTheAnswer()

    def answered(self, response: HttpResponseBase, budget: RetryBudget) -> None:
        """This goes to the client."""
        if isinstance(
            response, Raising
        ):  # nobody has rendered it: what failed was the rendering of another one
            raise response.error
        if self._state is None:
            if budget.low:
                budget.deposit()
        elif self._last is not None:
            seconds = time.monotonic() - self._failed_at
            if response.status_code < 500:
                self._state.succeeded()
            events.emit(
                events.RequestRetried(
                    _name(self._request), self._runs, seconds, response.status_code, *self._last
                )
            )

    def leave(self) -> None:
        """It is over. A thread that still waits for a connection, for a request that was cancelled, need not."""
        self._left = True
        if self._leaving is not None:
            self._leaving.set()
        self._request.__dict__.pop(NAME, None)

    def _may_run_again(self) -> bool:
        if any(_is_taken(each) for each in self.watch.connections) or self._snapshot.is_stale:
            return False
        # Middleware may have given it another method since.
        safe = self._began_safe and self._request.method in SAFE_METHODS
        return safe or _is_atomic(self._request)

    def _wait(self, wait: float, failure: Exception) -> bool:
        """Whether there are usable connections, and somebody still waits for the answer."""
        state = self._state
        assert state is not None
        self._leaving = leaving = threading.Event()
        if self._left:  # looked at after the event is there to be set
            return False
        state.release(self.watch)
        for reconnection in state.reconnections(self.watch):
            while not reconnection.attempt():
                pause = reconnection.next_wait()
                if pause is None:
                    state.out_of_time(failure, reconnection)
                    return False
                if leaving.wait(pause):
                    return False
            state.restored(reconnection)
            wait -= reconnection.seconds  # it was time waited, too
        return not leaving.wait(max(0.0, wait))


class _Failures(FailedCall):
    """As under `database_retry`, in the words of a request."""

    def __init__(self, plan: RetryPlan, name: str, before: BaseException | None) -> None:
        super().__init__(plan, name)
        self._before = before  # Django is handling the failure itself, and that is no reason to overlook it

    def _given_up(self, failure: Exception, reason: str) -> Exception:
        runs = f"Runs of the view: {self._calls}"
        note(failure, f"RequestRetryMiddleware gave up on {self._name}: {reason}. {runs}.")
        mark(failure)
        events.emit(events.RetryGivenUp(self._name, self._calls, reason, *self.error(failure)))
        return failure


def _plan(config: DatabaseConfig) -> RetryPlan:
    return RetryPlan(
        max_retries=config.request_retries,
        backoff=_BACKOFF,
        aliases=None,
        on_types=(),
        on_classes=frozenset(),
        random=random.random,
        clock=time.monotonic,
        sleep=time.sleep,
        budget=RetryBudget("database"),
    )


def _name(request: HttpRequest) -> str:
    match = request.resolver_match
    return f"{request.method} {'?' if match is None else match.view_name}"


def _is_taken(connection: BaseDatabaseWrapper) -> bool:
    """Whether somebody around us has a transaction open, or means to: it is his to be repeated."""
    # `autocommit` is False before the first connect as well, so a closed connection says nothing.
    return connection.in_atomic_block or (connection.connection is not None and not connection.autocommit)


def _atomic_aliases() -> set[str]:
    return {alias for alias, options in connections.settings.items() if options["ATOMIC_REQUESTS"]}


def _is_atomic(request: HttpRequest) -> bool:
    """Whether Django makes a transaction of the view on every database that asks for it."""
    match, aliases = request.resolver_match, _atomic_aliases()
    exempt: set[str] = getattr(match.func, "_non_atomic_requests", set()) if match is not None else aliases
    return bool(aliases) and not aliases & exempt
