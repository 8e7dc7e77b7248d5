"""`%%queries`, `%%memory` and `%%responses` in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel

LOOP = """%%queries seen
for trip in Trip.objects.filter(number__lt=9):
    trip.route.name
first = Trip.objects.filter(number=3).exists()
again = Trip.objects.filter(number=3).exists()
'the value'
"""


def test_queries_are_grouped_by_place_and_candidates_named(kernel: Kernel) -> None:
    """An N+1 with its relation and the cell's own line, a duplicate, the value of the cell, and the record by its name."""
    ran = kernel.run(LOOP)
    assert not ran.error, ran.traceback
    assert ran.value == "'the value'"
    place = f"In[{ran.cell.execution_count}]"
    assert "12 statements, 4 by place and text" in ran.shown
    assert f"{place}:3: trips.Trip.route is fetched for one instance at a time: 9 statements" in ran.shown
    assert "the same is asked with the same values" in ran.shown
    assert "9 statements (untested)" in ran.shown
    assert "untested: one run cannot show" in ran.shown
    assert (
        kernel.run("[(one.kind, one.relation) for one in seen.findings]").value
        == "[('n-plus-one', 'trips.Trip.route'), ('duplicate', None)]"
    )
    assert kernel.run("len(seen.to_dataframe()), seen.by_site()[0].runs").value == "(12, 9)"


def test_a_time_is_told_only_where_nothing_else_was_added(kernel: Kernel) -> None:
    """With --time the whole cell counts and nothing is concluded; without, only what the database took."""
    timed = kernel.run(
        "%%queries --time\nfor trip in Trip.objects.filter(number__lt=9):\n    trip.route.name\n"
    ).shown
    assert "ms in the database of" in timed
    assert "one instance at a time" not in timed
    assert "ms in the database of" not in kernel.run(LOOP).shown


def test_a_cell_that_fails_shows_what_it_had_asked(kernel: Kernel) -> None:
    """The error is the cell's own, and what came before it is there."""
    ran = kernel.run("%%queries\nTrip.objects.count()\n1 / 0")
    assert ran.error == "ZeroDivisionError"
    assert "----> 3 1 / 0" in ran.traceback
    assert "1 statement" in ran.shown
    assert "it ended with ZeroDivisionError" in ran.shown


def test_statements_of_a_cells_threads_are_seen(kernel: Kernel) -> None:
    """Every thread's connection is watched, not only the cell's."""
    source = """%%queries
from concurrent.futures import ThreadPoolExecutor
from django.db import connection
def ask(number):
    try:
        return Trip.objects.filter(number=number).count()
    finally:
        connection.close()
with ThreadPoolExecutor(2) as pool:
    list(pool.map(ask, range(4)))
"""
    assert "4 statements" in kernel.run(source).shown


def test_showing_the_result_is_not_counted(kernel: Kernel) -> None:
    """A queryset that is only made asks nothing; the table below is ours."""
    ran = kernel.run("%%queries\nTrip.objects.all()")
    assert "the first 20 rows" in ran.value
    assert ran.shown.startswith("no statement: a queryset asks when it is read")


def test_one_is_observed_at_a_time(kernel: Kernel) -> None:
    """One inside the other is refused in words; nothing of the first is left behind for the next."""
    ran = kernel.run("%%queries\nget_ipython().run_cell_magic('queries', '', 'Trip.objects.count()')")
    assert "being recorded already" in ran.message
    assert "1 statement" in kernel.run("%%queries\nTrip.objects.count()").shown


def test_memory_counts_the_cells_own(kernel: Kernel) -> None:
    """Peak and remainder of what the cell allocated, whatever the kernel had before; and what was counted is said."""
    kernel.run("ballast = bytearray(300 * 2**20)\ndel ballast")
    ran = kernel.run("%%memory used\nkept = bytearray(8 * 2**20)\nlen(bytearray(32 * 2**20))")
    assert ran.value == str(32 * 2**20)
    peak, kept = (
        float(number) / 2**20 for number in kernel.run("used.peak, used.kept").value.strip("()").split(", ")
    )
    assert 40 <= peak < 48
    assert 8 <= kept < 12
    assert "counted by memray: every allocation of Python and of C" in ran.shown
    small = kernel.run("%%memory used\nkept = list(Trip.objects.all())")
    assert "KiB over the start" in small.shown


