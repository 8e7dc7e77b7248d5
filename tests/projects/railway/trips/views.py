"""One view for each way to ask; lines that a test looks for carry a mark in a comment."""

import contextlib
import copy
import pickle
import sys
import threading
import time
import uuid

from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, prefetch_related_objects
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.generic import ListView

from trips.models import Carrier, Express, Label, Passenger, Record, Route, Ticket, Trip, Worker

EVALUATED = Trip.objects.order_by("number")


def answer(rows):
    return JsonResponse({"rows": list(rows)})


def forward(request):
    trips = Trip.objects.order_by("number")  # forward-made
    return answer(trip.route.name for trip in trips)  # forward-asked


def nested(request):
    return answer(trip.route.carrier.name for trip in Trip.objects.order_by("number"))


def beneath_selected(request):
    return answer(trip.route.carrier.name for trip in Trip.objects.select_related("route").order_by("number"))


def reverse(request):
    return answer([trip.number for trip in route.trips.all()] for route in Route.objects.order_by("name"))


def reverse_later(request):
    later = [route.trips.filter(cancelled=False) for route in Route.objects.order_by("name")]
    return answer([trip.number for trip in trips] for trips in later)


def many(request):
    return answer([w.name for w in trip.crew.order_by("name")] for trip in Trip.objects.order_by("number"))


def many_count(request):
    return answer(trip.crew.count() for trip in Trip.objects.order_by("number"))


def many_exists(request):
    return answer(trip.crew.exists() for trip in Trip.objects.order_by("number"))


def count(request):
    return answer(route.trips.count() for route in Route.objects.order_by("name"))


def filtered_count(request):
    return answer(route.trips.filter(number__gt=2).count() for route in Route.objects.order_by("name"))


def exists(request):
    return answer(route.trips.exists() for route in Route.objects.order_by("name"))


def first(request):
    return answer(
        route.trips.filter(number__gt=0).order_by("number").first().number
        for route in Route.objects.order_by("name")
    )


def one(request):
    return answer(passenger.ticket.price for passenger in Passenger.objects.order_by("pk"))


def one_forward(request):
    return answer(ticket.passenger.name for ticket in Ticket.objects.order_by("pk"))


def generic_key(request):
    return answer(label.target.pk for label in Label.objects.filter(text__startswith="label").order_by("pk"))


def generic_later(request):
    later = [trip.labels.all() for trip in Trip.objects.order_by("number")]
    return answer([label.text for label in labels] for labels in later)


def generic_count(request):
    return answer(trip.labels.count() for trip in Trip.objects.order_by("number"))


def deferred(request):
    return answer(len(trip.notes) for trip in Trip.objects.defer("notes").order_by("number"))


def child(request):
    return answer(
        trip.express.seats for trip in Trip.objects.filter(express__isnull=False).order_by("number")
    )


def inherited(request):
    return answer(trip.route.name for trip in Express.objects.order_by("number"))


def property_(request):
    return answer(trip.route_name for trip in Trip.objects.order_by("number"))


def refreshed(request):
    trips = list(Trip.objects.order_by("number"))
    for trip in trips:
        trip.refresh_from_db()
    return answer(trip.number for trip in trips)


def selected(request):
    return answer(trip.route.name for trip in Trip.objects.select_related("route").order_by("number"))


def prefetched(request):
    routes = Route.objects.prefetch_related("trips__passengers").order_by("name")
    return answer([len(trip.passengers.all()) for trip in route.trips.all()] for route in routes)


def prefetched_singly(request):
    trips = list(Trip.objects.order_by("number"))
    for trip in trips:
        prefetch_related_objects([trip], "passengers")
    return answer(len(trip.passengers.all()) for trip in trips)


def two_on_a_line(request):
    rows = list(Trip.objects.filter(number__lt=5)) + list(Trip.objects.filter(number__gte=5))  # two
    return answer(trip.route.name for trip in rows)


def managed(request):
    return answer(trip.route.name for trip in Trip.objects.active().order_by("number"))  # managed


