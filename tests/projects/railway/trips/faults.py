"""Each fault that a profile has a label for, planted once, and beside it a page that only looks like it.

The name of a page says which: `<label>__<case>` has the fault, `clean__<case>` has none.
"""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

from django.core.cache import cache
from django.core.paginator import Paginator
from django.db import connection, transaction
from django.db.models import Count, Prefetch, prefetch_related_objects
from django.http import JsonResponse
from django.shortcuts import render

from trips.models import Carrier, Label, Passenger, Route, Station, Ticket, Trip, Worker


def answer(rows):
    return JsonResponse({"rows": list(rows)})


def trips():
    return Trip.objects.order_by("number")


# One statement for each row, by its relation.


def n_plus_one__forward(request):
    return answer(trip.route.name for trip in trips())


def n_plus_one__reverse(request):
    return answer([trip.number for trip in route.trips.all()] for route in Route.objects.order_by("pk"))


def n_plus_one__page(request):
    page = Paginator(trips(), 6).get_page(request.GET.get("page"))
    return answer(trip.route.name for trip in page)


def n_plus_one__detail(request):
    route = Route.objects.get(name="route 0")
    return answer([person.name for person in trip.passengers.all()] for trip in route.trips.all())


def n_plus_one__template(request):
    return render(request, "trips/list.html", {"trips": trips()})


def n_plus_one__deferred(request):
    return answer(len(trip.notes) for trip in trips().defer("notes"))


def n_plus_one__prefetched_singly(request):
    found = list(trips())
    for trip in found:
        prefetch_related_objects([trip], "passengers")
    return answer(len(trip.passengers.all()) for trip in found)


def n_plus_one__ancestors(request):
    """From one row upwards: there is no producer with many rows to cut."""
    station, names = Station.objects.get(name="station 4"), []
    while station:
        names.append(station.name)
        station = station.beyond
    return answer(names)


def clean__select_related(request):
    return answer(trip.route.name for trip in trips().select_related("route"))


def clean__prefetch(request):
    routes = Route.objects.order_by("pk").prefetch_related("trips__passengers")
    return answer([len(trip.passengers.all()) for trip in route.trips.all()] for route in routes)


def clean__prefetch_in_chunks(request):
    """As many prefetches as chunks."""
    found = trips().prefetch_related("passengers").iterator(chunk_size=3)
    return answer(len(trip.passengers.all()) for trip in found)


def clean__two_prefetches(request):
    """The same text twice, for two ways to one model."""
    routes = Route.objects.order_by("pk").prefetch_related("trips", Prefetch("trips", to_attr="again"))
    return answer([len(route.trips.all()), len(route.again)] for route in routes)


def clean__two_details(request):
    """One relation read of two rows that were asked for one by one."""
    found = [Trip.objects.get(number=1), Trip.objects.get(number=2)]
    return answer(trip.route.name for trip in found)


# A statement in a loop that no relation explains.


def query_in_loop__keys(request):
    found = trips().values_list("pk", flat=True)
    return answer(Trip.objects.get(pk=pk).number for pk in found)


def query_in_loop__refreshed(request):
    found = list(trips())
    for trip in found:
        trip.refresh_from_db()
    return answer(trip.number for trip in found)


def query_in_loop__cursor(request):
    numbers = []
    with connection.cursor() as rows:
        for n in range(5):
            rows.execute("SELECT number FROM trips_trip WHERE number = %s", [n])
            numbers += rows.fetchall()
    return answer(numbers)


def clean__in_bulk(request):
    found = list(trips().values_list("pk", flat=True))
    return answer(trip.number for trip in Trip.objects.in_bulk(found).values())


def clean__by_key_in_chunks(request):
    """Reads a table in pieces, each after the last key of the one before."""
    last, seen = 0, []
    while True:
        chunk = list(Trip.objects.filter(pk__gt=last).order_by("pk")[:3])
        if not chunk:
            return answer(seen)
        seen += [trip.number for trip in chunk]
        last = chunk[-1].pk


def clean__pages(request):
    pages = Paginator(trips(), 3)
    return answer([trip.number for trip in pages.page(n)] for n in pages.page_range)


def clean__raised(request):
    """Chunks that bulk operations make by themselves."""
    people = [Passenger(trip_id=1, name=str(n)) for n in range(9)]
    Passenger.objects.bulk_create(people, batch_size=2)
    for person in people:
        person.name += "!"
    Passenger.objects.filter(name="0!").count()
    stored = list(Passenger.objects.order_by("pk")[:9])
    Passenger.objects.bulk_update(stored, ["name"], batch_size=2)
    Passenger.objects.in_bulk([person.pk for person in stored])
    return answer([])


def clean__cascade(request):
    Carrier.objects.all().delete()
    return answer([])


# .count(), .exists(), .first() of each.


def count_in_loop__count(request):
    return answer(route.trips.count() for route in Route.objects.order_by("pk"))


def count_in_loop__exists(request):
    return answer(trip.crew.filter(name="worker 1").exists() for trip in trips())


def count_in_loop__first(request):
    return answer(route.trips.order_by("number").first().number for route in Route.objects.order_by("pk"))


