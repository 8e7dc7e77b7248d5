"""The driver's handle on a load that runs in a process of its own.

A generator inside the driver would share its interpreter lock with the drill, and be late exactly when a fault is set off.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import h11

from workbench.errors import WorkbenchError
from workbench.servers.watchdog import Watchdog
from workbench.traffic.connection import encode
from workbench.traffic.records import Reply, Request, read_replies, write_requests
from workbench.traffic.summary import Summary, lateness_p99, summary

#: Seconds between telling the process its start and that start.
LEAD = 0.05
#: Seconds the process may take to import itself and read its plan.
START = 60.0
#: Seconds that it may need beyond the last request's time-out.
SLACK = 30.0


class Load:
    """Sends a schedule of requests at a server, as a context manager that ends the process on exit.

    Args:
        host: address of the server.
        port: its TCP port.
        requests: what to send, each with an id of its own; put in the order of their times.
        out: file for the replies, one JSON line each, written as they come.
        max_in_flight: requests that may wait for an outcome at once; those above are `dropped`.
        connections: idle connections that are kept alive; 0 opens a new one for each request.

    Raises:
        ValueError: no request, an id twice, a negative time, or a request that HTTP does not allow.
    """

    def __init__(
        self,
        host: str,
        port: int,
        requests: Sequence[Request],
        *,
        out: Path,
        max_in_flight: int = 256,
        connections: int = 64,
    ) -> None:
        if max_in_flight < 1 or connections < 0:
            raise ValueError(
                f"max_in_flight is {max_in_flight} (1 or more), connections {connections} (0 or more)"
            )
        self.host, self.port, self.out = host, port, out
        self.requests = sorted(requests, key=lambda request: request.at)
        self.max_in_flight, self.connections = max_in_flight, connections
        self.replies: list[Reply] = []
        self._started_at: float | None = None
        self._process: subprocess.Popen[str] | None = None
        self._folder: Path | None = None
        _check(self.requests, host)

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the generator.

        Raises:
            WorkbenchError: it was not started.
        """
        return self._running().pid

    @property
    def started_at(self) -> float:
        """The driver's `time.monotonic()` at the schedule's zero: fault time minus this is on the replies' scale.

        Raises:
            WorkbenchError: the load was not started.
        """
        if self._started_at is None:
            raise WorkbenchError(
                "the load has no start time yet", "call start() first, or use it in a `with` block"
            )
        return self._started_at

    @property
    def lateness_p99(self) -> float | None:
        """Seconds by which 99 in 100 requests left late at most; None before `wait` has returned."""
        return lateness_p99(self.replies)

    def summary(self) -> Summary:
        """The replies in numbers, once `wait` has returned."""
        return summary(self.replies)

    def start(self) -> None:
        """Start the process and the schedule; returns when the start time is fixed, `LEAD` seconds ahead.

        Raises:
            WorkbenchError: it runs already, or the process ended before it was ready.
        """
        if self._process is not None:
            raise WorkbenchError("the load was started already", "make a new Load for each schedule")
        watchdog = Watchdog.current()
        self._folder = watchdog.make_folder("load")
        plan = self._folder / "plan.jsonl"
        write_requests(plan, self.requests)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "workbench.traffic", str(plan), str(self.out)]
        command += ["--host", self.host, "--port", str(self.port)]
        command += ["--max-in-flight", str(self.max_in_flight), "--connections", str(self.connections)]
        with (self._folder / "errors.log").open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C is the driver's to handle; it stops the load in its own order
            )
        try:
            # Until here the driver's death is seen by the process itself, as the end of its standard input.
            watchdog.guard(self._process.pid)
            self._tell_start(self._process)
        except BaseException:  # Ctrl-C too: a failed `__enter__` is not followed by `__exit__`
            self.stop()
            raise

    def _tell_start(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(START, process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            ready = process.stdout.readline() == "ready\n"
            if ready:
                zero = time.monotonic() + LEAD
                process.stdin.write(f"{zero!r}\n")
                process.stdin.flush()
                self._started_at = zero
        except BrokenPipeError:
            ready = False
        finally:
            alarm.cancel()
            alarm.join()
        if not ready:
            code = process.wait()
            raise self._failure(f"the load process ended with code {code} before it was ready")

    def wait(self, timeout: float | None = None) -> list[Reply]:
        """Wait for the schedule's end.

        Args:
            timeout: seconds from now; without it, until every request must have its outcome, and some more.

        Returns:
            One reply for each scheduled request, in the order of the schedule.

        Raises:
            WorkbenchError: the process failed or was too slow; what it had learnt by then is in `out`.
        """
        process = self._running()
        if timeout is None:
            end = self.started_at + max(request.at + request.timeout for request in self.requests) + SLACK
            timeout = max(end - time.monotonic(), 0)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise self._failure(f"the load was not over after {timeout:.1f} s and was ended") from None
        if code != 0:
            raise self._failure(f"the load process ended with code {code}")
        by_id = {reply.id: reply for reply in read_replies(self.out)}
        missing = [request.id for request in self.requests if request.id not in by_id]
        if missing:
            raise self._failure(f"{len(missing)} requests have no reply, the first is {missing[0]!r}")
        self.replies = [by_id[request.id] for request in self.requests]
        return self.replies

    def stop(self) -> None:
        """End the process if it still runs; replies known by then stay in `out`."""
        process, folder = self._process, self._folder
        if process is None or folder is None:
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        watchdog = Watchdog.current()
        watchdog.release(process.pid)
        watchdog.remove_folder(folder)
        self._folder = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise WorkbenchError(
                "the load was not started", "call start() first, or use it in a `with` block"
            )
        return self._process

    def _failure(self, problem: str) -> WorkbenchError:
        """The error with what the process said last; the process is over and everything of it is cleared away."""
        said = ""
        if self._folder is not None:
            said = (self._folder / "errors.log").read_text(errors="replace").strip()
        self.stop()
        last = f": {said.splitlines()[-1]}" if said else ""
        return WorkbenchError(
            problem + last, f"run the drill again; the replies known by then are in {self.out}"
        )


def _check(requests: Sequence[Request], host: str) -> None:
    if not requests:
        raise ValueError("a load needs at least one request")
    seen: set[str] = set()
    for request in requests:
        if request.id in seen:
            raise ValueError(f"the id {request.id!r} stands twice in the schedule")
        seen.add(request.id)
        if request.at < 0:
            raise ValueError(f"request {request.id!r} is scheduled at {request.at} s, before the start")
        try:
            encode(h11.Connection(h11.CLIENT), request, host, keep=True)
        except h11.LocalProtocolError as error:
            raise ValueError(f"request {request.id!r} cannot be sent: {error}") from error
