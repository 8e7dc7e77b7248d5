"""A project in which everything goes wrong at once, beside a page that is merely slow."""

from __future__ import annotations

from pathlib import Path

import pytest

FILES = {
    "manage.py": """import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rough.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "rough/__init__.py": "",
    "rough/settings.py": """SECRET_KEY = "not a secret"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "shop"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "rough.urls"
ALLOWED_HOSTS = ["rough.example"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "never-made.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
""",
    "rough/urls.py": """from django.urls import path
from shop import views
urlpatterns = [
    path("orders/", views.orders),
    path("dies/", views.dies),
    path("sleeps/", views.sleeps),
    path("raises/", views.raises),
    path("writes/", views.writes),
    path("mine/", views.mine),
    path("clean/", views.clean),
]
""",
    "shop/__init__.py": "",
    "shop/models.py": """from django.db import models
class Customer(models.Model):
    name = models.CharField(max_length=40)
class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE)
    note = models.CharField(max_length=40, default="")
""",
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": """from django.db import migrations, models
class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel("Customer", [
            ("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=40))]),
        migrations.CreateModel("Order", [
            ("id", models.BigAutoField(primary_key=True)),
            ("customer", models.ForeignKey("shop.Customer", models.CASCADE)),
            ("note", models.CharField(max_length=40, default=""))]),
    ]
""",
    "shop/management/__init__.py": "",
    "shop/management/commands/__init__.py": "",
    "shop/management/commands/fill.py": """from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from shop.models import Customer, Order
class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--orders", type=int, default=4)
    def handle(self, orders, **options):
        User.objects.create_user("ann", password="x")
        for number in range(orders):
            customer = Customer.objects.create(name=f"customer {number}")
            Order.objects.create(customer=customer)
""",
    "shop/views.py": """import os
import time
from django.http import HttpResponse, JsonResponse
from shop.models import Order


def orders(request):
    names = [order.customer.name for order in Order.objects.order_by("id")]
    return JsonResponse({"names": names})


def dies(request):
    os._exit(7)


def sleeps(request):
    if mark := os.environ.get("SHOP_MARK"):
        os.close(os.open(mark, os.O_CREAT))
    time.sleep(60)


def raises(request):
    raise ValueError(f"no such key: {request.headers.get('X-Shop-Key')}")


def writes(request):
    Order.objects.update(note="seen")
    return HttpResponse("written")


def mine(request):
    return HttpResponse(request.user.username, status=200 if request.user.is_authenticated else 401)


def clean(request):
    return HttpResponse(", ".join(order.customer.name for order in Order.objects.select_related("customer")))
""",
}


@pytest.fixture(scope="session")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder; tests that edit it work on a copy."""
    root = tmp_path_factory.mktemp("rough") / "rough-shop"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
