"""`RequestRetryMiddleware` in Django's own request handling, sync and async, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import OperationalError, close_old_connections, connections, transaction
from django.db.models import Func, IntegerField
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import Context
from django.template.response import SimpleTemplateResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path, register_converter
from django.urls.converters import StringConverter
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string
from warehouse.models import Account, Entry

import stalwart.database
from stalwart import database_retry, resilient_transaction
from stalwart.conf import DatabaseConfig
from stalwart.database import RequestRetryMiddleware, reads
from stalwart.database.request_run import Run
from stalwart.database.watch import CallWatch
from stalwart.events import (
    ConnectionRestored,
    OutcomeUnknown,
    ReadRetried,
    RequestRetried,
    RetryGivenUp,
    RetryScheduled,
)
from stalwart.exceptions import CommitOutcomeUnknown
from stalwart.policies.budget import RetryBudget
from stalwart.policies.marker import is_marked

pytestmark = pytest.mark.usefixtures("django_db")

OURS = "stalwart.database.RequestRetryMiddleware"
connection: Any = connections["default"]


class Spy:
    """Middleware outside of ours: what it gets to see. Put into MIDDLEWARE by the dotted name of `spy`."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.statuses: list[int] = []
        self.errors: list[Exception] = []
        self.views = 0
        self.templates = 0
        self.before: Callable[[HttpRequest], object] | None = None
        self.around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
        self.answer: HttpResponse | None = None
        self.changes_method_to: str | None = None


spy = Spy()


