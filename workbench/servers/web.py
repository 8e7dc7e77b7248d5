"""A WSGI application under a real gunicorn, of our own interpreter or of the project's, started, watched and ended by us."""

from __future__ import annotations

import http.client
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from workbench.errors import INSTALL, WorkbenchError
from workbench.servers.ports import LOOPBACK, free_port, is_free
from workbench.servers.watchdog import Watchdog
from workbench.servers.watchdog_process import Guarded, is_dead, wait_dead

#: Seconds between two looks at a server that is starting or ending.
INTERVAL = 0.02
#: How long a killed server's port may take to come free, in seconds.
RELEASE = 5.0
#: Lines of the server's log that an error shows.
TAIL = 15

#: gunicorn's configuration file: each worker leaves a sign once the application is loaded in it. Without it the first
#: worker's answer would pass for a server that is ready while the others still import.
CONFIGURATION = """
import pathlib

def post_worker_init(worker):
    pathlib.Path({folder!r}, "ready-%d" % worker.pid).touch()
"""


class GunicornServer:
    """gunicorn on the loopback interface, as a context manager that is ready on entry and gone on exit.

    Only what is given here shapes the server: the project's own `gunicorn.conf.py` and GUNICORN_CMD_ARGS are not read,
    so that both arms of a trial run the same server whatever lies in the project's folder.

    Args:
        application: WSGI callable as `package.module:name`.
        cwd: folder to start in; gunicorn puts it on the import path.
        env: the whole environment of the server; nothing of the driver's is added.
        port: TCP port; a free one when None.
        workers: processes.
        threads: threads in each.
        worker_class: gunicorn's word for the kind of worker.
        ready_path: answered with less than 500 once the application is ready; with None any answer to "/" will do.
        graceful_timeout: seconds that workers get to finish their requests on SIGTERM.
        interpreter: that runs it and has gunicorn on the path that `env` sets; None stands for ours.
        log: file to add stdout and stderr to; without it a file in the watchdog's folder, which goes when the driver does.

    Raises:
        WorkbenchError: on Windows, or when gunicorn is not installed.
    """

    def __init__(
        self,
        application: str,
        *,
        cwd: Path,
        env: Mapping[str, str],
        port: int | None = None,
        workers: int = 2,
        threads: int = 4,
        worker_class: str = "gthread",
        ready_path: str | None = "/",
        graceful_timeout: int = 10,
        interpreter: Path | None = None,
        log: Path | None = None,
    ) -> None:
        _require_gunicorn(sys.platform, interpreter)
        self.interpreter = interpreter
        self.application, self.cwd, self.env = application, cwd, dict(env)
        self.host = LOOPBACK
        self.port = free_port() if port is None else port
        self.ready_path = ready_path
        self.log = log
        self._options = {
            "--bind": f"{self.host}:{self.port}",
            "--workers": str(workers),
            "--threads": str(threads),
            "--worker-class": worker_class,
            "--graceful-timeout": str(graceful_timeout),
        }
        self._count = workers
        self._process: subprocess.Popen[bytes] | None = None
        self._ran = False
        self._folder: Path | None = None

    def __enter__(self) -> GunicornServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()  # somebody waits for us to end, and requests that hang in a fault would hold up a polite stop

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of gunicorn's master.

        Raises:
            WorkbenchError: the server does not run.
        """
        return self._running().pid

    def workers(self) -> list[int]:
        """Process ids of the workers, oldest first; empty when the server has died."""
        try:
            return [child.pid for child in psutil.Process(self._running().pid).children()]
        except psutil.NoSuchProcess:
            return []

    def log_text(self) -> str:
        """What the server has written so far; empty before the first start."""
        return "" if self.log is None or not self.log.exists() else self.log.read_text(errors="replace")

    def start(self, timeout: float = 30) -> None:
        """Start the server and wait until it is ready; a stopped one may be started again, on the same port.

        Raises:
            WorkbenchError: it runs already, its port is taken, it ended, or it was not ready in time.
        """
        if self._process is not None:
            raise WorkbenchError(
                f"the web server on port {self.port} runs already", "stop() it before start()"
            )
        # One that was killed gives its port back a moment later, when the last of its processes is gone.
        until = time.monotonic() + (RELEASE if self._ran else 0.0)
        while not is_free(self.port):
            if time.monotonic() < until:
                time.sleep(0.01)
                continue
            raise WorkbenchError(
                f"port {self.port} on {self.host} is taken by another program",
                f"end it (`ss -ltnp 'sport = :{self.port}'` names it), or leave the port out so that a free one is chosen",
            )
        watchdog = Watchdog.current()
        folder = self._folder = watchdog.make_folder("gunicorn")
        self._ran = True
        self.log = self.log or folder / "server.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # The shell waits for our word before it becomes gunicorn: when the driver is killed before the watchdog knows
            # the process, its standard input ends and no server starts.
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh", *self._command(folder)],
                cwd=self.cwd,
                env={name: value for name, value in self.env.items() if name != "GUNICORN_CMD_ARGS"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            watchdog.guard(self._process.pid, group=True)
            assert self._process.stdin is not None
            with self._process.stdin as gate:
                gate.write(b"go\n")
            self.wait_ready(timeout)
        except BaseException:  # Ctrl-C too: a failed `__enter__` is not followed by `__exit__`
            self.kill()
            raise

    def _command(self, folder: Path) -> list[str]:
        configuration = folder / "gunicorn.conf.py"
        configuration.write_text(CONFIGURATION.format(folder=str(folder)))
        options = {**self._options, "--config": str(configuration), "--worker-tmp-dir": str(folder)}
        program = str(self.interpreter or sys.executable)
        command = [program, "-m", "gunicorn", *(word for pair in options.items() for word in pair)]
        return [*command, *self._no_control_socket(program), self.application]

    def _no_control_socket(self, program: str) -> list[str]:
        """gunicorn 25 and later opens a control socket in the home folder, which two servers would share and leave behind."""
        if self.interpreter is None:
            settings = importlib.import_module("gunicorn.config").KNOWN_SETTINGS
            known = {option for setting in settings for option in setting.cli or ()}
        else:
            told = subprocess.run(
                [program, "-m", "gunicorn", "--help"],
                cwd=self.cwd, env=self.env, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            known = set(told.stdout.replace(",", " ").split())
        return ["--no-control-socket"] if "--no-control-socket" in known else []

    def wait_ready(self, timeout: float = 30) -> float:
        """Poll until every worker has loaded the application and it answers `ready_path` with a status below 500.

        Returns:
            Seconds waited.

        Raises:
            WorkbenchError: the server ended, or was not ready in `timeout` seconds; with the end of its log.
        """
        begin = time.monotonic()
        while True:
            self._fail_if_ended()
            loaded = sum(self._has_loaded(worker) for worker in self.workers())
            seen = (
                self._probe(min(5.0, timeout))
                if loaded >= self._count
                else f"{loaded} of {self._count} workers loaded"
            )
            waited = time.monotonic() - begin
            if isinstance(seen, int) and (seen < 500 or self.ready_path is None):
                return waited
            if waited > timeout:
                answer = f"status {seen}" if isinstance(seen, int) else seen
                raise WorkbenchError(
                    f"{self.application} gave no good answer on {self.url}{self.ready_path} in {timeout:g} s "
                    f"(last: {answer}); the end of its log:\n{self._tail()}",
                    "mend what the log names, or give another ready_path that answers without error",
                )
            time.sleep(INTERVAL)

    def _has_loaded(self, worker: int) -> bool:
        return self._folder is not None and (self._folder / f"ready-{worker}").exists()

    def _probe(self, timeout: float) -> int | str:
        """The status of one GET, or the name of what went wrong."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request("GET", self.ready_path or "/", headers={"Connection": "close"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

    def _fail_if_ended(self) -> None:
        if not is_dead(psutil.Process(self._running().pid)):
            return
        code = self._end()
        port = f"port {self.port} on {self.host}"
        steps = {
            1: f"see the log; if it says that {port} is in use, leave the port out so that a free one is chosen",
            3: "mend the import that the log names; a wrong DJANGO_SETTINGS_MODULE or a missing package shows there",
            4: f"check the name after the colon in {self.application!r}: the module has no such callable",
        }
        raise WorkbenchError(
            f"gunicorn ended with code {code} while {self.application} was starting in {self.cwd}; the end of its log:\n"
            f"{self._tail()}",
            steps.get(code, "mend what the log names"),
        )

    def _tail(self) -> str:
        return "\n".join(f"    {line}" for line in self.log_text().splitlines()[-TAIL:]) or "    (empty)"

    def stop(self, timeout: float = 15) -> int:
        """Ask the server to finish (SIGTERM), and end its whole process group if it is late.

        Args:
            timeout: seconds for it to finish its requests and end.

        Returns:
            The master's exit code, negative for a signal (-9 when it was late); 0 when the server did not run.
        """
        if self._process is None:
            return 0
        master = psutil.Process(self._process.pid)
        if not is_dead(master):
            self._process.terminate()
            wait_dead([master], timeout)
        return self._end()

    def kill(self) -> None:
        """End the whole process group at once (SIGKILL)."""
        if self._process is not None:
            self._end()

    def _end(self) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        # The master is reaped nowhere but here, so its id, which is the group's, cannot belong to anyone else yet.
        group = Guarded.take(process.pid, group=True, number=signal.SIGKILL).family()
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses a group that holds only a zombie
            os.killpg(process.pid, signal.SIGKILL)
        wait_dead(group, timeout=5)
        code = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        Watchdog.current().release(process.pid)
        return code

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise WorkbenchError(f"the web server on port {self.port} does not run", "start() it first")
        return self._process


def _require_gunicorn(platform: str, interpreter: Path | None = None) -> None:
    if platform == "win32":
        raise WorkbenchError(
            "gunicorn does not run on Windows: it needs fork and POSIX signals",
            "run the workbench under WSL 2 or in a Linux container; to serve your project on Windows itself, use waitress",
        )
    if interpreter is None and importlib.util.find_spec("gunicorn") is None:
        raise WorkbenchError(
            f"gunicorn is not installed for {sys.executable}",
            INSTALL,
        )
