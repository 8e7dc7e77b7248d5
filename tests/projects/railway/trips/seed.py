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
    from django.db.models import QuerySet, query
    from django.db.models.manager import BaseManager

    watched = [(QuerySet, "_clone"), (BaseManager, "get_queryset"), (query.RawQuerySet, "__init__")]
    watched += [(getattr(query, name), "__iter__") for name in ("ModelIterable", "ValuesIterable")]
    return [
        f"{holder.__name__}.{name}"
        for holder, name in watched
        if not holder.__dict__[name].__code__.co_filename.endswith(("query.py", "manager.py"))
    ]