class SpyMiddleware:
    """Hands all it sees to `spy`; in both forms, so that nothing stands between Django's handler and ours."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        spy.requests.append(request)
        if spy.before is not None:
            spy.before(request)
        if self._is_async:
            return self._acall(request)
        with spy.around():
            response = self.get_response(request)
        spy.statuses.append(response.status_code)
        return response

    async def _acall(self, request: HttpRequest) -> Any:
        response = await self.get_response(request)
        spy.statuses.append(response.status_code)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        spy.views += 1
        request.method = spy.changes_method_to or request.method

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        spy.errors.append(exception)
        return spy.answer

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        spy.templates += 1
        return response


SPY = f"{__name__}.SpyMiddleware"


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    global spy
    spy = Spy()
    sys.modules.setdefault(__name__, sys.modules[SpyMiddleware.__module__])
    with override_settings(
        STALWART={"DATABASE": {"REQUEST_RETRIES": 2}},
        MIDDLEWARE=[SPY, OURS],
        DEBUG_PROPAGATE_EXCEPTIONS=False,
    ):
        yield
    assert "_commit" not in connection.__dict__


@pytest.fixture
def atomic_requests() -> Iterator[None]:
    """ATOMIC_REQUESTS on the default database."""
    connections.settings["default"]["ATOMIC_REQUESTS"] = True
    yield
    connections.settings["default"]["ATOMIC_REQUESTS"] = False


Send = Callable[..., Any]


def patterns(view: Any, route: str) -> Any:
    return override_settings(ROOT_URLCONF=(path(route, view, name="the view"),))


def by_wsgi(
    view: Any, method: str = "get", *data: Any, route: str = "", url: str = "/", **options: Any
) -> Any:
    with patterns(view, route):
        return getattr(Client(raise_request_exception=False), method)(url, *data, **options)


def by_asgi(
    view: Any, method: str = "get", *data: Any, route: str = "", url: str = "/", **options: Any
) -> Any:
    async def main() -> Any:
        try:
            return await getattr(AsyncClient(raise_request_exception=False), method)(url, *data, **options)
        finally:
            left = await sync_to_async(is_watched)()
            await sync_to_async(connections.close_all)()
            assert not left

    with patterns(view, route):
        return asyncio.run(main())


@pytest.fixture(params=["wsgi", "asgi"])
def send(request: pytest.FixtureRequest) -> Send:
    """Send a request to a view that is the whole site."""
    return by_wsgi if request.param == "wsgi" else by_asgi


class Failing:
    """A view's first runs fail.

    Args:
        postgres: whose sessions of this test's database are ended.
        times: how many runs.
    """

    def __init__(self, postgres: Any, times: int = 1) -> None:
        self.runs = 0
        self._postgres = postgres
        self._times = times

    def __call__(self) -> None:
        """Count a run, and end its session if it is one to fail: the next statement meets that."""
        self.runs += 1
        if self.runs <= self._times:
            connections["default"].ensure_connection()
            self._postgres.terminate_backends("library")

    def look(self) -> int:
        """Count a run; read, which fails while it is to fail."""
        self()
        return Account.objects.count()


# -- runs again --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_safe_request_runs_again(postgres, send, seen, method) -> None:
    """A view whose session is lost answers all the same, and outer middleware sees one request and one response."""
    failing = Failing(postgres)
    response = send(lambda request: HttpResponse(f"{failing.look()}"), method)
    assert response.status_code == 200
    assert failing.runs == 2
    assert (len(spy.requests), spy.statuses, spy.errors, spy.views) == (1, [200], [], 2)
    assert [type(event) for event in seen] == [RetryScheduled, ConnectionRestored, RequestRetried]
    assert seen[-1].operation == f"{method.upper()} the view"
    assert (seen[-1].runs, seen[-1].status, seen[-1].error_class, seen[-1].code) == (
        2,
        200,
        "connection",
        "57P01",
    )
    assert not any("stalwart" in name for name in spy.requests[0].__dict__)


@pytest.mark.parametrize("database", [{"REQUEST_RETRIES": 0}, {"REQUEST_RETRIES": 2, "ENABLED": False}])
def test_off_it_passes_through(postgres, send, seen, database) -> None:
    """Off, the error is answered at once, and nothing is put on the request."""
    failing = Failing(postgres)
    with override_settings(STALWART={"DATABASE": database}):
        assert send(lambda request: HttpResponse(f"{failing.look()}")).status_code == 500
    assert failing.runs == 1
    assert seen == []
    assert isinstance(spy.errors[0], OperationalError)


def test_request_without_a_fault_runs_once(send, seen) -> None:
    """Nothing happens, and nothing stays."""
    assert send(lambda request: HttpResponse(f"{Account.objects.count()}")).content == b"0"
    assert seen == []
    assert spy.views == 1


def test_server_restart_is_waited_for(postgres, send, seen) -> None:
    """The whole server is away for a moment; the client only waits."""
    runs = []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        if len(runs) == 1:
            postgres.kill()
            threading.Timer(0.3, postgres.start).start()
        return HttpResponse(f"{Account.objects.count()}")

    assert send(view).content == b"0"
    assert len(runs) == 2
    assert any(isinstance(event, ConnectionRestored) and event.attempts > 1 for event in seen)


def test_lock_that_was_not_to_be_had_is_tried_again(postgres, send, seen) -> None:
    """A failure that leaves the connection alone: the view runs again on it, after a wait."""
    Account.objects.create(name="a")
    runs, pids = [], []
    with postgres.connect("library") as other:
        other.autocommit = False
        other.execute("SELECT FROM warehouse_account FOR UPDATE")

        def view(request: HttpRequest) -> HttpResponse:
            runs.append(1)
            with transaction.atomic():
                pids.append(connections["default"].connection.info.backend_pid)
                try:
                    Account.objects.select_for_update(nowait=True).get()
                finally:
                    other.rollback()
            return HttpResponse("locked")

        assert send(view).content == b"locked"
    assert len(runs) == 2
    assert pids[0] == pids[1]
    assert [event.error_class for event in seen if isinstance(event, RequestRetried)] == ["lock wait"]


# -- how often, how long -------------------------------------------------------------------------------------------------


def test_given_up_after_request_retries(postgres, send, seen) -> None:
    """REQUEST_RETRIES=2 is three runs; the error is seen by middleware once, with a note and a mark."""
    failing = Failing(postgres, times=9)
    assert send(lambda request: HttpResponse(f"{failing.look()}")).status_code == 500
    assert failing.runs == 3
    [error] = spy.errors
    assert (
        "RequestRetryMiddleware gave up on GET the view: max_retries=2 are used up. Runs of the view: 3."
        in error.__notes__
    )
    assert is_marked(error)
    assert isinstance(seen[-2], RetryGivenUp)
    assert (seen[-1].runs, seen[-1].status) == (3, 500)


@override_settings(STALWART={"DATABASE": {"REQUEST_RETRIES": 2, "RECONNECT_WITHIN": 0.3}})
def test_server_that_stays_away_ends_in_the_error(postgres, send, seen) -> None:
    """When no usable connection comes within RECONNECT_WITHIN, the view does not run again."""
    runs = []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        postgres.kill()
        return HttpResponse(f"{Account.objects.count()}")

    began = time.monotonic()
    assert send(view).status_code == 500
    assert time.monotonic() - began < 10
    assert len(runs) == 1
    assert "no usable connection to 'default'" in spy.errors[0].__notes__[0]
    assert is_marked(spy.errors[0])


@override_settings(STALWART={"DATABASE": {"REQUEST_RETRIES": 9, "RECONNECT_WITHIN": 0.5}})
def test_the_time_for_connections_is_one_per_request(postgres, monkeypatch) -> None:
    """Each outage of one request is waited for in what is left of RECONNECT_WITHIN."""
    from stalwart.database.reconnect import Reconnection

    deadlines = []
    plain = Reconnection.attempt

    def attempt(self: Any) -> bool:
        deadlines.append(self._deadline.at)
        return plain(self)

    monkeypatch.setattr(Reconnection, "attempt", attempt)
    failing = Failing(postgres, times=4)
    assert by_wsgi(lambda request: HttpResponse(f"{failing.look()}")).status_code == 200
    assert len(deadlines) >= 4
    assert len(set(deadlines)) == 1


def test_successes_fill_the_budget_that_database_retry_shares(send) -> None:
    """A request that was answered at the first run gives back to the budget of the database."""
    budget = RetryBudget("database")
    budget.debit()
    before = budget.tokens
    send(lambda request: HttpResponse("x"))
    assert budget.tokens == before + 1


def test_repeat_after_an_overload_is_paid_for_and_refunded(seen) -> None:
    """It draws on the same budget as database_retry's, and gives back when it succeeds; with none left there is no repeat."""
    runs = []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        if len(runs) % 2:
            with connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53200'; END $$")
        return HttpResponse("done")

    budget = RetryBudget("database")
    assert by_wsgi(view).status_code == 200
    assert budget.tokens == 500
    while budget.debit():
        pass
    assert by_wsgi(view).status_code == 500
    assert "the retry budget of 'database' is used up" in spy.errors[0].__notes__[0]


def test_while_it_waits_it_holds_no_connection_of_a_pool(configure, keepers, poll) -> None:
    """The only connection of the pool is another thread's until the view runs again."""
    configure(pool={"min_size": 1, "max_size": 1, "timeout": 20})
    order: list[str] = []
    keeper = keepers()
    waiting = []

    def take() -> None:
        Account.objects.count()
        order.append("another thread")
        connections.close_all()

    def view(request: HttpRequest) -> HttpResponse:
        with connection.cursor() as cursor:
            if not waiting:
                waiting.append(keeper.start(take))
                poll(lambda: connection.pool.get_stats().get("requests_waiting"))
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")
        order.append("second run")
        return HttpResponse("done")

    assert by_wsgi(view).status_code == 200
    connection.close()
    waiting[0]()
    assert order == ["another thread", "second run"]