def raw(request):
    trips = Trip.objects.raw("SELECT * FROM trips_trip ORDER BY number")  # raw-made
    return answer(trip.route.name for trip in trips)


def cursor(request):
    numbers = []
    with connection.cursor() as rows:
        for n in range(4):
            rows.execute("SELECT number FROM trips_trip WHERE number = %s", [n])
            numbers += rows.fetchall()
    return answer(numbers)


def keys(request):
    found = Trip.objects.order_by("number").values_list("pk", flat=True)
    return answer(Trip.objects.get(pk=pk).number for pk in found)


def values(request):
    rows = Trip.objects.order_by("number").values("pk", "route_id")
    return answer(Route.objects.get(pk=row["route_id"]).name for row in rows)


def indexed(request):
    trips = Trip.objects.order_by("number")
    return answer(trips[n].number for n in range(4))


def expecting(request):
    """Reads by key until it has seen the last row."""
    seen = []
    total = Trip.objects.count()
    while len(set(seen)) < total:
        start = 0 if len(seen) < 6 else 6
        seen += [trip.pk for trip in Trip.objects.filter(pk__gt=start).order_by("pk")[:6]]
    return answer([len(seen)])


def indexing(request):
    trips = list(Trip.objects.order_by("number"))
    return answer([trips[Trip.objects.count() - 1].number])


def empty(request):
    return answer(trip.pk for trip in Trip.objects.filter(pk__in=[]))


def sliced(request):
    return answer(trip.route.name for trip in Trip.objects.order_by("number")[:6])


def iterated(request):
    return answer(trip.route.name for trip in Trip.objects.order_by("number").iterator(chunk_size=5))


def template(request):
    return render(request, "trips/list.html", {"trips": Trip.objects.order_by("number")})


def template_forward(request):
    return render(request, "trips/routes.html", {"trips": Trip.objects.order_by("number")})


def template_property(request):
    return render(request, "trips/names.html", {"trips": Trip.objects.order_by("number")})


class Trips(ListView):  # class-plain
    model = Trip


class ActiveTrips(ListView):
    queryset = Trip.objects.active().order_by("number")  # class-queryset
    template_name = "trips/routes.html"
    context_object_name = "trips"


def decorated(request):
    return Trips.as_view()(request)


async def asynchronous(request):
    rows = [trip.number async for trip in Trip.objects.order_by("number")]  # async-made
    trip = await Trip.objects.aget(number=1)
    return answer([*rows, trip.number])


def archive(request):
    return answer(Record.objects.get(text=f"record {n}").text for n in range(3))


def writing(request):
    for n in range(3):
        Passenger.objects.create(trip_id=1, name=f"new {n}")
    Record.objects.create(text="new")
    with transaction.atomic(), transaction.atomic():
        Carrier.objects.update(name=F("name"))
    return answer([Passenger.objects.count()])


def bulk(request):
    Passenger.objects.bulk_create([Passenger(trip_id=1, name=str(n)) for n in range(6)], batch_size=2)
    Passenger.objects.in_bulk([1, 2, 3])
    return answer([])


def deleting(request):
    Route.objects.get(name="route 0").delete()
    return answer([])


@transaction.non_atomic_requests
def durable(request):
    with transaction.atomic(durable=True):
        Carrier.objects.create(name="durable")
    return answer([Carrier.objects.count()])


def hooked(request):
    transaction.on_commit(lambda: Carrier.objects.create(name="hooked"))
    transaction.on_commit(lambda: transaction.on_commit(lambda: Carrier.objects.count()))
    return answer([])


def hook_fails(request):
    transaction.on_commit(lambda: 1 / 0)
    return answer([])


