"""The one thread in which cells use the ORM, and how a cell in it is stopped.

A signal reaches the main thread only, which waits here for the cell. It hands the interruption on: to Python code as an
exception that is set from outside, to a running statement through its driver. Code that is blocked in C hears neither; its
thread is then left behind.
"""

from __future__ import annotations

import contextvars
import ctypes
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from workbench.magics import connections

#: Seconds that an interrupted cell gets, and after which its statements are cancelled once more: the first time may have
#: been just before one began.
PATIENCE, AGAIN = 3.0, 1.0
#: Seconds of one wait: on Windows a wait without a limit cannot be interrupted.
_SLICE = 0.2

_LEFT = (
    "the cell is blocked outside of Python and could not be stopped within {seconds:.0f} s. Its thread is left behind, with its "
    "database connection and what that has locked, until it ends by itself; the next cell gets a new thread{lost}"
)


class Job:
    """One call for the worker, with the context of the cell that asked: its output belongs there."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call
        self._context: contextvars.Context | None = contextvars.copy_context()
        self._value: Any = None
        self._error: BaseException | None = None
        self._over = self._refused = False
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self.thread = 0

    def perform(self) -> None:
        """Make the call, in the worker."""
        try:
            with self._lock:
                self.thread = threading.get_ident()
            if self._refused:
                raise KeyboardInterrupt  # noqa: TRY301 as one that comes later
            connections.mend()
            assert self._call is not None
            assert self._context is not None
            self._value = self._context.run(self._call)
        except BaseException as error:  # noqa: BLE001 the cell's, to be raised where the cell was run
            self._error = error
        # Held any longer, the thread would keep alive what the notebook has deleted.
        self._call = self._context = None
        with self._lock:
            self._over = True
        # An interruption that is still under way arrives in these steps, not in the next call. It cannot be taken back by
        # PyThreadState_SetAsyncExc(thread, NULL): on Python 3.11 that leaves the interpreter looking for it for ever after, and
        # with a profiler attached it never gets on.
        for _ in range(3):
            pass

    def finish(self, late: KeyboardInterrupt | None) -> None:
        """Let go of whoever waits."""
        self._error = self._error or late
        self._finished.set()

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the call; nothing when it is over, for then it would hit the next one."""
        with self._lock:
            if not self.thread:
                self._refused = True
            elif not self._over:
                _raise_in(self.thread, KeyboardInterrupt)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is finished, after so many seconds at most."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._finished.wait(
            _SLICE if deadline is None else max(0.0, min(_SLICE, deadline - time.monotonic()))
        ):
            if deadline is not None and time.monotonic() >= deadline:
                return False
        return True

    def result(self) -> Any:
        """What the call returned, once.

        Raises:
            BaseException: what the call raised.
        """
        value, error = self._value, self._error
        self._value = self._error = None
        if error is not None:
            try:
                raise error
            finally:
                del error  # or the frame, which the error's traceback holds, would hold the error
        return value


class Worker:
    """A daemon thread that makes calls one after the other; it starts at the first one."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.left_behind = 0

    @property
    def is_current(self) -> bool:
        """Whether this very thread is the worker."""
        return self._thread is threading.current_thread()

    def run(self, call: Callable[[], Any]) -> Any:
        """Make a call in the worker and wait for it; from the worker itself, make it at once.

        Raises:
            BaseException: what the call raised.
            KeyboardInterrupt: also when it was interrupted here and the call made something else of that.
        """
        if self.is_current:
            return call()
        job = Job(call)
        del call
        if self._thread is None or not self._thread.is_alive():
            self._jobs = queue.SimpleQueue()
            self._thread = threading.Thread(
                target=_work, args=(self._jobs,), name="workbench-django", daemon=True
            )
            self._thread.start()
        self._jobs.put(job)
        interrupted = False
        try:
            job.wait()
        except KeyboardInterrupt:
            interrupted = True
        if not interrupted:
            return job.result()
        self._stop(job)
        try:
            job.result()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise KeyboardInterrupt from error
        raise KeyboardInterrupt

    def close(self) -> None:
        """End the thread and its connections."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join(PATIENCE)

    def _stop(self, job: Job) -> None:
        """Interrupt a job; leave its thread when that is in vain."""
        try:
            job.interrupt()
            connections.cancel(job.thread)
            if not job.wait(AGAIN):
                connections.cancel(job.thread)
                job.wait(PATIENCE - AGAIN)
        except KeyboardInterrupt:  # asked twice: no more patience
            pass
        if job.wait(0):
            return
        self._jobs.put(None)
        self._thread = None
        self.left_behind += 1
        aliases = connections.in_memory(job.thread)
        lost = f"; what was in memory as {', '.join(aliases)} is gone with it" if aliases else ""
        raise KeyboardInterrupt(_LEFT.format(seconds=PATIENCE, lost=lost))


def _work(jobs: queue.SimpleQueue[Job | None]) -> None:
    try:
        while (job := jobs.get()) is not None:
            late = None
            try:
                job.perform()
            except KeyboardInterrupt as error:  # it came when the call had just ended
                late = error
            job.finish(late)
            del job, late
    finally:
        connections.close()


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    """Have a thread raise an exception at its next step in Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