# -- what was written ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["autocommit", "inner atomic"])
def test_safe_request_that_committed_is_not_run_again(postgres, send, write) -> None:
    """A GET that has written: once is enough, and the error says why."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic() if write == "inner atomic" else contextlib.nullcontext():
            Entry.objects.create(text="x")
        return HttpResponse(f"{failing.look()}")

    assert send(view).status_code == 500
    assert failing.runs == 1
    assert Entry.objects.count() == 1
    assert "already committed" in spy.errors[0].__notes__[0]


def test_safe_request_whose_transaction_failed_is_run_again(postgres, send) -> None:
    """What an inner atomic block wrote is rolled back with it; the second run writes it once."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            Entry.objects.create(text="x")
            failing.look()
        return HttpResponse("done")

    assert send(view).status_code == 200
    assert failing.runs == 2
    assert Entry.objects.count() == 1


@pytest.mark.parametrize(("block", "runs"), [("none", 1), ("committed", 1), ("rolled back", 2)])
def test_functions_of_the_database_may_write(postgres, send, block, runs) -> None:
    """A SELECT that calls what nobody knows counts as a write: once it is, or may be, committed there is no second run."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        with contextlib.nullcontext() if block == "none" else transaction.atomic():
            list(Account.objects.annotate(x=Func(function="txid_current", output_field=IntegerField())))
            if block == "rolled back":
                failing.look()
        if block != "rolled back":
            failing.look()
        return HttpResponse("done")

    assert send(view).status_code == (200 if runs == 2 else 500)
    assert failing.runs == runs
    if runs == 1:
        assert "called functions of the database that may have written" in spy.errors[0].__notes__[0]


@pytest.mark.parametrize(("began", "became"), [("get", "POST"), ("post", "GET")])
def test_method_that_middleware_has_changed(postgres, began, became) -> None:
    """Neither what came nor what it was turned into may be unsafe."""
    failing = Failing(postgres)
    spy.changes_method_to = became
    with override_settings(MIDDLEWARE=[SPY, OURS]):
        connections.settings["lite"]["ATOMIC_REQUESTS"] = True
        try:
            view = transaction.non_atomic_requests(lambda request: HttpResponse(f"{failing.look()}"))
            assert by_wsgi(transaction.non_atomic_requests(using="lite")(view), began).status_code == 500
        finally:
            connections.settings["lite"]["ATOMIC_REQUESTS"] = False
    assert failing.runs == 1


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_unsafe_request_without_atomic_requests_is_not_run_again(postgres, send, method) -> None:
    """Even if it has written nothing yet."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        assert not is_watched()  # so it costs nothing either
        return HttpResponse(f"{failing.look()}")

    assert send(view, method).status_code == 500
    assert failing.runs == 1


def is_watched() -> bool:
    return any(isinstance(each, CallWatch) for each in connections["default"].execute_wrappers)


@pytest.mark.parametrize("method", ["post", "delete", "get"])
@pytest.mark.usefixtures("atomic_requests")
def test_request_that_is_one_transaction_is_run_again(postgres, send, seen, method) -> None:
    """Under ATOMIC_REQUESTS all it wrote is rolled back: the second run writes it once."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        Entry.objects.create(text="first")
        failing.look()
        Entry.objects.create(text="second")
        return HttpResponse("done")

    assert send(view, method).status_code == 200
    assert failing.runs == 2
    assert [entry.text for entry in Entry.objects.order_by("id")] == ["first", "second"]
    assert isinstance(seen[-1], RequestRetried)


@pytest.mark.parametrize("exempt", ["default", "lite", None])
@pytest.mark.usefixtures("atomic_requests")
def test_view_that_is_exempt_is_not_run_again(postgres, exempt) -> None:
    """With non_atomic_requests on any database that has the setting, a POST is not all in transactions."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{failing.look()}")

    connections.settings["lite"]["ATOMIC_REQUESTS"] = True
    try:
        response = by_wsgi(
            view if exempt is None else transaction.non_atomic_requests(using=exempt)(view), "post"
        )
    finally:
        connections.settings["lite"]["ATOMIC_REQUESTS"] = False
    assert (response.status_code, failing.runs) == ((200, 2) if exempt is None else (500, 1))


@pytest.mark.usefixtures("atomic_requests")
def test_write_to_another_database_in_autocommit_counts(postgres) -> None:
    """The transaction is rolled back, the row in the other database is not: no second run."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        Entry.objects.using("lite").create(text="x")
        return HttpResponse(f"{failing.look()}")

    assert by_wsgi(view, "post").status_code == 500
    assert failing.runs == 1
    assert Entry.objects.using("lite").count() == 1


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.usefixtures("atomic_requests")
def test_hook_that_fails_after_the_commit_starts_nothing(postgres, send, writes) -> None:
    """An on_commit hook that loses its connection: the transaction is committed, and its hooks have begun to run."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        if writes:
            Entry.objects.create(text="x")
        transaction.on_commit(failing.look)
        return HttpResponse("done")

    assert send(view, "post").status_code == 500
    assert failing.runs == 1
    assert Entry.objects.count() == int(writes)


