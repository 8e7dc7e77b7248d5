"""How a command gets its run folder, and how it ends when it is asked to."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from workbench import project
from workbench.errors import WorkbenchError
from workbench.run import SEED, RunFolder

#: A month of DB-1; more is a mistyped number.
MOST_PAIRS = 100_000
#: Seconds until a dropped interruption is sent again.
AFTER_THE_DESTRUCTOR = 0.05


def new_run(arguments: argparse.Namespace) -> RunFolder:
    if str(getattr(arguments, "out", None) or "") == ".":
        raise WorkbenchError(
            "--out is empty or the working directory itself", "name a folder for the run, or leave --out away"
        )
    # Before there is a folder: notebooks would join an empty one as the newest run.
    pairs = getattr(arguments, "pairs", None)
    if pairs is not None and pairs < 1:
        raise WorkbenchError(f"{pairs} pairs cannot be run", "give 1 or more, or leave it out")
    if pairs is not None and pairs > MOST_PAIRS:
        raise WorkbenchError(
            f"{pairs} pairs would take longer than anybody waits", f"give {MOST_PAIRS} or fewer"
        )
    found = project.find(arguments.project, arguments.settings)
    seed = SEED if arguments.seed is None else arguments.seed
    # The journal gets shared: of a path only its last name is told.
    words = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    command = shlex.join(["workbench", *words])
    return RunFolder.new(
        getattr(arguments, "out", None), measured=found, depth=arguments.depth, seed=seed, command=command
    )


def shortest(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, so that faults are healed and servers ended.

    An interruption that lands in a destructor or in a weak reference's callback is printed and dropped by the interpreter: it is
    sent once more, when that destructor is over.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def once_more(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            told(dropped)
            return
        # Not from here: whatever is raised before this hook returns is dropped as well.
        again = threading.Timer(AFTER_THE_DESTRUCTOR, _to_the_main_thread)
        again.daemon = True
        waiting.append(again)
        again.start()

    waiting: list[threading.Timer] = []
    told, sys.unraisablehook = sys.unraisablehook, once_more
    names = [name for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for timer in waiting:
            timer.cancel()  # once the handlers are gone, the signal would end the process without a word
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
        sys.unraisablehook = told


def _to_the_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):
        # Ends what the thread waits for, too.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        signal.raise_signal(signal.SIGTERM)
