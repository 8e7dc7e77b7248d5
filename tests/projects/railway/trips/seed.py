"""Fills both databases; a guest's call."""

from django.core.management import call_command

from trips import models


def fill(trips=12):
    for alias in ("default", "archive"):
        call_command("migrate", run_syncdb=True, verbosity=0, interactive=False, database=alias)
    carriers = [models.Carrier.objects.create(name=f"carrier {n}") for n in range(3)]
    routes = [models.Route.objects.create(carrier=carriers[n % 3], name=f"route {n}") for n in range(4)]
    workers = [models.Worker.objects.create(name=f"worker {n}") for n in range(3)]
    for n in range(trips):
        made = models.Express if n % 2 else models.Trip
        trip = made.objects.create(route=routes[n % 4], number=n, notes="x" * 50)
        trip.crew.set(workers[: 1 + n % 3])
        models.Label.objects.create(target=trip, text=f"label {n}")
        models.Label.objects.create(target=routes[n % 4], text=f"route label {n}")
        for m in range(2):
            passenger = models.Passenger.objects.create(trip=trip, name=f"passenger {n}.{m}")
            models.Ticket.objects.create(passenger=passenger, price=m)
        models.Record.objects.create(text=f"record {n}")
    return counts()


def stations(number=12_000):
    """A long line; the first few are reached from one another."""
    made = models.Station.objects.bulk_create(models.Station(name=f"station {n}") for n in range(number))
    for n in range(1, 5):
        models.Station.objects.filter(pk=made[n].pk).update(beyond=made[n - 1])


def heavy(size=20_000):
    """Notes that are worth leaving out."""
    models.Trip.objects.update(notes="x" * size)


def counts():
    """Rows of each table: what a page view must leave as it is."""
    return {
        model.__name__: model.objects.count()
        for model in (
            models.Carrier,
            models.Route,
            models.Trip,
            models.Express,
            models.Passenger,
            models.Ticket,
            models.Label,
            models.Record,
        )
    }


def patched():
    """Methods of Django's classes that are not Django's own."""
    from django.db.models import Model, QuerySet, query
    from django.db.models.manager import BaseManager

    watched = [(QuerySet, "_clone"), (BaseManager, "get_queryset"), (query.RawQuerySet, "__init__")]
    watched += [(getattr(query, name), "__iter__") for name in ("ModelIterable", "ValuesIterable")]
    return [
        f"{holder.__name__}.{name}"
        for holder, name in watched
        if not holder.__dict__[name].__code__.co_filename.endswith(("query.py", "manager.py"))
    ] + ["Model.__getattribute__"] * ("__getattribute__" in Model.__dict__)


def user(name):
    from django.contrib.auth import get_user_model

    get_user_model().objects.create_user(name)


def has_toolbar():
    from django.conf import settings

    return "debug_toolbar" in settings.INSTALLED_APPS


def cut_in_thread():
    """A page view on a thread that no signal reaches."""
    import threading

    from workbench.guest import pages

    seen = []

    def visit():
        view = pages.visit("/spinning/", "warm", limit={"seconds": 0.2})
        seen.extend([view["error"], 500_000 if view["milliseconds"] < 5_000 else view["milliseconds"]])

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    return seen


def two_at_once():
    from workbench.guest.capture import Recorder, recording

    with recording(Recorder()):
        try:
            with recording(Recorder()):
                return "no error"
        except RuntimeError as error:
            return type(error).__name__


def long_run(statements):
    """More statements than Django's own log keeps, with that log on, as in a kernel that has run for long."""
    from django.db import connection

    from workbench.guest.capture import Recorder, recording

    connection.force_debug_cursor = True
    try:
        with recording(Recorder(most=10**9)) as recorder, connection.cursor() as cursor:
            for _ in range(statements):
                cursor.execute("SELECT 1")
    finally:
        connection.force_debug_cursor = False
    return [len(recorder.seen), len(connection.queries_log)]


def older_thread():
    """A thread whose connection was opened before anything was watched, and one whose wrapper is taken off early."""
    import threading

    from django.db import connection
    from django.db.backends.signals import connection_created
    from django.utils.functional import SimpleLazyObject

    from workbench.guest import capture

    seen = []

    def wrapper(execute, *args):
        return execute(*args)

    def work():
        connection.ensure_connection()
        opened.set()
        go.wait()
        with connection.execute_wrapper(wrapper):
            models.Carrier.objects.count()
        models.Carrier.objects.count()
        seen.append(wrapper in connection.execute_wrappers)
        connection.close()

    lazy = SimpleLazyObject(lambda: 1 / 0)  # nobody asked for it, so nobody may make it
    opened, go = threading.Event(), threading.Event()
    capture._watching = False  # as in a process in which nothing has been watched yet
    connection_created.disconnect(dispatch_uid="workbench.guest.capture")
    thread = threading.Thread(target=work)
    thread.start()
    opened.wait()
    with capture.recording(capture.Recorder()) as recorder:
        go.set()
        thread.join()
    return [len(recorder.seen), *seen, lazy._wrapped.__class__ is object]


def opened_within():
    """A connection that is opened inside the project's own wrapper: the one that is popped must not be ours."""
    from django.db import connection

    from workbench.guest import capture

    def wrapper(execute, *args):
        return execute(*args)

    with capture.recording(capture.Recorder()) as recorder:
        connection.close()
        connection.execute_wrappers.clear()
        with connection.execute_wrapper(wrapper):
            models.Carrier.objects.count()
        models.Carrier.objects.count()
    return [len(recorder.seen), wrapper in connection.execute_wrappers]


def fill_default():
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)


def body(url):
    """What a visitor is sent."""
    from workbench.guest import pages

    return pages.observed(url, "warm")[1].decode()
