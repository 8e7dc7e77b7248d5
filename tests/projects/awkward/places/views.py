import sqlite3
import urllib.request
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.mail import send_mail
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods
from django.views.generic import DetailView

from places.models import Country, Event, Legacy, Note, Person, Place, PlaceCount


def home(request):
    return render(request, "home.html", {"places": Place.objects.order_by("pk")[:5], "token": settings.TOKEN})


class PersonView(DetailView):
    model = Person
    template_name = "person.html"


class PlaceView(DetailView):
    queryset = Place.objects.all()
    template_name = "person.html"


def country(request, code):
    return HttpResponse(get_object_or_404(Country, code=code).name)


def archive(request, year, month):
    found = Place.objects.filter(founded__year=year, founded__month=month)
    return HttpResponse(", ".join(place.name for place in found), status=200 if found else 404)


def notes(request):
    return JsonResponse(
        {"notes": [str(note.target.pk) for note in Note.objects.all()], "events": len(Event.objects.all())}
    )


def api_place(request, pk):
    return JsonResponse({"name": get_object_or_404(Place, pk=pk).name})


@require_http_methods(["POST"])
def form(request):
    return HttpResponse()


def mail(request):
    send_mail("subject", "body", "a@example.com", ["b@example.com", "c@example.com"])
    return HttpResponse("sent")


def fetch(request):
    try:
        urllib.request.urlopen("https://example.com/quotes", timeout=5)
    except OSError as error:
        return HttpResponse(f"no quotes: {error}")
    return HttpResponse("fetched")


def upload(request):
    return HttpResponse(default_storage.save("letter.txt", ContentFile(b"new")))


def writes(request):
    Country.objects.filter(code="zz").delete()
    Country.objects.create(code="zz", name="Made by a GET")
    return HttpResponse("written")


def other_database(request):
    try:
        sqlite3.connect(Path(settings.BASE_DIR) / "own-side.sqlite3").execute("CREATE TABLE x (y)")
    except OSError as error:
        return HttpResponse(f"refused: {error}")
    return HttpResponse("opened")


def broken(request):
    raise RuntimeError("as shipped")


def count(request):
    return HttpResponse(Place.objects.count())


def legacy(request):
    return JsonResponse({"titles": len(Legacy.objects.all()), "countries": len(PlaceCount.objects.all())})