def count_in_loop__manager(request):
    return answer(Trip.objects.filter(route_id=route.pk).count() for route in Route.objects.order_by("pk"))


def clean__annotated(request):
    return answer(route.n for route in Route.objects.order_by("pk").annotate(n=Count("trips")))


def clean__counts(request):
    """A board of figures: four counts, no loop."""
    return answer(
        [Trip.objects.count(), Route.objects.count(), Carrier.objects.count(), Label.objects.count()]
    )


# The same question again.


def duplicate__helper(request):
    def carriers():
        return [carrier.name for carrier in Carrier.objects.order_by("name")]

    return answer([carriers(), carriers()])


def clean__asked_after_a_write(request):
    def carriers():
        return Carrier.objects.filter(name="new").count()

    before = carriers()
    Carrier.objects.create(name="new")
    return answer([before, carriers()])


# Rows written one by one.


def per_row_write__create(request):
    for n in range(5):
        Passenger.objects.create(trip_id=1, name=f"new {n}")
    return answer([])


def per_row_write__save(request):
    for trip in trips():
        trip.cancelled = not trip.cancelled
        trip.save()
    return answer([])


def per_row_write__delete(request):
    for ticket in Ticket.objects.order_by("pk"):
        ticket.delete()
    return answer([])


def clean__bulk_create(request):
    Passenger.objects.bulk_create([Passenger(trip_id=1, name=str(n)) for n in range(5)])
    return answer([])


def clean__first_hit(request):
    """Makes what later visits find: a cold view writes for each row, a warm one reads."""
    for trip in trips():
        if cache.get(f"thumbnail {trip.pk}") is None:
            Worker.objects.create(name=f"thumbnail {trip.pk}")
            cache.set(f"thumbnail {trip.pk}", True)
    return answer([])


# Loaded along and never looked at.


def unused_eager_load__select(request):
    return answer(trip.number for trip in trips().select_related("route__carrier"))


def unused_eager_load__beneath(request):
    return answer(trip.route.name for trip in trips().select_related("route__carrier"))


def unused_eager_load__prefetch(request):
    return answer(trip.number for trip in trips().prefetch_related("passengers"))


def clean__counted_prefetch(request):
    return answer(trip.passengers.count() for trip in trips().prefetch_related("passengers"))


def clean__path_only(request):
    """Of what lies on the way, nothing is read but the way."""
    return answer(trip.route.carrier.name for trip in trips().select_related("route__carrier"))


def clean__to_attr(request):
    people = Prefetch("passengers", to_attr="people")
    return answer(len(trip.people) for trip in trips().prefetch_related(people))


def clean__empty_prefetch(request):
    return answer(trip.number for trip in trips().filter(number__lt=0).prefetch_related("passengers"))


def clean__pickled(request):
    """Goes to a cache whole: who reads it there is not seen."""
    pickle.dumps(list(trips().select_related("route")))
    return answer([])


# Columns that nobody reads.


def over_fetching__notes(request):
    return answer(trip.number for trip in Trip.objects.order_by("number"))


def clean__deferred(request):
    return answer(trip.number for trip in trips().defer("notes"))


def clean__notes(request):
    return answer([trip.number, len(trip.notes)] for trip in trips())


# Many rows, all in memory at once.


def missing_iterator__all(request):
    return answer([sum(len(station.name) for station in Station.objects.order_by("pk"))])


def clean__iterator(request):
    return answer([sum(len(station.name) for station in Station.objects.order_by("pk").iterator())])


# Work of the database that its plan shows.


def missing_index__name(request):
    return answer(station.pk for station in Station.objects.filter(name="station 7"))


def clean__by_key(request):
    return answer(station.pk for station in Station.objects.filter(pk=7))


def slow_plan__deep_page(request):
    return answer(station.pk for station in Station.objects.order_by("pk")[10_000:10_010])


def clean__first_page(request):
    return answer(station.pk for station in Station.objects.order_by("pk")[:10])


# A transaction that waits for something else.


def long_transaction__waiting(request):
    with transaction.atomic():
        Carrier.objects.filter(name="carrier 0").update(name="locked")
        time.sleep(0.2)
    return answer([])


@transaction.atomic
def long_transaction__decorated(request):
    Carrier.objects.filter(name="carrier 0").update(name="locked")
    time.sleep(0.2)
    return answer([])


def clean__short_transaction(request):
    with transaction.atomic():
        Carrier.objects.filter(name="carrier 0").update(name="locked")
    time.sleep(0.2)
    return answer([])


# A connection for each statement.


def connection_per_query__threads(request):
    def count(model):
        try:
            return model.objects.count()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        return answer(pool.map(count, (Trip, Route, Carrier, Worker, Label)))


def connection_per_query__closed(request):
    found = []
    for model in (Trip, Route, Carrier, Worker):
        found.append(model.objects.count())
        connection.close()
    return answer(found)


def clean__given_back(request):
    """One connection, given back before what needs none."""
    found = [Trip.objects.count(), Route.objects.count(), Carrier.objects.count()]
    connection.close()
    return answer(found)