@pytest.mark.usefixtures("atomic_requests")
def test_a_loss_of_an_earlier_run_excuses_nothing(postgres, monkeypatch) -> None:
    """The second run is committed, and there is no connection to leave the block with: there is no third one."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        failing.look()
        Entry.objects.create(text="x")

        def fail(*args: Any, **kwargs: Any) -> None:
            # COMMIT is done; Django wants autocommit back on, finds its session gone, and is refused a new one.
            monkeypatch.undo()
            connection.connection.close()
            connection.connection = None
            port, connection.settings_dict["PORT"] = connection.settings_dict["PORT"], 1
            try:
                connection.ensure_connection()
            finally:
                connection.settings_dict["PORT"] = port

        monkeypatch.setattr(connection, "_set_autocommit", fail)
        return HttpResponse("done")

    assert by_wsgi(view, "post").status_code == 500
    assert Entry.objects.count() == 1
    assert failing.runs == 2


DYING_COMMIT = """
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER dying AFTER INSERT ON warehouse_entry
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.text = 'fatal') EXECUTE FUNCTION die()
"""


@pytest.fixture
def dying_commit(postgres: Any) -> Iterator[None]:
    """A COMMIT after an Entry "fatal" was inserted ends its own session."""
    with postgres.connect("library") as admin:
        admin.execute(DYING_COMMIT)
    yield
    if not postgres.running:
        postgres.start()
        postgres.wait_ready()
    with postgres.connect("library") as admin:
        admin.execute("DROP FUNCTION die CASCADE")


@pytest.mark.usefixtures("atomic_requests", "dying_commit")
def test_commit_that_surely_failed_is_run_again(send) -> None:
    """The reply to COMMIT is lost, and the server says that the transaction is aborted: the second run writes it once."""
    runs = []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        Entry.objects.create(text="fatal" if len(runs) == 1 else "fine")
        return HttpResponse("done")

    assert send(view, "post").status_code == 200
    assert [entry.text for entry in Entry.objects.all()] == ["fine"]


@pytest.mark.parametrize("where", ["view", "rendering"])
@pytest.mark.usefixtures("dying_commit")
@override_settings(STALWART={"DATABASE": {"REQUEST_RETRIES": 2, "RECONNECT_WITHIN": 0.2}})
def test_unknown_outcome_is_never_run_again_and_never_hidden(postgres, send, seen, poll, where) -> None:
    """The server is killed during COMMIT and stays away: middleware sees CommitOutcomeUnknown, not the refused reconnect."""
    runs = []

    with postgres.connect("library") as admin:
        admin.execute(
            "CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$"
        )

    def kill() -> None:
        with postgres.connect("library") as admin:
            poll(
                lambda: admin.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
                ).fetchall()
            )
        postgres.kill()

    def write() -> str:
        runs.append(1)
        with transaction.atomic():
            Entry.objects.create(text="fatal")
            killer.start()
        return "done"

    def ended(**_: object) -> None:
        errors.append(sys.exc_info()[1])

    errors: list[Any] = []
    killer = threading.Thread(target=kill)
    got_request_exception.connect(ended)
    try:
        response = send(lambda request: Page(write) if where == "rendering" else HttpResponse(write()))
    finally:
        got_request_exception.disconnect(ended)
        killer.join()
    assert response.status_code == 500
    assert len(runs) == 1
    assert [type(error) for error in errors] == [CommitOutcomeUnknown]
    # Django asks nobody about an error that comes out of the handling of another one in rendering.
    assert spy.errors == (errors if where == "view" else [])
    assert len([event for event in seen if isinstance(event, OutcomeUnknown)]) == 1


@pytest.mark.parametrize("error", [CommitOutcomeUnknown("default", 7)])
def test_unknown_outcome_of_a_layer_below_goes_its_way(send, error) -> None:
    """What a resilient transaction in the view could not find out is not tried again, and arrives as it is."""
    runs = []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        raise error from OperationalError("server closed the connection unexpectedly")

    assert send(view).status_code == 500
    assert len(runs) == 1
    assert spy.errors == [error]


# -- other layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["database_retry", "resilient_transaction"])
def test_what_a_layer_below_gave_up_is_not_begun_anew(postgres, send, layer) -> None:
    """Only one layer retries: the view has run once, the inner function as often as it may."""
    failing = Failing(postgres, times=9)
    views = []

    def view(request: HttpRequest) -> HttpResponse:
        views.append(1)
        if layer == "database_retry":
            database_retry(max_retries=1, delay=0)(failing.look)()
        else:
            resilient_transaction(max_retries=1)(failing.look)()
        return HttpResponse("done")

    assert send(view).status_code == 500
    assert len(views) == 1
    assert failing.runs == 2


def test_transparent_reads_come_first(postgres, seen) -> None:
    """With both opt-ins on, a read that runs once more costs no second run of the view."""
    failing = Failing(postgres)
    with override_settings(STALWART={"DATABASE": {"REQUEST_RETRIES": 2, "TRANSPARENT_READS": True}}):
        try:
            assert by_wsgi(lambda request: HttpResponse(f"{failing.look()}")).status_code == 200
        finally:
            reads.detach(connection)
    assert failing.runs == 1
    assert [type(event) for event in seen] == [ConnectionRestored, ReadRetried]


def test_transaction_around_the_request_is_respected(postgres) -> None:
    """Middleware that holds a transaction around the request: a repeat inside of it could not succeed."""
    failing = Failing(postgres)
    spy.around = transaction.atomic

    def view(request: HttpRequest) -> HttpResponse:
        assert not is_watched()
        return HttpResponse(f"{failing.look()}")

    assert by_wsgi(view).status_code == 500
    assert failing.runs == 1


def test_view_that_turned_autocommit_off_is_not_run_again(postgres) -> None:
    """Its second run would begin in the middle of what the first one meant to be a transaction."""
    failing = Failing(postgres, times=0)
    Account.objects.create(name="a")
    with postgres.connect("library") as other:
        other.autocommit = False
        other.execute("SELECT FROM warehouse_account FOR UPDATE")

        def view(request: HttpRequest) -> HttpResponse:
            failing()
            transaction.set_autocommit(False)
            Account.objects.select_for_update(nowait=True).get()
            return HttpResponse("done")

        try:
            assert by_wsgi(view).status_code == 500
        finally:
            connection.close()
    assert failing.runs == 1


def test_listed_twice_it_works_once(postgres) -> None:
    """The inner one finds the outer one at work."""
    failing = Failing(postgres, times=9)
    with override_settings(MIDDLEWARE=[SPY, OURS, OURS]):
        by_wsgi(lambda request: HttpResponse(f"{failing.look()}"))
    assert failing.runs == 3


def test_wrong_place_does_no_harm(postgres) -> None:
    """Middleware behind ours that answers the error has its way; one that does not is run again with the view."""
    failing = Failing(postgres)
    with override_settings(MIDDLEWARE=[OURS, SPY]):
        assert by_wsgi(lambda request: HttpResponse(f"{failing.look()}")).status_code == 200
        assert spy.statuses == [503, 200]
        spy.answer = HttpResponse("sorry", status=503)
        failing.runs = 0
        assert by_wsgi(lambda request: HttpResponse(f"{failing.look()}")).content == b"sorry"
    assert failing.runs == 1


# -- what the view raises ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "status"), [(Http404("gone"), 404), (PermissionDenied(), 403), (ValueError("x"), 500)]
)
def test_error_of_the_last_run_is_the_one_that_counts(postgres, send, second, status) -> None:
    """The second run decides otherwise: all middleware sees that, and nothing of the first."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        failing.look()
        raise second

    assert send(view).status_code == status
    assert failing.runs == 2
    assert spy.errors == [second]


