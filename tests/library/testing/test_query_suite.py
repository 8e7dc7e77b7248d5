"""A user's suite with the assertions on statements: pytest-django's and Django's own tests, inside of their transactions.

On SQLite and without psycopg: an application with nothing but the library can use them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

FILES = {
    "conftest.py": """
        import sys
        sys.modules["psycopg"] = sys.modules["psycopg2"] = sys.modules["workbench"] = None
        pytest_plugins = ["stalwart.testing.plugin"]
    """,
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\npython_files = test_*.py\nfilterwarnings = error\n",
    "settings.py": """
        DATABASES = {
            name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"} for name in ("default", "archive")
        }
        INSTALLED_APPS = ["shop"]
        ROOT_URLCONF = "shop.urls"
        SECRET_KEY = "for tests only"
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        USE_TZ = True
    """,
    "shop/__init__.py": "",
    "shop/models.py": """
        from django.db import models

        class Customer(models.Model):
            name = models.CharField(max_length=20)

        class Order(models.Model):
            customer = models.ForeignKey(Customer, models.CASCADE)
    """,
    "shop/urls.py": """
        from django.http import HttpResponse
        from django.urls import path
        from shop.models import Order

        def careless(request):
            return HttpResponse("".join(order.customer.name for order in Order.objects.all()))

        def careful(request):
            return HttpResponse("".join(one.customer.name for one in Order.objects.select_related("customer")))

        urlpatterns = [path("careless/", careless), path("careful/", careful)]
    """,
    "test_shop.py": """
        import pytest
        from django.test import TestCase
        from shop.models import Customer, Order
        from stalwart import testing

        def orders(number):
            for n in range(number):
                Order.objects.create(customer=Customer.objects.create(name=str(n)))

        @pytest.mark.django_db
        def test_careful(client, assert_no_n_plus_one, max_queries):
            assert_no_n_plus_one(lambda: client.get("/careful/"), factory=orders)
            with max_queries(1), assert_no_n_plus_one():
                client.get("/careful/")

        @pytest.mark.django_db
        def test_careless(client, assert_no_n_plus_one):
            assert_no_n_plus_one(lambda: client.get("/careless/"), factory=orders)

        @pytest.mark.django_db
        def test_too_many(client, max_queries):
            orders(4)
            with max_queries(2):
                client.get("/careless/")

        class Shop(TestCase):
            databases = {"default"}

            def test_careful(self):
                orders(3)
                with testing.max_queries(1):
                    self.client.get("/careful/")

            def test_careless(self):
                orders(3)
                with testing.assert_no_n_plus_one():
                    self.client.get("/careless/")
    """,
}


def test_a_suite_on_sqlite(tmp_path: Path) -> None:
    """What should pass passes; a failure shows the test's own line and the place in the application, and no frame of ours."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "pytest_django.plugin", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr
    outcomes = dict(re.findall(r"^(?:PASSED|FAILED|ERROR) test_shop\.py::(\S+)()", output, re.MULTILINE))
    assert set(outcomes) == {
        "test_careful",
        "test_careless",
        "test_too_many",
        "Shop::test_careful",
        "Shop::test_careless",
    }, output
    failed = set(re.findall(r"^FAILED test_shop\.py::(\S+)", output, re.MULTILINE))
    assert failed == {"test_careless", "test_too_many", "Shop::test_careless"}, output
    assert "3 -> 9  shop.urls.careless.<locals>.<genexpr>:7, for shop.Order.customer" in output
    assert 'next: select_related("customer") where the rows of shop.Order are read' in output
    assert "5 statements, 3 more than the 2 allowed" in output
    assert "lib/stalwart/testing" not in output
