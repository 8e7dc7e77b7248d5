"""A process of the project under one arm that answers calls, and the environment in which all of an arm's processes run."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from workbench import arms, guest_copy
from workbench.errors import WorkbenchError
from workbench.project import Project
from workbench.records import Arm
from workbench.redaction import redact_text
from workbench.servers.watchdog import Watchdog

#: Variables that would change what is measured, or point the project at something that is not ours.
DROPPED = ("PYTHONMALLOC", "DJANGO_SETTINGS_MODULE", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")
#: Variables that belong to our interpreter: another one would look for its modules in our folders.
OURS = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
#: Leads nowhere: the settings may insist on a database's address, and the overlay replaces what they make of it.
NOWHERE = "postgres://nobody:nothing@127.0.0.1:1/replaced-by-the-workbench"


def environment(project: Project, overlay: Path, *, own_database: bool = False) -> dict[str, str]:
    """The variables under which every process of an arm runs: fixed hash seed, the overlay, the project on the path.

    Args:
        project: which.
        overlay: the file that `workbench.guest.settings` reads.
        own_database: its `DATABASE_URL` stays, for a process that only reads what the settings say.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in DROPPED}
    paths = [str(project.root), *map(str, project.paths)]
    # What --env or .env says of the path is the project's business.
    paths += filter(None, project.environment.get("PYTHONPATH", "").split(os.pathsep))
    if project.interpreter is None:
        paths += filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))
    else:
        inherited = _for_another(inherited, project.interpreter)
        # The guest comes last and hides nothing.
        paths.append(str(guest_copy.folder()))
    variables = {**inherited, **project.environment}
    if "DATABASE_URL" in variables and not own_database:
        variables["DATABASE_URL"] = NOWHERE
    return {
        **variables,
        "DJANGO_SETTINGS_MODULE": "workbench.guest.settings",
        "WORKBENCH_OVERLAY": str(overlay),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        # No byte code is written into the project's folders; what installed packages have is still used.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _for_another(inherited: Mapping[str, str], interpreter: Path) -> dict[str, str]:
    """Our environment without what leads to our interpreter, as if the project's own environment were active."""
    ours = {str(Path(sys.prefix) / name) for name in ("bin", "Scripts")}
    before = [str(interpreter.parent)]
    rest = [one for one in inherited.get("PATH", os.defpath).split(os.pathsep) if one not in ours]
    made = {name: value for name, value in inherited.items() if name not in OURS}
    made["PATH"] = os.pathsep.join([*before, *rest])
    if (interpreter.parent.parent / "pyvenv.cfg").is_file():
        made["VIRTUAL_ENV"] = str(interpreter.parent.parent)
    return made


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child runs, without reaping it."""
    try:
        return psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _kill_family(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a group, and whatever it has started."""
    if os.name == "nt":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
        os.killpg(process.pid, signal.SIGKILL)


class ProjectProcess:
    """A fresh process of the project; a context manager, so that it ends with the trial.

    Args:
        project: which.
        arm: under which settings.
        shared: settings that all arms of the trial have, as the database.
        folder: a private folder for its overlay and its log.
        sandbox: guards it, see `workbench.guest.sandbox`; without it the process may do what the project does.
        setup: whether the apps are loaded; without, only settings can be read.
        own_database: see `environment`.
        attribution: querysets know where they were made, from the first line of the project on; its pages can then be
            visited in passes that tell which of them fed a statement. It costs start-up and nothing later.
        edits: what some of the project's files would hold, by path; nothing is written there.
    """

    def __init__(
        self,
        project: Project,
        arm: Arm,
        shared: Mapping[str, Any],
        folder: Path,
        *,
        sandbox: Mapping[str, Any] | None = None,
        setup: bool = True,
        own_database: bool = False,
        attribution: bool = False,
        edits: Mapping[str, bytes] | None = None,
    ) -> None:
        self.project = project
        self._edits = edits
        self._attribution = attribution
        self._sandbox = sandbox
        self._setup = setup
        self._own_database = own_database
        self.arm = arm
        self._shared = shared
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / f"process-{arm.name}-{time.monotonic_ns()}.log"
        # Filled by a thread, since a pipe cannot be waited for with a deadline on every platform; b"" is its end.
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.started: dict[str, str] = {}

    def __enter__(self) -> Self:
        # A file for each process: two of the same arm may start at the same moment.
        overlay = self._folder / f"overlay-{self.arm.name}-{time.monotonic_ns()}.json"
        arms.write_overlay(overlay, self.project.settings, self.arm, self._shared, self._sandbox, self._edits)
        variables = environment(self.project, overlay, own_database=self._own_database)
        if not self._setup:
            variables["WORKBENCH_SETUP"] = "no"
        if self._attribution:
            variables["WORKBENCH_ATTRIBUTION"] = "yes"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(self.project.interpreter or sys.executable), "-m", "workbench.guest"],
                cwd=self.project.root,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Out of the terminal's group: on Ctrl-C the driver decides in which order things end.
                start_new_session=os.name != "nt",
            )
        Watchdog.current().guard(self._process.pid, group=os.name != "nt")
        threading.Thread(
            target=self._read, args=(self._process,), name="workbench-answers", daemon=True
        ).start()
        try:
            self.started = self._answer(60, "start")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the process was not started"
        return self._process.pid

    def kill(self) -> None:
        """End the process at once, from any thread; a call that waits for it then fails."""
        process = self._process
        if process is not None and process.poll() is None:
            _kill_family(process)

    def close(self) -> None:
        """End the process: it gets the end of its input, then two seconds, then a kill."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it may have died by itself
            process.stdin.close()
        deadline = time.monotonic() + 2
        while _is_running(process) and time.monotonic() < deadline:
            time.sleep(0.01)
        # Its children too, and before it is reaped: until then its id, which is the group's, belongs to nobody else.
        _kill_family(process)
        process.wait()
        Watchdog.current().release(process.pid)

    def ask(self, call: str, **arguments: Any) -> None:
        """Send a call without waiting; `receive` gets its answer."""
        assert self._process is not None, "the process was not started"
        assert self._process.stdin is not None
        line = json.dumps({"call": call, "with": arguments}, default=str) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died(call) from error

    def receive(self, timeout: float, call: str = "call") -> Any:
        """The answer to the oldest call without one.

        Raises:
            WorkbenchError: it died, took longer than `timeout` seconds, or the call raised.
        """
        return self._answer(timeout, call)

    def call(self, call: str, timeout: float = 120, **arguments: Any) -> Any:
        """Call `module:function` in the process and return its result (JSON types).

        Raises:
            WorkbenchError: as `receive`.
        """
        self.ask(call, **arguments)
        return self._answer(timeout, call)

    def log_text(self) -> str:
        """What the process wrote to standard error, redacted, its end only."""
        try:
            return redact_text(self._log.read_text(encoding="utf-8", errors="replace")[-4000:])
        except OSError:
            return ""

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._answers.put(line)
        self._answers.put(b"")

    def _answer(self, timeout: float, call: str) -> Any:
        reply = json.loads(self._line(timeout, call))
        if "error" in reply:
            error = reply["error"]
            lines = redact_text(error["text"]).splitlines()
            raise WorkbenchError(
                f"{self.project.name}: {call} failed: {error['type']}: {' '.join(lines)[:500]}",
                self._advice(error["type"], error["text"]),
            ) from RuntimeError(redact_text(error["trace"]))
        return reply["result"]

    def _line(self, timeout: float, call: str) -> bytes:
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            tail = [text for text in self.log_text().splitlines() if text.strip()]
            raise WorkbenchError(
                f"{self.project.name}: {call} gave no answer within {timeout:.0f} s"
                + (f"; its last line: {tail[-1]}" if tail else ""),
                "start the project by hand once: python manage.py check; code that waits at import does this",
            ) from None
        if not line:
            raise self._died(call)
        return line

    def _died(self, call: str) -> WorkbenchError:
        tail = [line for line in self.log_text().splitlines() if line.strip()]
        last = f": {tail[-1]}" if tail else ""
        return WorkbenchError(
            f"{self.project.name}: its process ended during {call}{last}",
            "start the project by hand once: python manage.py check",
        )

    def _advice(self, kind: str, text: str) -> str:
        by_hand = f"start the project by hand once: cd {self.project.root} && python manage.py check"
        if kind in ("ModuleNotFoundError", "ImportError"):
            if self.project.interpreter is not None:
                return f"install what is missing into {self.project.interpreter.parent.parent}, or correct the settings module"
            return (
                f"name the project's own interpreter (--python PATH), install what is missing into {sys.prefix}, "
                "or correct the settings module"
            )
        if (
            kind == "KeyError"
            or "environment variable" in text.lower()
            or "not found. declare it" in text.lower()
        ):
            return f"a variable may be missing: --env NAME=VALUE, or a .env beside manage.py; {by_hand}"
        if kind == "ImproperlyConfigured":
            return by_hand
        return "the traceback: the same command with --debug"
