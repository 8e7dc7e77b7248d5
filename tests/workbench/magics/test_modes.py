"""`%django auto` and `manual`, and what is left after `%unload_ext`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Kernel


@pytest.fixture
def auto(kernel: Kernel) -> Iterator[Kernel]:
    kernel.run("%django auto")
    yield kernel
    kernel.run("%django manual")


def test_every_cell_uses_the_orm(auto: Kernel) -> None:
    """Plain cells and cells below magics that time or capture; until it is taken back."""
    assert auto.run("Trip.objects.count()").value == "30"
    assert auto.run("%%time\nprint(Trip.objects.count())").printed.startswith("30")
    assert not auto.run("%%capture got\nprint(Trip.objects.count())").cell.outputs
    assert auto.run("got.stdout").value == r"'30\n'"
    assert auto.run("%%django\nTrip.objects.count()").value == "30"
    assert auto.run("!echo a command").printed.strip() == "a command"
    auto.run("%django manual")
    assert auto.run("Trip.objects.count()").error == "SynchronousOnlyOperation"


def test_lines_are_the_cells_own(auto: Kernel) -> None:
    """No line is added that the user would see, empty ones above counted too."""
    assert "----> 4 1 / 0" in auto.run("\n\nx = 1\n1 / 0").traceback
    assert "----> 1 1 / 0" in auto.run("1 / 0").traceback


def test_cells_that_await_keep_their_loop(auto: Kernel) -> None:
    """They run as ever, and Django's guard with them."""
    assert auto.run("await Trip.objects.acount()").value == "30"
    assert auto.run("await Trip.objects.acount()\nTrip.objects.count()").error == "SynchronousOnlyOperation"
    # The words alone mean nothing.
    assert auto.run("'await'\nTrip.objects.count()").value == "30"


def test_magics_for_something_else_are_left_alone(auto: Kernel) -> None:
    """A cell of another language is no Python."""
    assert "<b>" in auto.run("%%html\n<b>bold</b>").cell.outputs[0]["data"]["text/html"]


def test_unloaded_nothing_is_left(kernel: Kernel) -> None:
    """Magics, mode, displays and the thread are gone; loaded again, all of them are back."""
    kernel.run("%django auto")
    kernel.run("Trip.objects.count()")
    assert not kernel.run("%unload_ext workbench").cell.outputs
    assert "not found" in kernel.run("%django status").printed
    assert kernel.run("Trip.objects.count()").error == "SynchronousOnlyOperation"
    assert "SynchronousOnlyOperation" in str(kernel.run("Trip.objects.all()").cell.outputs)
    names = "import threading\n[one.name for one in threading.enumerate() if one.name == 'workbench-django' and one.is_alive()]"
    left = kernel.run("from IPython import get_ipython\n" + names).value
    assert left in (
        "[]",
        "['workbench-django']",
    )  # at most the one that a test before has left behind, blocked
    kernel.run("%load_ext workbench")
    assert kernel.run("%%django\nTrip.objects.count()").value == "30"
    assert "the first 20 rows" in kernel.run("Trip.objects.all()").value