def test_answer_of_the_view_stays_one(postgres, send) -> None:
    """Http404 that was raised because of a database error is what the view wants to say."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        try:
            failing.look()
        except OperationalError as error:
            raise Http404 from error
        return HttpResponse("found")

    assert send(view).status_code == 404
    assert failing.runs == 1


def test_error_of_another_kind_is_left_as_it_is(send, seen) -> None:
    """A mistake of the view is neither repeated nor touched: no note, no frame of ours in its traceback."""
    runs = []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        raise ValueError("mistake")

    assert send(view).status_code == 500
    assert len(runs) == 1
    assert seen == []
    [error] = spy.errors
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_globals["__name__"])
        traceback = traceback.tb_next
    assert not any(name.startswith("stalwart") for name in frames)
    assert not hasattr(error, "__notes__")


def test_error_that_was_handled_outside_is_no_failure_of_the_view(postgres) -> None:
    """A request that is made while a database error is being handled: that one is in every context, and counts for nothing."""
    runs = []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        raise ValueError("mistake")

    Failing(postgres)()
    try:
        Account.objects.count()
    except OperationalError:
        by_wsgi(view)
    assert len(runs) == 1


# -- responses -----------------------------------------------------------------------------------------------------------


class Page(SimpleTemplateResponse):
    """Asks the database only when it is rendered, as a template with a queryset does."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__(template=None)
        self.ask = ask

    @property
    def rendered_content(self) -> str:
        return str(Context({"n": self.ask()})["n"])


def test_failure_while_rendering_is_run_again(postgres, send) -> None:
    """A template that loses its session while it is rendered: the view runs again and makes a new one."""
    failing = Failing(postgres)
    response = send(lambda request: Page(failing.look))
    assert (response.status_code, response.content) == (200, b"0")
    assert failing.runs == 2
    assert spy.templates == 2


def test_response_of_a_second_run_is_rendered_as_ever(postgres, send) -> None:
    """Middleware for template responses sees the one of the run that succeeded."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        failing.look()
        return Page(lambda: "page")

    assert send(view).content == b"page"
    assert spy.templates == 1


@pytest.mark.usefixtures("atomic_requests")
def test_failure_while_rendering_after_the_commit_is_not_run_again(postgres, send) -> None:
    """Django renders after the view's transaction: what it wrote is committed by then."""
    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        Entry.objects.create(text="x")
        return Page(failing.look)

    assert send(view, "post").status_code == 500
    assert failing.runs == 1
    assert Entry.objects.count() == 1


def test_stream_is_not_covered(postgres) -> None:
    """What fails while the body is streamed has left the middleware behind."""
    failing = Failing(postgres)
    response = by_wsgi(lambda request: StreamingHttpResponse(f"{failing.look()}" for _ in "x"))
    with pytest.raises(OperationalError):
        b"".join(response)
    assert failing.runs == 1


# -- the request ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["body", "read", "POST", "lines", "environ"])
@pytest.mark.usefixtures("atomic_requests")
def test_body_is_there_again(postgres, send, way) -> None:
    """However the view reads its body, each run reads it whole."""
    failing = Failing(postgres)
    got = []
    if way == "environ" and send is by_asgi:
        way = "read"

    def view(request: HttpRequest) -> HttpResponse:
        if way == "environ":
            got.append(request.META["wsgi.input"].read(8))
        elif way == "POST":
            got.append(request.POST["name"].encode())
        else:
            got.append(
                {"body": lambda: request.body, "read": request.read, "lines": lambda: b"".join(request)}[
                    way
                ]()
            )
        failing.look()
        return HttpResponse("done")

    if way == "POST":
        response = send(view, "post", {"name": "value"})
    else:
        response = send(view, "post", data=b"one\ntwo\n", content_type="text/plain")
    assert response.status_code == 200
    assert got == [b"value" if way == "POST" else b"one\ntwo\n"] * 2


