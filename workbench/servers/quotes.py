"""The handle on the external quote service: a small HTTP service in its own process, that misbehaves on command."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from typing import Any, Self

from workbench.errors import WorkbenchError
from workbench.servers.ports import LOOPBACK, free_port
from workbench.servers.quotes_process import Behaviour, Mode
from workbench.servers.watchdog import Watchdog

PATIENCE = 10.0  #: seconds until the service answers at all, and for one command
MODULE = "workbench.servers.quotes_process"


class QuotesServer:
    """The quote service; a context manager. Guarded by the watchdog, so it ends with the driver however that dies.

    Args:
        port: where to listen on the loopback interface; a free one when None.
    """

    def __init__(self, *, port: int | None = None) -> None:
        self.host = LOOPBACK
        self.port = port if port is not None else free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL, for ``STALWART_DEMO_QUOTES``."""
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The service's process id.

        Raises:
            WorkbenchError: when it does not run.
        """
        if self._process is None:
            raise WorkbenchError("the quote service does not run", "call start(), or use it in a with block")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it answers. A start while it runs does nothing.

        Raises:
            WorkbenchError: when it ends at once (the port is taken, say) or does not answer in time.
        """
        if self._process is not None:
            return
        watchdog = Watchdog.current()
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Ctrl-C in the driver's terminal reaches the whole group: the driver decides when this process ends.
            start_new_session=True,
        )
        try:
            watchdog.guard(self._process.pid)
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if process.poll() is not None:
                said = process.communicate()[1].decode(errors="replace").strip().splitlines()[-1:]
                raise WorkbenchError(
                    f"the quote service on port {self.port} ended at once: {''.join(said) or 'no message'}",
                    "free the port, or leave the choice of port to us",
                )
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, WorkbenchError):
                # Another service on a taken port would answer in our process's place.
                if self._command("GET", "/-/counts").get("pid") == process.pid:
                    return
            time.sleep(0.01)
        raise WorkbenchError(
            f"the quote service on port {self.port} does not answer after {PATIENCE:.0f} s",
            "look whether the machine is overloaded, and try again",
        )

    def stop(self) -> None:
        """End the process. A second stop does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()
        Watchdog.current().release(process.pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def behave(self, mode: Mode, **parameters: Any) -> None:
        """Answer quotes this way from now on; requests that hang or wait are let go.

        Args:
            mode: see `Behaviour`.
            parameters: its other fields, such as ``code=500``, ``delay=2.0``, ``retry_after=3``, ``garbage="half"``,
                ``times=2``.

        Raises:
            ValueError: unknown mode or parameter, impossible value.
            WorkbenchError: when the service does not take it.
        """
        behaviour = Behaviour.from_json({"mode": mode, **parameters})
        self._command("POST", "/-/behaviour", json.dumps(behaviour.__dict__))

    def counts(self) -> dict[str, int]:
        """How many requests for quotes were met in each mode so far; modes that met none are left out."""
        served: dict[str, int] = self._command("GET", "/-/counts")["served"]
        return served

    def _command(self, method: str, path: str, body: str | None = None) -> Any:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise WorkbenchError(
                f"the quote service answered {reply.status} to {method} {path}: {text[:200]!r}",
                "something else may listen on its port; stop it",
            )
        return json.loads(text)
