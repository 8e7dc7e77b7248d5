"""Querysets and instances, shown by cells of either kind."""

from __future__ import annotations

import pytest

from .conftest import Kernel


@pytest.mark.parametrize("magic", ["", "%%django\n"])
def test_a_queryset_is_a_table_with_few_rows(kernel: Kernel, magic: str) -> None:
    """The first twenty rows, foreign keys by their value, long texts cut, and markup of the data's own harmless."""
    ran = kernel.run(f"{magic}Trip.objects.order_by('pk')")
    assert ran.value.startswith("TripQuerySet of trips.Trip: the first 20 rows")
    assert "route_id" in ran.value
    assert "long long long" in ran.value
    assert "long " * 40 not in ran.html
    assert "<table" in ran.html
    named = kernel.run(f"{magic}Route.objects.filter(name='Line <3>')")
    assert "Line <3>" in named.value
    assert "Line &lt;3&gt;" in named.html


def test_showing_asks_once(kernel: Kernel) -> None:
    """One statement with a limit for text and HTML together, none for relations, and none at all when it was evaluated."""
    source = """%%django
from django.test.utils import CaptureQueriesContext
from django.db import connection
shown = Trip.objects.select_related("route").prefetch_related("passengers").order_by("pk")
with CaptureQueriesContext(connection) as asked:
    display(shown)
print(len(asked), asked[0]["sql"].endswith("LIMIT 21"), shown._result_cache)
list(shown)
with CaptureQueriesContext(connection) as asked:
    display(shown)
print(len(asked))
"""
    assert kernel.run(source).printed.split("\n")[:2] == ["1 True None", "0"]


def test_results_of_other_kinds(kernel: Kernel) -> None:
    """Dictionaries, tuples, single values, annotations, deferred columns, nothing at all."""
    assert "route__name" in kernel.run("Trip.objects.values('number', 'route__name')[:2]").value
    assert "number" in kernel.run("Trip.objects.values_list('number')[:2]").value
    assert "2 rows" in kernel.run("Trip.objects.values_list('number', flat=True)[:2]").value
    assert (
        "double"
        in kernel.run("from django.db.models import F\nTrip.objects.annotate(double=F('number') * 2)").value
    )
    assert "notes" not in kernel.run("Trip.objects.defer('notes')").value
    assert kernel.run("Trip.objects.none()").value == "TripQuerySet of trips.Trip: no rows"
    assert "1 row" in kernel.run("Trip.objects.filter(number=1).union(Trip.objects.filter(number=1))").value


def test_an_instance_is_a_list_of_fields(kernel: Kernel) -> None:
    """By an ordinary cell too, alone and inside of other things."""
    kernel.run("%%django\none = Route.objects.first()")
    ran = kernel.run("one")
    assert ran.value == "<Route: Route object (1)>"
    assert "carrier_id" in ran.html
    assert kernel.run("[one, {'it': one}]").value.count("<Route: Route object (1)>") == 2
    assert (
        kernel.run("[Trip.objects.values_list('number').order_by('pk')[:1]]").value
        == "[<TripQuerySet [(0,)]>]"
    )


def test_what_asks_by_itself_still_fails_loudly(kernel: Kernel) -> None:
    """Only showing hops: a loop, or a relation, in an ordinary cell is refused by Django."""
    assert kernel.run("list(Trip.objects.all())").error == "SynchronousOnlyOperation"
    assert kernel.run("one.carrier").error == "SynchronousOnlyOperation"


def test_an_error_while_showing_is_shown(kernel: Kernel) -> None:
    """A queryset that the database refuses is no empty table."""
    ran = kernel.run("Trip.objects.extra(where=['no_such_column = 1'])")
    assert "no such column" in ran.printed + ran.traceback