@pytest.mark.parametrize("size", [10, 3_000_000], ids=["in memory", "in a file"])
@pytest.mark.usefixtures("atomic_requests")
@override_settings(STALWART={"DATABASE": {"REQUEST_RETRIES": 2, "REQUEST_BODY_BYTES": 4_000_000}})
def test_uploaded_files_are_there_again(postgres, send, size) -> None:
    """Each run has files of its own; those of the failed one are closed, and their temporary files gone.

    The body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE, which for uploads says nothing.
    """
    failing = Failing(postgres)
    files = []

    def view(request: HttpRequest) -> HttpResponse:
        file = request.FILES["file"]
        files.append((file, len(file.read())))
        failing.look()
        return HttpResponse("done")

    assert send(view, "post", {"file": SimpleUploadedFile("x.bin", b"x" * size)}).status_code == 200
    assert [read for _, read in files] == [size, size]
    assert files[0][0] is not files[1][0]
    assert files[0][0].closed


@pytest.mark.usefixtures("atomic_requests")
@override_settings(STALWART={"DATABASE": {"REQUEST_RETRIES": 2, "REQUEST_BODY_BYTES": 10}})
@pytest.mark.parametrize(("body", "runs"), [(b"1234567890", 2), (b"12345678901", 1)])
def test_larger_bodies_are_not_kept(postgres, send, body, runs) -> None:
    """A body above REQUEST_BODY_BYTES: the view reads it as ever, and runs once."""
    failing = Failing(postgres)
    got = []

    def view(request: HttpRequest) -> HttpResponse:
        got.append(request.body)
        return HttpResponse(f"{failing.look()}")

    assert send(view, "post", data=body, content_type="text/plain").status_code == (200 if runs == 2 else 500)
    assert got == [body] * runs


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize(
    ("read", "runs"),
    [
        (lambda request: request.body, 2),
        (lambda request: request.read(1), 1),
        (lambda request: request.POST, 2),
    ],
    ids=["all", "a part", "form"],
)
def test_body_that_middleware_has_read(postgres, send, read, runs) -> None:
    """Read whole, it is there again; of one that was read in part, the rest cannot be had twice."""
    failing = Failing(postgres)
    got = []
    spy.before = read

    def view(request: HttpRequest) -> HttpResponse:
        got.append(request.POST.dict() if runs == 2 else request.read())
        return HttpResponse(f"{failing.look()}")

    form = "application/x-www-form-urlencoded"
    assert send(view, "post", data="name=value", content_type=form).status_code == (200 if runs == 2 else 500)
    assert got == [{"name": "value"}] * 2 if runs == 2 else [b"ame=value"]


@pytest.mark.usefixtures("atomic_requests")
def test_files_that_middleware_has_asked_for(postgres, send) -> None:
    """Their bytes were read from the stream, and the view may have moved them away: one run."""
    failing = Failing(postgres)
    spy.before = lambda request: request.body and request.FILES

    def view(request: HttpRequest) -> HttpResponse:
        failing()
        request.FILES["file"].read()
        return HttpResponse(f"{Account.objects.count()}")

    assert send(view, "post", {"file": SimpleUploadedFile("x.bin", b"x")}).status_code == 500
    assert failing.runs == 1


def test_body_of_a_safe_request_is_there_again(postgres, send) -> None:
    """A GET may have one, too."""
    failing = Failing(postgres)
    got = []

    def view(request: HttpRequest) -> HttpResponse:
        got.append(request.read())
        return HttpResponse(f"{failing.look()}")

    assert send(view, "generic", "/", b"query", "text/plain", url="GET").status_code == 200
    assert got == [b"query"] * 2


class _Letters(StringConverter):
    """Gives a list, which a view may change."""

    def to_python(self, value: str) -> Any:
        return list(value)


register_converter(_Letters, "letters")


def test_arguments_of_the_url_are_fresh(postgres, send) -> None:
    """The URL is resolved again, so the second run does not find what the first one made of its arguments."""
    failing = Failing(postgres)

    def view(request: HttpRequest, word: list[str]) -> HttpResponse:
        word.append("!")
        failing.look()
        return HttpResponse("".join(word))

    assert send(view, route="<letters:word>/", url="/abc/").content == b"abc!"


def test_request_is_as_before(postgres, send) -> None:
    """What the failed run has set, changed and resolved on the request is taken back."""
    failing = Failing(postgres)
    loads, found = [], []

    def load() -> Account:
        loads.append(1)
        return Account(name="user", value=0)

    resolved = SimpleLazyObject(load)

    def prepare(request: HttpRequest) -> None:
        request.user = SimpleLazyObject(load)
        request.owner = Account(name="owner", value=0)
        request.owner.company = None
        request.friend = resolved
        resolved.tag = "set by middleware"
        request.notes = ["one"]

    def view(request: HttpRequest) -> HttpResponse:
        found.append((hasattr(request, "mark"), request.notes[:], request.META.get("X"), request.friend.tag))
        request.mark = 1
        request.notes.append("two")
        request.META["X"] = 1
        for account in (request.user, request.owner, request.friend):
            account.value += 1
        failing.look()
        return HttpResponse(f"{request.user.value} {request.owner.value} {request.friend.value}")

    spy.before = prepare
    assert send(view).content == b"1 1 1"
    assert found == [(False, ["one"], None, "set by middleware")] * 2
    assert len(loads) == 3  # the resolved one was not loaded again


