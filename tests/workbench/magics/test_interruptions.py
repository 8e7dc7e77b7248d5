"""Stop in the notebook, while a cell runs in the worker."""

from __future__ import annotations

import pytest

from .conftest import Kernel, Ran

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def started(ran: Ran) -> bool:
    return "started" in ran.printed


def test_python_code_is_stopped(kernel: Kernel) -> None:
    """A loop ends within moments, at its own line, and the kernel goes on."""
    ran, seconds = kernel.interrupted(
        "%%django\nprint('started', flush=True)\nwhile True:\n    x = 1\n", started
    )
    assert ran.error == "KeyboardInterrupt"
    assert f"Cell In[{ran.cell.execution_count}]" in ran.traceback
    assert seconds < 3
    assert kernel.run("%%django\nTrip.objects.count()").value == "30"


@pytest.mark.parametrize("magic", ["queries", "queries --time", "memory"])
def test_a_measured_cell_is_stopped(kernel: Kernel, magic: str) -> None:
    """What it had done is shown, and the next one is measured as ever."""
    ran, seconds = kernel.interrupted(
        f"%%{magic} kept\nTrip.objects.count()\nprint('started', flush=True)\nwhile True:\n    x = 1\n",
        started,
    )
    assert ran.error == "KeyboardInterrupt"
    assert seconds < 10
    if magic != "memory":
        assert "it ended with KeyboardInterrupt" in ran.shown
        assert kernel.run("len(kept.queries)").value == "1"
    again = kernel.run(f"%%{magic}\nTrip.objects.count()")
    assert again.value == "30"
    assert ("1 statement" if magic != "memory" else "over the start") in again.shown


def test_a_running_statement_is_stopped_and_its_block_rolled_back(kernel: Kernel) -> None:
    """The driver is told; what the block had written is gone, and the connection is good for the next cell."""
    source = f"""%%django
from django.db import connection, transaction
same = connection.connection
with transaction.atomic():
    Trip.objects.create(route_id=1, number=999)
    print("started", flush=True)
    connection.cursor().execute("{ENDLESS}")
"""
    ran, seconds = kernel.interrupted(source, started)
    assert ran.error == "KeyboardInterrupt"
    assert seconds < 3
    assert kernel.run("%%django\nTrip.objects.filter(number=999).count()").value == "0"
    assert kernel.run("%%django\nconnection.in_atomic_block").value == "False"


def test_a_cell_that_swallows_the_interruption_still_counts_as_stopped(kernel: Kernel) -> None:
    """Run All must not go on after a stop, whatever the cell makes of it."""
    source = "%%django\ntry:\n    print('started', flush=True)\n    while True:\n        x = 1\nexcept BaseException:\n    pass\n"
    ran, _ = kernel.interrupted(source, started)
    assert ran.error == "KeyboardInterrupt"


def test_nothing_of_an_interruption_hits_the_next_cell(kernel: Kernel) -> None:
    """Stopped many times around its very end, a cell takes the interruption with it."""
    for _ in range(5):
        kernel.interrupted(
            "%%django\nprint('started', flush=True)\nx = [i for i in range(3_000_000)]", started
        )
        assert kernel.run("%%django\nsum(i for i in range(100_000)) and Trip.objects.count()").value == "30"


def test_a_blocked_thread_is_left_behind(kernel: Kernel) -> None:
    """Code blocked in C cannot be stopped: after 3 s the notebook is free again, told what was left, and has a new thread."""
    kernel.run(
        "%%django\nimport threading\nfrom django.db import connections\nfirst = threading.get_ident()\nconnections['scratch'].ensure_connection()"
    )
    ran, seconds = kernel.interrupted(
        "%%django\nimport time\nprint('started', flush=True)\ntime.sleep(60)", started
    )
    assert ran.error == "KeyboardInterrupt"
    assert "Its thread is left behind, with its database connection" in ran.message
    assert "what was in memory as scratch is gone with it" in ran.message
    assert 2.5 < seconds < 15
    assert kernel.run("%%django\nthreading.get_ident() == first, Trip.objects.count()").value == "(False, 30)"
    assert "1 threads were left behind" in kernel.run("%django status").printed
