"""The driver's handle on a TCP fault proxy, which runs as a process of its own on the loopback interface."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from workbench.errors import WorkbenchError
from workbench.servers.eventlog import read_events
from workbench.servers.ports import LOOPBACK, free_port
from workbench.servers.watchdog import Watchdog

START_WITHIN = 20.0
STOP_WITHIN = 5.0
COMMAND_WITHIN = 10.0

Stream = Literal["upstream", "downstream", "both"]


@dataclass(frozen=True, slots=True)
class WireCounts:
    """What went through a proxy since its start, over all connections.

    Attributes:
        bytes_up: bytes handed to the server's sockets, less those still waiting for a slow reader.
        bytes_down: the same towards the clients.
        bytes_discarded: bytes that a blackhole or a timeout threw away, in both directions.
        lossy: connections that lost bytes in this way.
        accepted: connections accepted.
        open: connections that are open on at least one side now.
        resets: connections on which the proxy has sent an RST, for a toxic or because the other side had sent one.
        lost_events: lines that could not be written to the event log; with any, the log is no evidence.
    """

    bytes_up: int
    bytes_down: int
    bytes_discarded: int
    lossy: int
    accepted: int
    open: int
    resets: int
    lost_events: int


class Proxy:
    """A TCP proxy that can bend and break the connections that go through it.

    Use it as a context manager, or call `start` and `close`. The toxics are described in `workbench.servers.toxics`.

    Args:
        upstream: host and port of the server behind the proxy; it may be down, and may come back.
        name: in commands and in the event log.
        seed: of every random choice (jitter, toxicity).
        log: file of the event log (JSON lines, appended); by default one in a folder that goes with this process.
        port: port to listen on; by default a free one outside the range for outgoing connections.

    Raises:
        WorkbenchError: the name cannot stand in a command.
    """

    host = LOOPBACK

    def __init__(
        self,
        upstream: tuple[str, int],
        *,
        name: str = "proxy",
        seed: int = 0,
        log: Path | None = None,
        port: int | None = None,
    ) -> None:
        if not re.fullmatch(r"[\w.-]{1,100}", name):
            raise WorkbenchError(
                f"{name!r} cannot name a proxy", "use letters, digits, dots, dashes and underscores"
            )
        self.upstream = upstream
        self.name = name
        self.seed = seed
        self._log = log.absolute() if log is not None else None
        self._wanted_port = port
        self._port = 0
        self._control = 0
        self._token = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process and wait until it listens.

        Raises:
            WorkbenchError: the port is taken, or the process did not start.
        """
        if self._process is not None:
            raise WorkbenchError(
                f"the proxy {self.name!r} runs already (process {self.pid})", "close it first"
            )
        watchdog = Watchdog.current()
        if self._log is None:
            self._log = watchdog.make_folder("proxy") / "events.jsonl"
        attempts = 1 if self._wanted_port is not None else 3
        for attempt in range(1, attempts + 1):
            port = self._wanted_port if self._wanted_port is not None else free_port()
            answer = self._launch(watchdog, port)
            if "error" not in answer:
                self._port, self._control = answer["port"], answer["control"]
                return
            said = self._said()
            self.close()
            if attempt == attempts:
                raise WorkbenchError(
                    f"the proxy {self.name!r} did not start: {answer['error']}{said}",
                    "give another port, or end the program that holds this one",
                )

    def _launch(self, watchdog: Watchdog, port: int) -> dict[str, Any]:
        self._token = secrets.token_urlsafe(24)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process; close() closes it
        # The child must import this very package, wherever the driver got it from, and nothing from its own folder.
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.servers.proxy_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        try:
            watchdog.guard(self._process.pid)
            config = {
                "name": self.name,
                "upstream": list(self.upstream),
                "port": port,
                "seed": self.seed,
                "log": str(self._log),
                "token": self._token,
                "owner": os.getpid(),
            }
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with self._process.stdout as stdout:
                try:
                    self._process.stdin.write(json.dumps(config).encode() + b"\n")
                    self._process.stdin.flush()
                except BrokenPipeError:
                    pass  # it has died: reading its answer says so
                late = threading.Timer(START_WITHIN, self._process.kill)
                late.start()
                try:
                    line = stdout.readline()
                finally:
                    late.cancel()
                    late.join()
        except BaseException:
            self.close()
            raise
        if not line:
            return {"error": f"it ended with exit code {self._process.wait()} before it listened"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process: open connections are reset, the port is free. The event log can still be read."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it had died before it read its configuration
                process.stdin.close()
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            Watchdog.current().release(process.pid)
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port that it listens on; kept after `close`."""
        return self._port

    @property
    def pid(self) -> int:
        """The process's id. Raises WorkbenchError when it does not run."""
        if self._process is None:
            raise WorkbenchError(
                f"the proxy {self.name!r} does not run", "call start(), or use it in a with block"
            )
        return self._process.pid

    @property
    def log(self) -> Path:
        """The event log's file. Raises WorkbenchError before the first start when none was given."""
        if self._log is None:
            raise WorkbenchError(
                f"the proxy {self.name!r} has no log yet", "call start(), or give a log file"
            )
        return self._log

    # -- commands ------------------------------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        *,
        name: str | None = None,
        stream: Stream = "downstream",
        toxicity: float = 1.0,
        **attributes: Any,
    ) -> str:
        """Switch a toxic on, for open and new connections, in one step.

        Args:
            kind: what it does, see `workbench.servers.toxics`.
            name: to remove it by; by default `{kind}_{stream}`.
            stream: "upstream" is from client to server.
            toxicity: the share of connections that it applies to.
            attributes: those of the kind; times in milliseconds.

        Returns:
            The toxic's name.

        Raises:
            WorkbenchError: a wrong value, a name that is taken, or the proxy is gone.
        """
        toxic = {"name": name, "type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        answer = self._command("POST", f"/proxies/{self.name}/toxics", toxic)
        return str(answer["name"])

    def remove(self, name: str) -> None:
        """Switch a toxic off.

        Raises:
            WorkbenchError: there is none of that name, or the proxy is gone.
        """
        self._command("DELETE", f"/proxies/{self.name}/toxics/{name}")

    def clear(self) -> None:
        """Switch all toxics off and listen again."""
        self._command("POST", "/reset")

    @contextmanager
    def toxic(
        self,
        kind: str,
        *,
        name: str | None = None,
        stream: Stream = "downstream",
        toxicity: float = 1.0,
        **attributes: Any,
    ) -> Iterator[str]:
        """Switch a toxic on for the length of a with block; the arguments are those of `add`."""
        added = self.add(kind, name=name, stream=stream, toxicity=toxicity, **attributes)
        try:
            yield added
        finally:
            self.remove(added)

    def reset_all(self) -> int:
        """Send a real RST on every open connection, idle ones too; returns how many."""
        return int(self._command("POST", f"/proxies/{self.name}/reset_connections")["reset"])

    def reset_silent(self) -> int:
        """Send a real RST on every connection that a black hole has left silent; returns how many."""
        return int(self._command("POST", f"/proxies/{self.name}/reset_silent")["reset"])

    def counts(self) -> WireCounts:
        """The wire counts of this moment."""
        return WireCounts(**self._command("GET", f"/proxies/{self.name}/counts"))

    def toxics(self) -> list[dict[str, Any]]:
        """The toxics that are on, as Toxiproxy's API shows them."""
        answer: list[dict[str, Any]] = self._command("GET", f"/proxies/{self.name}/toxics")
        return answer

    def events(self) -> list[dict[str, Any]]:
        """The event log so far; `t` compares with `time.monotonic()` of any process of this machine."""
        return read_events(self.log)

    def _command(self, method: str, path: str, payload: Any = None) -> Any:
        pid = self.pid
        connection = http.client.HTTPConnection(LOOPBACK, self._control, timeout=COMMAND_WITHIN)
        try:
            body = None if payload is None else json.dumps(payload)
        except (TypeError, ValueError) as error:
            raise WorkbenchError(
                f"{method} {path}: {error}", "give numbers, texts and booleans only"
            ) from error
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self._token}"})
            reply = connection.getresponse()
            answer = json.loads(reply.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._gone(pid, error) from error
        finally:
            connection.close()
        if reply.status >= 400:
            raise WorkbenchError(
                f"{method} {path}: {answer['error']}", "correct the command, or clear() to start over"
            )
        return answer

    def _gone(self, pid: int, error: Exception) -> WorkbenchError:
        code = None
        if self._process is not None:
            # A process that dies right now closes its sockets before it can be waited for.
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(0.5)
        state = "does not answer" if code is None else f"has ended with exit code {code}"
        return WorkbenchError(
            f"the proxy {self.name!r} (process {pid}) {state}: {error}{self._said()}",
            f"see its event log {self._log}; void the trial and start a new proxy",
        )

    def _said(self) -> str:
        """The end of what the process wrote to its standard error, for a message."""
        if self._stderr is None:
            return ""
        self._stderr.seek(0)
        text = self._stderr.read()[-2000:].decode(errors="replace").strip()
        return f"\n{text}" if text else ""

    def __repr__(self) -> str:
        state = "stopped" if self._process is None else f"pid={self._process.pid} port={self._port}"
        return f"<Proxy {self.name!r} to {self.upstream[0]}:{self.upstream[1]} {state}>"