@pytest.mark.parametrize("before", ["nothing", "other ones", "deactivated"])
def test_language_and_time_zone_are_as_before(postgres, send, before) -> None:
    """What the failed run activated is not what the second one begins with."""
    failing = Failing(postgres)
    found = []

    def prepare(request: HttpRequest) -> None:
        if before == "other ones":
            translation.activate("fr")
            timezone.activate("Europe/Paris")
        elif before == "deactivated":
            translation.deactivate_all()

    def view(request: HttpRequest) -> HttpResponse:
        found.append((translation.get_language(), timezone.get_current_timezone_name()))
        translation.activate("it")
        timezone.activate("Europe/Rome")
        return HttpResponse(f"{failing.look()}")

    spy.before = prepare
    try:
        assert send(view).status_code == 200
    finally:
        translation.deactivate()
        timezone.deactivate()
    default = timezone.get_default_timezone_name()
    expected = {
        "nothing": ("en-us", default),
        "other ones": ("fr", "Europe/Paris"),
        "deactivated": (None, default),
    }
    assert found == [expected[before]] * 2


# -- sessions and messages -----------------------------------------------------------------------------------------------

SESSIONS = ["django.contrib.sessions.middleware.SessionMiddleware", SPY, OURS]


def sessions(engine: str) -> Any:
    return override_settings(
        MIDDLEWARE=SESSIONS, SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}", SESSION_COOKIE_SECURE=False,
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["signed_cookies", "cache"])
@pytest.mark.parametrize("before", ["untouched", "read", "changed"])
def test_session_of_the_failed_run_is_forgotten(postgres, send, engine, before) -> None:
    """What it wrote into the session, also inside of a value, is not there in the second run, and is saved once."""
    failing = Failing(postgres, times=2)
    found = []

    def prepare(request: HttpRequest) -> None:
        if before == "read":
            request.session.get("n")
        elif before == "changed":
            request.session["cart"] = {"items": []}

    def view(request: HttpRequest) -> HttpResponse:
        session = request.session
        found.append((session.get("n"), session.modified, json.dumps(session.get("cart"))))
        session["n"] = session.get("n", 0) + 1
        session.setdefault("cart", {"items": []})["items"].append("book")
        failing.look()
        return HttpResponse(json.dumps([session["n"], session["cart"]]))

    spy.before = prepare
    with sessions(engine):
        response = send(view)
    assert response.status_code == 200
    assert json.loads(response.content) == [1, {"items": ["book"]}]
    assert found == [(None, before == "changed", '{"items": []}' if before == "changed" else "null")] * 3
    assert "sessionid" in response.cookies


def test_session_that_is_there_is_loaded_again(postgres) -> None:
    """A session from before, read by middleware: both runs find what is stored."""
    failing = Failing(postgres)
    found = []

    def start(request: HttpRequest) -> HttpResponse:
        request.session["cart"] = ["book"]
        return HttpResponse("x")

    def view(request: HttpRequest) -> HttpResponse:
        found.append(list(request.session["cart"]))
        request.session["cart"].append("pen")
        failing.look()
        return HttpResponse("x")

    spy.before = lambda request: list(request.session.items())
    with sessions("signed_cookies"):
        client = Client()
        with patterns(start, ""):
            client.get("/")
        with patterns(view, ""):
            assert client.get("/").status_code == 200
    assert found == [["book"], ["book"]]


@pytest.mark.parametrize("engine", ["cache", "db"])
@pytest.mark.usefixtures("atomic_requests")
def test_renewed_session(postgres, engine) -> None:
    """A login renews the session: past the database that cannot be taken back, so it is one run; in it, it is rolled back."""
    failing = Failing(postgres)

    def start(request: HttpRequest) -> HttpResponse:
        request.session["cart"] = ["book"]
        return HttpResponse("x")

    def login(request: HttpRequest) -> HttpResponse:
        request.session.cycle_key()
        failing.look()
        return HttpResponse(json.dumps(request.session["cart"]))

    with contextlib.ExitStack() as stack:
        stack.enter_context(sessions(engine))
        if engine == "db":
            stack.enter_context(
                override_settings(INSTALLED_APPS=["stalwart", "warehouse", "django.contrib.sessions"])
            )
            from django.contrib.sessions.models import Session

            with connection.schema_editor() as editor:
                editor.create_model(Session)

            def drop() -> None:
                with connection.schema_editor() as editor:
                    editor.delete_model(Session)

            stack.callback(drop)
        client = Client(raise_request_exception=False)
        with patterns(start, ""):
            client.get("/")
        with patterns(login, ""):
            response = client.post("/")
        if engine == "db":
            assert (response.status_code, response.content, failing.runs) == (200, b'["book"]', 2)
            assert Session.objects.count() == 1
        else:
            assert (response.status_code, failing.runs) == (500, 1)


def test_messages_of_the_failed_run_are_forgotten(postgres, send) -> None:
    """A message is shown once."""
    from django.contrib import messages

    failing = Failing(postgres)

    def view(request: HttpRequest) -> HttpResponse:
        messages.info(request, "saved")
        failing.look()
        return HttpResponse(json.dumps([str(each) for each in messages.get_messages(request)]))

    with override_settings(
        MIDDLEWARE=["django.contrib.messages.middleware.MessageMiddleware", OURS],
        MESSAGE_STORAGE="django.contrib.messages.storage.cookie.CookieStorage",
    ):
        assert json.loads(send(view).content) == ["saved"]
    assert failing.runs == 2


# -- asynchronous views --------------------------------------------------------------------------------------------------


