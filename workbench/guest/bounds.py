"""A page that loops must end: a clock that interrupts it, even where it asks no database."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from typing import Any

from workbench.guest.capture import PageCutError, Recorder


class bounded:  # noqa: N801 used as a verb
    """Cut what runs inside after so many seconds; a context manager.

    On the main thread of POSIX by a timer signal, which also ends a sleep or a wait for a socket; elsewhere by an exception
    that Python raises at its next step. Code that swallows the cut is cut again every half second.

    Args:
        recorder: refuses further statements from then on.
        seconds: how long.
    """

    def __init__(self, recorder: Recorder, seconds: float) -> None:
        self._recorder = recorder
        self._seconds = seconds
        self._text = f"cut after {seconds:g} s"
        self._old: Any = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> bounded:
        if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, self._seconds, 0.5)
        else:
            target = threading.get_ident()
            self._thread = threading.Thread(
                target=self._wait, args=(target,), name="workbench-bounds", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._old if self._old is not None else signal.SIG_DFL)
        else:
            self._done.set()
            self._thread.join()

    def _ring(self, *_: object) -> None:
        self._recorder.cut = self._text
        raise PageCutError(self._text)

    def _wait(self, target: int) -> None:
        deadline = time.monotonic() + self._seconds
        while not self._done.wait(max(0.0, deadline - time.monotonic())):
            self._recorder.cut = self._text
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(target), ctypes.py_object(PageCutError))
            deadline = time.monotonic() + 0.5