def test_memory_where_memray_is_taken(kernel: Kernel) -> None:
    """Another tracker is active: Python's own counter takes its place, and that is said."""
    kernel.run(
        "import memray, tempfile\nother = memray.Tracker(tempfile.mkdtemp() + '/other.bin')\nother.__enter__();"
    )
    ran = kernel.run("%%memory\nlen(bytearray(32 * 2**20))")
    kernel.run("other.__exit__(None, None, None)")
    assert "peak 32.0 MiB" in ran.shown
    assert "counted by tracemalloc: Python's allocations only" in ran.shown


def test_responses_that_are_there_already(kernel: Kernel) -> None:
    """Sizes of a response; no page is visited on databases of the notebook's own, and a number is no response."""
    source = "%%responses got\nfrom django.http import HttpResponse\nHttpResponse('x' * 10_000)"
    ran = kernel.run(source)
    assert "10,000" in ran.shown
    assert kernel.run("got.rows[0].sizes['gzip'] < 200, got.rows[0].milliseconds").value == "(True, None)"
    assert "Django is on databases of its own here" in kernel.run("%%responses\n'/'").message
    assert "the last expression is of type int" in kernel.run("%%responses\n3").message
    assert "the last expression is nothing" in kernel.run("%%responses\nx = 3").message


@pytest.fixture
def loaded(shop: tuple[Kernel, Path]) -> Kernel:
    return shop[0]


def test_pages_are_visited(loaded: Kernel) -> None:
    """Status, size, codings and time of each; a page that fails is a row."""
    ran = loaded.run("%%responses got\n['/all/', '/broken/', '/nowhere/']")
    assert not ran.error, ran.traceback
    assert loaded.run("[one.status for one in got.rows]").value == "[200, 500, 404]"
    assert (
        loaded.run("got.rows[0].bytes > got.rows[0].sizes['gzip'], got.rows[0].milliseconds > 0").value
        == "(True, True)"
    )
    assert "RuntimeError: always" in ran.shown
    assert "bytes" in str(loaded.run("got.to_dataframe().columns.tolist()").value)


def test_lines_of_the_project_are_named(loaded: Kernel) -> None:
    """Queries of a page that a cell visits itself carry the project's own lines."""
    ran = loaded.run("%%queries seen\nfrom django.test import Client\nClient().get('/all/').status_code")
    assert ran.value == "200"
    assert "shop/urls.py:" in ran.shown


def test_profile_queries_in_a_cell(loaded: Kernel) -> None:
    """A callable or a page of the loaded project, in a cell of the magic; in any other one it says what is missing."""
    ran = loaded.run(
        "%%django\nimport workbench\nfrom shop.models import Article\nworkbench.profile_queries(lambda: list(Article.objects.all()))"
    )
    assert not ran.error, ran.traceback
    assert ran.value.startswith("1 statement, 1 by place and text")
    assert "<svg" not in ran.html
    two = loaded.run(
        "%%django\nworkbench.profile_queries('Article.objects.count(), Article.objects.count()')"
    )
    assert "<svg" in two.html, two.traceback
    page = loaded.run("%%django\nstep = workbench.profile_queries('/all/')\nstep.view.status, step.timed")
    assert page.value == "(200, True)", page.traceback
    assert "put %%django above the cell" in loaded.run("workbench.profile_queries('/all/')").message


def test_what_is_profiled_stays_in_the_sandbox(loaded: Kernel) -> None:
    """The workbench's own frames around it open no way out, also where no frame of the project is between."""
    ran = loaded.run(
        "%%django\nimport functools, socket\nworkbench.profile_queries(functools.partial(socket.create_connection, ('192.0.2.7', 80), 1))"
    )
    assert ran.error == "BlockedError", ran.traceback