def test_asynchronous_view_runs_again(postgres, send, seen) -> None:
    """An async view under WSGI and ASGI; what it commits is seen there, too."""
    runs = []

    async def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        if len(runs) == 1:
            await sync_to_async(lambda: connections["default"].ensure_connection())()
            await asyncio.to_thread(postgres.terminate_backends, "library")
        return HttpResponse(f"{await Account.objects.acount()}")

    assert send(view).content == b"0"
    assert len(runs) == 2
    assert isinstance(seen[-1], RequestRetried)


def test_asynchronous_view_that_committed_is_not_run_again(postgres, send) -> None:
    """Its write in autocommit mode is seen."""
    runs = []

    async def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        await Entry.objects.acreate(text="x")
        await asyncio.to_thread(postgres.terminate_backends, "library")
        return HttpResponse(f"{await Account.objects.acount()}")

    assert send(view).status_code == 500
    assert len(runs) == 1
    assert Entry.objects.count() == 1


def test_functions_that_others_call_do_not_count(postgres) -> None:
    """Requests may share the thread that runs their queries; what another one calls there is not of this one."""
    runs = []

    async def another() -> None:
        called = Account.objects.annotate(x=Func(function="txid_current", output_field=IntegerField()))
        await sync_to_async(lambda: list(called))()

    async def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        if len(runs) == 1:
            await asyncio.create_task(another(), context=contextvars.Context())
            await asyncio.to_thread(postgres.terminate_backends, "library")
        return HttpResponse(f"{await Account.objects.acount()}")

    assert by_asgi(view).status_code == 200
    assert len(runs) == 2


class Asgi:
    """Django's ASGI application, called as a server does.

    Args:
        view: the whole site.
    """

    def __init__(self, view: Any) -> None:
        self._view = view

    async def get(self, gone: asyncio.Event | None = None) -> list[dict[str, Any]]:
        """The messages of the answer to one GET; the client leaves when `gone` is set."""
        sent: list[dict[str, Any]] = []
        bodies = [{"type": "http.request", "body": b""}]

        async def receive() -> dict[str, Any]:
            if bodies:
                return bodies.pop()
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"host", b"testserver")],
            "query_string": b"",
        }
        await self._application(scope, receive, send)
        return sent

    def run(self, main: Callable[[], Any]) -> Any:
        """Run a coroutine function that uses `get`."""
        for signal in (request_started, request_finished):
            signal.disconnect(close_old_connections)
        request_finished.connect(close_all, dispatch_uid="test")
        try:
            with patterns(self._view, ""):
                self._application = get_asgi_application()
                return asyncio.run(main())
        finally:
            request_finished.disconnect(dispatch_uid="test")
            for signal in (request_started, request_finished):
                signal.connect(close_old_connections)


def close_all(**_: object) -> None:
    connections.close_all()


def test_the_loop_turns_while_a_request_waits(postgres) -> None:
    """Under a real ASGI handler: while one request waits for the server, others are answered."""
    runs, turns = [], []

    def view(request: HttpRequest) -> HttpResponse:
        runs.append(1)
        return HttpResponse(f"{Account.objects.count()}")

    site = Asgi(view)

    async def main() -> Any:
        await asyncio.to_thread(postgres.kill)

        async def back() -> None:
            await asyncio.sleep(0.3)
            await asyncio.to_thread(postgres.start)

        async def tick() -> None:
            while True:
                turns.append(1)
                await asyncio.sleep(0.01)

        ticking, starting = asyncio.create_task(tick()), asyncio.create_task(back())
        sent = await site.get()
        await starting
        ticking.cancel()
        return sent

    sent = site.run(main)
    assert sent[0]["status"] == 200
    assert len(runs) == 2
    assert len(turns) > 5


@override_settings(STALWART={"DATABASE": {"REQUEST_RETRIES": 2, "RECONNECT_WITHIN": 60}})
def test_client_that_leaves_ends_the_wait(postgres, poll) -> None:
    """A cancelled request does not keep a thread waiting for the database, nor the loop waiting for that thread."""
    waits = threading.Event()

    def view(request: HttpRequest) -> HttpResponse:
        waits.set()
        return HttpResponse(f"{Account.objects.count()}")

    site = Asgi(view)

    async def main() -> float:
        await asyncio.to_thread(postgres.kill)
        gone = asyncio.Event()
        request = asyncio.create_task(site.get(gone))
        await asyncio.to_thread(waits.wait)
        await asyncio.sleep(0.2)
        began = time.monotonic()
        gone.set()
        await request
        return time.monotonic() - began

    assert site.run(main) < 5


def test_wait_that_begins_after_the_client_left(postgres) -> None:
    """The request was cancelled before its failure was told: there is no wait, and no further run."""
    request = RequestFactory().get("/")
    run = Run.begin(request, DatabaseConfig(request_retries=2), shared=False, before=None)
    Failing(postgres)()
    run.leave()
    with run.watch, pytest.raises(OperationalError) as caught:
        Account.objects.count()
    assert run.failed(caught.value) is None
    assert not run.again


# -- the name ------------------------------------------------------------------------------------------------------------


def test_dotted_path_of_the_settings_works() -> None:
    """The name that goes into MIDDLEWARE leads to the class; a wrong one is told what there is."""
    assert import_string(OURS) is RequestRetryMiddleware
    with pytest.raises(AttributeError, match="it offers RequestRetryMiddleware"):
        _ = stalwart.database.RequestMiddleware  # type: ignore[attr-defined]


def test_only_who_lists_it_pays_for_it() -> None:
    """The package loads neither sessions nor request handling for the sake of the middleware."""
    code = "import sys, stalwart.database; print('django.contrib.sessions' in sys.modules, 'django.core.handlers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
