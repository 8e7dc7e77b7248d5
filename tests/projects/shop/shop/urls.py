"""Pages of many kinds: plain, paged, with arguments, nested, by regular expression, broken, and without GET."""

from django.core.cache import cache
from django.core.mail import send_mail
from django.http import HttpResponse, JsonResponse
from django.urls import include, path, re_path
from django.views.decorators.http import require_POST

from shop.models import Article


def rows(number):
    return [
        {"id": one.pk, "name": one.name, "price": str(one.price), "tags": None}
        for one in Article.objects.all()[:number]
    ]


def listing(number):
    return lambda request: JsonResponse({"articles": rows(number)})


def page(request):
    cells = "".join(f"<tr><td>{row['name']}</td><td>{row['price']}</td></tr>" for row in rows(200))
    return HttpResponse(f"<!doctype html><html><body><table>{cells}</table></body></html>")


def article(request, number):
    return JsonResponse(rows(number)[0])


def letter(request):
    send_mail("order", "shipped", "shop@example.com", ["you@example.com"])
    cache.set("letters", 1)
    return JsonResponse({"sent": True, "text": "x" * 300})


def broken(request):
    raise RuntimeError("always")


@require_POST
def order(request):
    return JsonResponse({})


urlpatterns = [
    path("", page),
    path("all/", listing(200)),
    path("some/", listing(100)),
    path("few/", listing(40)),
    path("one/", listing(1)),
    path("nested/", include([path("deep/", listing(150)), path("<int:number>/", article)])),
    re_path(r"^regular/$", listing(120)),
    re_path(r"^numbers/(?P<number>\d+)/$", article),
    path("größe/", listing(60)),
    path("letter/", letter),
    path("broken/", broken),
    path("order/", order),
]