def caught(request):
    """Autocommit: the refused row costs nothing but itself."""
    Carrier.objects.create(name="kept")
    with contextlib.suppress(IntegrityError):
        Carrier(name="carrier 0").save(force_insert=True)
    with contextlib.suppress(IntegrityError), transaction.atomic(savepoint=False):
        Carrier.objects.create(name="undone")
        Carrier.objects.create(name="carrier 0")
    with contextlib.suppress(DatabaseError), connection.cursor() as rows:
        rows.execute("SELECT nothing FROM nowhere")
    return answer(Carrier.objects.filter(name__in=["kept", "undone"]).values_list("name", flat=True))


def closing(request):
    Carrier.objects.create(name="lost")
    connection.close()
    return answer([Carrier.objects.count()])


def by_hand(request):
    transaction.set_autocommit(False)
    Carrier.objects.create(name="by hand")
    transaction.commit()
    return answer([])


def broken(request):
    Carrier.objects.count()
    raise RuntimeError("no way: postgres://me:very-secret@db/x password=hunter2 token: 'abc'\nsecond line")


def leaving(request):
    sys.exit(3)


def endless(request):
    last = 0
    while True:
        try:
            last = Trip.objects.filter(number__gte=0).order_by("number").first().number
        except Exception:
            last += 1


def spinning(request):
    while True:
        with contextlib.suppress(Exception):
            sum(range(100))


def sleeping(request):
    time.sleep(600)
    return answer([])


def streaming(request):
    def rows():
        for trip in Trip.objects.order_by("number"):
            yield f"{trip.route.name}\n"

    return StreamingHttpResponse(rows(), content_type="text/plain")


def stream_without_end(request):
    def rows():
        while True:
            yield b"x" * 2**20

    return StreamingHttpResponse(rows())


async def stream_asynchronous(request):
    async def rows():
        async for trip in Trip.objects.order_by("number"):
            yield f"{trip.number}\n"

    return StreamingHttpResponse(rows())


def threaded(request):
    def work():
        found = Trip.objects.count()
        Record.objects.create(text=str(found))
        connection.close()

    thread = threading.Thread(target=work, name="railway-worker")
    thread.start()
    if "wait" in request.GET:
        thread.join()
    return answer([])


def unwaited(request):
    """A thread that never ends, with a connection that it opened."""
    threading.Thread(target=lambda: (Carrier.objects.count(), time.sleep(600)), daemon=True).start()
    return answer([])


def form(request):
    return render(request, "trips/form.html", {"now": timezone.now().isoformat()})


def changing(request):
    return HttpResponse(f"<p>rendered in {time.perf_counter_ns()} by {uuid.uuid4()}</p>")


def unstable(request):
    return HttpResponse("word " * (time.perf_counter_ns() % 97))


def pickled(request):
    """Querysets and instances through a cache, and a copy of a related queryset."""
    trips = pickle.loads(pickle.dumps(Trip.objects.active().order_by("number")))
    rows = [trip.route.name for trip in trips]
    route = Route.objects.get(name="route 0")
    related = route.trips.all()
    copied = copy.deepcopy(related)
    assert copied._hints["instance"] is not None
    cache.set("trips", list(Trip.objects.order_by("number")[:3]))
    return answer([*rows, len(copied)])


def cached(request):
    found = cache.get("shelf")
    if found is None:
        found = list(Trip.objects.order_by("number"))
        cache.set("shelf", found)
    return answer(trip.route.name for trip in found)


def once(request):
    return answer(trip.number for trip in EVALUATED)


def workers(request):
    return answer(worker.name for worker in Worker.objects.order_by("name"))


def shelf(request):
    """Reads through a cache, and through that of the content types."""
    found = cache.get("shelf-count")
    if found is None:
        found = Carrier.objects.count()
        cache.set("shelf-count", found)
    return answer([found, ContentType.objects.get_for_model(Carrier).pk])


def who(request):
    if not request.user.is_authenticated:
        return redirect("/login/")
    return answer([request.user.get_username()])


def session(request):
    request.session["seen"] = True
    return answer([])


def headers(request):
    return JsonResponse(
        {
            "host": request.get_host(),
            "key": request.headers.get("X-Api-Key"),
            "cookie": request.headers.get("Cookie"),
            "secure": request.is_secure(),
        }
    )
