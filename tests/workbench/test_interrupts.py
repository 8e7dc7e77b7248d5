"""Ctrl-C, SIGTERM and SIGKILL in the middle of a fault: everything is healed, ended and removed, and the user is told."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

DRILL = [sys.executable, "-m", "workbench", "drill", "connection-loss", "--pairs", "1", "--out", "run"]
#: Runs one notebook as `workbench report` does, with its way of ending.
DRIVER = """
import sys
from pathlib import Path
from workbench import cli, notebooks
from workbench.run import RunFolder

def run(arguments):
    runner = notebooks.Runner(RunFolder.new(Path("run"), depth="quick"), lambda name: None)
    try:
        runner.execute(Path("drill.ipynb"))
    except notebooks.Interrupted:
        raise KeyboardInterrupt from None
    return 0

cli._run = run
raise SystemExit(cli.main(["claims"]))
"""

#: The signal arrives while a weak reference's callback runs, out of which the interpreter lets nothing be raised.
IN_A_DESTRUCTOR = """
import os, signal, sys, threading, weakref
from workbench import cli
from workbench.commands.opening import terminable

class Thing: pass

def run(arguments):
    with terminable():
        thing = Thing()
        reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGNAL))
        del thing
        threading.Event().wait(20)
    return 0

cli._run = run
raise SystemExit(cli.main(["claims"]))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and gunicorn")


def journalled(folder: Path, kind: str) -> list[dict[str, Any]]:
    try:
        lines = (folder / "run" / "journal.jsonl").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # being written at this moment
        if record["kind"] == kind:
            found.append(record)
    return found


def in_a_fault(folder: Path) -> bool:
    """The server was killed, or is just being killed, and is not back."""
    intents = [one for one in journalled(folder, "intent") if one["fault"] == "server-killed"]
    return len(intents) > sum(
        one["evidence"]["fault"] == "server-killed" for one in journalled(folder, "fault")
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_the_drill_command_is_interrupted(
    world: Any, poll: Callable[..., Any], number: signal.Signals, code: int
) -> None:
    """A drill that is ended while its server is down leaves no process and no file, and its journal can be read."""
    folder = world.temp.parent
    process = world.start(*DRILL)
    poll(lambda: in_a_fault(folder) or process.poll() is not None, timeout=90)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=40)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if code == 130:
        assert err.strip().splitlines()[-1] == "workbench: interrupted; everything that was started is ended"
        assert world.is_clean(), (world.living(), world.lying())
        assert journalled(folder, "end")[-1]["status"] == "interrupted"
    # After a SIGKILL nobody is left to wait for the watchdog, so the test does.
    poll(world.is_clean, timeout=30)
    assert world.workbench("judge", "run/journal.jsonl")[0] in (0, 1, 2, 3)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interruption_is_not_lost_in_a_destructor(world: Any, name: str) -> None:
    """One that lands in a weak reference's callback, where the interpreter drops it, still ends the command, without a traceback."""
    code, _, err = world.run(sys.executable, "-c", IN_A_DESTRUCTOR.replace("SIGNAL", name))
    assert code == 130
    assert err == "workbench: interrupted; everything that was started is ended\n"


@pytest.fixture
def notebook(world: Any) -> Path:
    """A notebook that runs the drill, beside the run folder."""
    path = world.temp.parent / "drill.ipynb"
    source = 'import workbench\nsession = workbench.load()\nsession.run("connection-loss", pairs=1)'
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    return path


@pytest.mark.parametrize("victim", ["driver", "kernel"])
@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name
)
def test_a_notebook_is_interrupted(
    world: Any, poll: Callable[..., Any], notebook: Path, victim: str, number: signal.Signals
) -> None:
    """Driver or kernel ended in the middle of a fault: PostgreSQL, proxy, gunicorn and temp folders are gone afterwards."""
    folder = world.temp.parent
    process = world.start(sys.executable, "-c", DRIVER)
    poll(lambda: in_a_fault(folder) or process.poll() is not None, timeout=90)
    assert process.poll() is None, process.communicate()
    if victim == "driver":
        os.killpg(process.pid, number)
    else:
        kernel = next(
            one
            for one in psutil.Process(process.pid).children()
            if "ipykernel_launcher" in " ".join(one.cmdline())
        )
        os.kill(kernel.pid, number)
    _, err = process.communicate(timeout=60)
    if victim == "driver":
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130), err
    else:
        assert process.returncode == 2, err
        assert "next: " in err
    assert "Traceback" not in err
    if not (victim == "driver" and number == signal.SIGKILL):
        assert world.is_clean(), (world.living(), world.lying())
    poll(world.is_clean, timeout=30)
