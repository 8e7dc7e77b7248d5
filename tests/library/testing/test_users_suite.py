"""The suites of a user's own project, with pytest-django and with Django's runner, as README shows them.

Their test databases are made by those runners, on the session's server, by a role that may do no more than make databases.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

MODELS = """
from django.db import models, transaction
from stalwart import database_retry


class Order(models.Model):
    symbol = models.CharField(max_length=10)


@database_retry
def place_order(symbol):
    with transaction.atomic():
        return Order.objects.create(symbol=symbol)


def place_order_carelessly(symbol):
    for _ in range(3):
        try:
            with transaction.atomic():
                return Order.objects.create(symbol=symbol)
        except Exception:
            continue
"""

# The first two are README's.
PYTEST = """
import pytest
from shop.models import Order, place_order, place_order_carelessly
from stalwart.events import RetryScheduled


@pytest.mark.django_db(transaction=True)
def test_an_order_outlives_its_connection(kill_connection_at, recorded_events):
    with kill_connection_at("INSERT"):
        place_order("ACME")
    assert Order.objects.count() == 1
    assert isinstance(recorded_events[0], RetryScheduled)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("committed", [True, False])
def test_an_order_is_placed_once(lose_commit_reply, committed):
    with lose_commit_reply(committed=committed):
        place_order("ACME")
    assert Order.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_careless_code_is_found_out(lose_commit_reply):
    with lose_commit_reply():
        place_order_carelessly("ACME")
    assert Order.objects.count() == 1  # fails: there are two


@pytest.mark.django_db
def test_inside_a_transaction(kill_connection_at):
    with kill_connection_at("INSERT"):
        place_order("ACME")


@pytest.mark.django_db(transaction=True)
def test_nothing_bites(kill_connection_at):
    with kill_connection_at("DELETE"):
        place_order("ACME")


@pytest.mark.django_db(transaction=True)
def test_with_is_forgotten(kill_connection_at):
    kill_connection_at("INSERT")
    place_order("ACME")


@pytest.mark.django_db(transaction=True)
def test_a_fault_that_was_entered_by_hand(kill_connection_at):
    kill_connection_at("INSERT", times=None).__enter__()


@pytest.mark.django_db(transaction=True)
def test_is_over_in_the_next_test():
    place_order("ACME")
    assert Order.objects.count() == 1
"""

UNITTEST = """
from django.test import TestCase, TransactionTestCase
from shop.models import Order, place_order
from stalwart.testing import kill_connection_at, refuse_connections


class Ordering(TransactionTestCase):
    def test_an_order_outlives_its_connection(self):
        with kill_connection_at("INSERT"):
            place_order("ACME")
        self.assertEqual(Order.objects.count(), 1)

    def test_an_order_outlives_an_outage(self):
        Order.objects.count()
        with refuse_connections(times=3):
            place_order("ACME")
        self.assertEqual(Order.objects.count(), 1)


class Careless(TestCase):
    def test_inside_a_transaction(self):
        with kill_connection_at("INSERT"):
            place_order("ACME")
"""

SETTINGS = """
import json, os
DATABASES = {"default": json.loads(os.environ["SHOP_DATABASE"])}
INSTALLED_APPS = ["stalwart", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for tests only"
USE_TZ = True
"""


@pytest.fixture
def project(tmp_path, postgres) -> Iterator[Path]:
    """A project with one app and no migrations; its role may make databases while the test runs."""
    for name, text in {
        "conftest.py": 'pytest_plugins = ["stalwart.testing.plugin"]\n',
        "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\n",
        "settings.py": SETTINGS,
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "shop/tests.py": UNITTEST,
        "test_shop.py": PYTEST,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
    with postgres.connect() as admin:
        admin.execute("ALTER ROLE app CREATEDB")
    yield tmp_path
    with postgres.connect() as admin:
        admin.execute("ALTER ROLE app NOCREATEDB")
        left = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test_shop%'").fetchall()
    assert left == []


def run(project: Path, postgres, *command: str) -> tuple[int, str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))
    }
    environment["SHOP_DATABASE"] = json.dumps(
        postgres.django_database("postgres", TEST={"NAME": "test_shop"})
    )
    environment["DJANGO_SETTINGS_MODULE"] = "settings"
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # only what a fault may meet; it takes seconds less
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_suite_with_pytest_django(project, postgres) -> None:
    """What should pass passes; each slip fails by one clear message."""
    code, output = run(
        project, postgres, "pytest", "-q", "-rA", "-p", "pytest_django.plugin", "-p", "no:cacheprovider"
    )
    outcomes = {
        name: outcome
        for outcome, name in re.findall(
            r"^(PASSED|FAILED|ERROR) test_shop\.py::test_(\S+)", output, re.MULTILINE
        )
    }
    assert outcomes == {
        "an_order_outlives_its_connection": "PASSED",
        "an_order_is_placed_once[True]": "PASSED",
        "an_order_is_placed_once[False]": "PASSED",
        "careless_code_is_found_out": "FAILED",
        "inside_a_transaction": "FAILED",
        "nothing_bites": "FAILED",
        "with_is_forgotten": "ERROR",
        "a_fault_that_was_entered_by_hand": "PASSED",
        "is_over_in_the_next_test": "PASSED",
    }, output
    assert code == 1
    assert "would test nothing: this test runs inside a transaction of its own" in output
    assert "kill_connection_at has bitten 0 of 1 times" in output
    assert "was called, but not entered" in output
    assert "ERROR test_shop.py::test_inside_a_transaction" not in output  # one slip, one message
    assert "assert 2 == 1" in output


def test_a_suite_with_djangos_runner(project, postgres) -> None:
    """Without pytest: TransactionTestCase works, TestCase is told."""
    code, output = run(project, postgres, "django", "test", "--noinput")
    assert code == 1
    assert "Ran 3 tests" in output, output
    assert "FAILED (errors=1)" in output, output
    assert "would test nothing" in output
    assert "Use TransactionTestCase instead of TestCase" in output
