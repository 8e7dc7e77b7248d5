"""Cells of `%%django` in a real kernel: what a user would notice of the thread, one test each."""

from __future__ import annotations

import pytest

from .conftest import Kernel


def test_the_orm_works_and_the_guard_stays_on(kernel: Kernel) -> None:
    """In a cell of the magic the ORM works; in any other Django refuses as in an async view, and nothing was switched off."""
    assert kernel.run("%%django\nTrip.objects.count()").value == "30"
    assert kernel.run("Trip.objects.count()").error == "SynchronousOnlyOperation"
    assert kernel.run("import os\n'DJANGO_ALLOW_ASYNC_UNSAFE' in os.environ").value == "False"


def test_the_namespace_is_one(kernel: Kernel) -> None:
    """Names go from a cell of either kind to the other."""
    kernel.run("wanted = 7")
    kernel.run("%%django\nfound = Trip.objects.get(number=wanted)")
    assert kernel.run("found.number").value == "7"


def test_output_belongs_to_its_cell(kernel: Kernel) -> None:
    """Print, display, errors, logs, commands and timings land below the cell that made them, not below the first one."""
    kernel.run("%%django\n1")
    source = """%%django
import sys, logging
from IPython.display import display
print("to standard output")
print("to standard error", file=sys.stderr)
logging.getLogger("here").warning("to the log")
!echo from a command
%time Trip.objects.count()
display("displayed")
"""
    ran = kernel.run(source)
    for text in ("to standard output", "to standard error", "to the log", "from a command", "Wall time"):
        assert text in ran.printed, ran.printed
    assert ran.shown == "'displayed'"
    assert kernel.run("%%django\n1").printed == ""


def test_the_context_of_the_cell_goes_along(kernel: Kernel) -> None:
    """Context variables, by which Jupyter finds the cell of an output, are those of the cell that asks, each time anew."""
    kernel.run("import contextvars\nvariable = contextvars.ContextVar('variable', default=0)")
    for number in ("1", "2"):
        source = f"variable.set({number})\nget_ipython().run_cell_magic('django', '', 'variable.get()')"
        assert kernel.run(source).value == number


def test_the_last_expression_is_the_value(kernel: Kernel) -> None:
    """It is shown with the cell's own number, and kept as IPython keeps it; a semicolon silences it."""
    ran = kernel.run("%%django\nTrip.objects.filter(number__lt=3).count()")
    assert ran.value == "3"
    number = next(one.execution_count for one in ran.cell.outputs if one.output_type == "execute_result")
    assert number == ran.cell.execution_count
    assert kernel.run(f"Out[{number}], _").value == "(3, 3)"
    assert kernel.run("%%django\nTrip.objects.count();").value == ""


def test_capture_above_the_magic_keeps_everything(kernel: Kernel) -> None:
    """`%%capture` catches what is printed and what is shown."""
    ran = kernel.run("%%capture got\n%%django\nprint('printed')\nTrip.objects.count()")
    assert not ran.cell.outputs
    assert kernel.run("got.stdout").value == r"'printed\n'"
    assert kernel.run("[one.data['text/plain'] for one in got.outputs]").value == "['30']"


def test_an_error_is_the_cells_own(kernel: Kernel) -> None:
    """The original exception, at the lines that the user sees, without a frame of ours; and it can be pickled afterwards."""
    ran = kernel.run("%%django\n\nx = 1\n\ndef fails():\n    return x / 0\n\nfails()")
    assert ran.error == "ZeroDivisionError"
    assert f"Cell In[{ran.cell.execution_count}], line 8" in ran.traceback
    assert "----> 6     return x / 0" in ran.traceback
    assert "workbench" not in ran.traceback
    assert "run_cell_magic" not in ran.traceback
    assert (
        kernel.run("import pickle, sys\ntype(pickle.loads(pickle.dumps(sys.last_value)))").value
        == "ZeroDivisionError"
    )


def test_an_error_below_capture_has_its_lines(kernel: Kernel) -> None:
    """Two magics above the body: lines still count from the top of the cell."""
    ran = kernel.run("%%time\n%%django\n\n1 / 0")
    assert "----> 4 1 / 0" in ran.traceback


def test_a_syntax_error_has_its_line(kernel: Kernel) -> None:
    """It names the line in the cell."""
    ran = kernel.run("%%django\n\nx = = 1")
    assert ran.error == "SyntaxError"
    assert f"Cell In[{ran.cell.execution_count}], line 3" in ran.traceback


def test_top_level_await_is_refused(kernel: Kernel) -> None:
    """With a sentence that says where it works; functions may be asynchronous, and async_to_sync runs them."""
    ran = kernel.run("%%django\nawait Trip.objects.acount()")
    assert ran.error == "WorkbenchError"
    assert "next: await in a cell without the magic" in ran.message
    assert "workbench/magics" not in ran.traceback
    assert kernel.run("await Trip.objects.acount()").value == "30"
    source = "%%django\nfrom asgiref.sync import async_to_sync\nasync def ask():\n    return await Trip.objects.acount()\nasync_to_sync(ask)()"
    assert kernel.run(source).value == "30"


def test_input_fails_as_it_does_elsewhere(kernel: Kernel) -> None:
    """Where the frontend has no input, the cell says so and does not hang."""
    assert kernel.run("%%django\ninput()").error == "StdinNotImplementedError"


def test_one_connection_from_cell_to_cell(kernel: Kernel) -> None:
    """A database in memory, which lives in its connection, is still there in the next cell."""
    kernel.run(
        "%%django\nfrom django.db import connections\nconnections['scratch'].cursor().execute('CREATE TABLE kept (x)')"
    )
    ran = kernel.run("%%django\nconnections['scratch'].introspection.table_names()")
    assert ran.value == "['kept']", ran.traceback


def test_nothing_is_held(kernel: Kernel) -> None:
    """What the notebook deletes is gone, also what a cell returned or raised."""
    source = """%%django
import gc, weakref
class Thing: pass
thing = Thing()
kept = weakref.ref(thing)
thing;
"""
    kernel.run(source)
    kernel.run("del thing")
    assert kernel.run("gc.collect(); kept() is None").value == "True"
    kernel.run(
        "%%django\nclass Mishap(Exception): pass\ndef fail():\n    mishap = Mishap()\n    global lost\n    lost = weakref.ref(mishap)\n    raise mishap\ntry:\n    fail()\nexcept Mishap: pass"
    )
    assert kernel.run("%%django\ngc.collect(); lost() is None").value == "True"


def test_threads_of_a_cell_may_show_things(kernel: Kernel) -> None:
    """A cell that waits for its own thread, which displays a queryset, comes to its end: that thread asks for itself."""
    source = """%%django
from concurrent.futures import ThreadPoolExecutor
from django.db import connection
def show(number):
    display(Trip.objects.filter(number=number))
    connection.close()
with ThreadPoolExecutor(1) as pool:
    list(pool.map(show, [1, 2]))
"""
    ran = kernel.run(source)
    assert not ran.error, ran.traceback
    assert kernel.run("%%django\n1").value == "1"


@pytest.mark.parametrize("line", ["%%django load\n1", "%django", "%django loud", "%django auto now"])
def test_what_cannot_be_done_is_said(kernel: Kernel, line: str) -> None:
    """One sentence, and what there is."""
    ran = kernel.run(line)
    assert ran.error == "WorkbenchError"
    assert "load PATH [MODULE], auto, manual, status" in ran.message
