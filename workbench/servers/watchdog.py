"""The driver's handle on its watchdog: the process that cleans up after the driver, however the driver ends.

Atexit does not run when a Jupyter kernel is restarted or a process is killed. So one small process (`watchdog_process`)
per driver sits in a session of its own and reads a pipe that only the driver holds: its end is the driver's end.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import psutil

from workbench.errors import WorkbenchError
from workbench.servers import watchdog_process
from workbench.servers.watchdog_process import PATIENCE, Guarded

ANSWER = 15.0  #: seconds within which the watchdog answers; it needs about a millisecond
KILL = signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM


class Watchdog:
    """Ends guarded processes and removes one temp root, on `close`, at exit, or when the driver has died.

    Args:
        folder: where the temp root is made; TMPDIR when set, else the system's temp folder.

    Raises:
        WorkbenchError: when the folder cannot be written to, or the process does not start.
    """

    _current: ClassVar[Watchdog | None] = None
    _all: ClassVar[weakref.WeakSet[Watchdog]] = weakref.WeakSet()
    _starting: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, folder: str | Path | None = None) -> None:
        # A TMPDIR that does not work is reported; Python itself would silently take another folder.
        parent = Path(folder or os.environ.get("TMPDIR") or tempfile.gettempdir()).absolute()
        self._lock = threading.RLock()
        self._guarded: dict[int, Guarded] = {}
        self._number = 0
        self._buffer = b""
        self._closed = False
        psutil_home = Path(psutil.__file__).parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog_process.__file__, str(psutil_home), str(parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=parent.anchor,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            self.root = self._greet(parent)
        except BaseException:
            self._discard()
            raise
        Watchdog._all.add(self)
        atexit.register(self.close)

    @classmethod
    def current(cls) -> Watchdog:
        """This process's watchdog, started at the first call; a forked child gets one of its own."""
        with cls._starting:
            if cls._current is None:
                cls._current = cls()
            return cls._current

    @property
    def pid(self) -> int:
        """The watchdog's process id; whoever kills the driver can wait for it to know that all is cleaned up."""
        return self._process.pid

    def make_folder(self, prefix: str) -> Path:
        """Make a folder, readable for this user only, that goes when the watchdog does.

        Raises:
            WorkbenchError: when the watchdog is gone or the disk does not take it.
        """
        self._check()
        try:
            return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self.root))
        except OSError as problem:
            raise WorkbenchError(
                f"no folder can be made in {self.root}: {problem.strerror}",
                "set TMPDIR to a folder with space",
            ) from problem

    def remove_folder(self, path: Path) -> None:
        """Remove a folder that `make_folder` made, now.

        Raises:
            WorkbenchError: when it is not one of ours, or cannot be removed.
        """
        if self.root not in path.resolve().parents:
            raise WorkbenchError(f"{path} is not in {self.root}", "remove only what make_folder has made")
        if not watchdog_process.remove(path):
            raise WorkbenchError(f"{path} could not be removed", "look for a process that still writes there")

    def guard(self, pid: int, *, group: bool = False, signal: int = KILL) -> None:
        """End this process, and its descendants, when the driver ends.

        Args:
            pid: a process that lives now; its start time is noted too, so a successor in its pid is safe.
            group: it leads a process group, whose other members are to end with it.
            signal: what it is sent first; what does not end within 3 s is killed.

        Raises:
            WorkbenchError: when there is no such process, or the watchdog is gone.
        """
        with self._lock:
            self._check()
            try:
                self._guarded[pid] = Guarded.take(pid, group=group, number=int(signal))
            except (psutil.Error, OSError) as problem:
                raise WorkbenchError(
                    f"process {pid} cannot be guarded: {problem}", "guard it right after it was started"
                ) from problem
            answer = self._ask(do="guard", pid=pid, group=group, signal=int(signal))
            if "error" in answer:
                raise WorkbenchError(f"process {pid} cannot be guarded: {answer['error']}", "look at its log")

    def release(self, pid: int) -> None:
        """Forget a process, because it has ended. Silent when the watchdog is gone: then nobody needs to know."""
        with self._lock:
            if self._guarded.pop(pid, None) is not None and not self._closed and self._process.poll() is None:
                self._ask(do="release", pid=pid)

    def close(self, timeout: float = 10) -> None:
        """End everything guarded, in reverse order, remove the temp root, and wait for the watchdog to be gone.

        Where the watchdog has been killed or does not answer within `timeout` seconds, the driver does its work.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self.close)
            if Watchdog._current is self:
                Watchdog._current = None
            try:
                clean = bool(self._ask(do="close", within=timeout).get("gone"))
            except WorkbenchError:
                clean = False  # it was killed or hangs: the clean-up below is ours
            except BaseException:
                self._discard()  # Ctrl-C: the end of the pipe lets it finish by itself; a second Ctrl-C ends our wait only
                raise
            self._discard(PATIENCE if clean else 0)
            if not clean:
                watchdog_process.end(list(self._guarded.values()), self.root)
                watchdog_process.remove(self.root)

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Watchdog pid={self.pid} root={str(self.root)!r} guarding {len(self._guarded)}>"

    def _greet(self, parent: Path) -> Path:
        greeting = self._read(time.monotonic() + ANSWER)
        if "root" not in greeting:
            raise WorkbenchError(
                f"no temp folder can be made in {parent}: {greeting.get('error', 'no reason given')}",
                "set TMPDIR to a folder that exists, that you may write to, and that has 500 MB free",
            )
        return Path(greeting["root"]).resolve()

    def _check(self) -> None:
        if self._closed:
            raise WorkbenchError("the watchdog is closed", "take a new one from Watchdog.current()")
        if self._process.poll() is not None:
            raise self._gone()

    def _gone(self) -> WorkbenchError:
        return WorkbenchError(
            f"the watchdog, process {self.pid}, has ended (exit code {self._process.poll()}); "
            "nothing would clean up if this process were killed now",
            "restart the kernel or the command, or call Watchdog.current().close() and start again",
        )

    def _ask(self, *, within: float = ANSWER, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        with self._lock:
            self._number += 1
            line = json.dumps({"number": self._number} | request) + "\n"
            try:
                self._process.stdin.write(line.encode())
            except OSError:
                raise self._gone() from None
            deadline = time.monotonic() + within
            # A Ctrl-C between a request and its answer leaves the answer in the pipe: skip to the one that is ours.
            while (answer := self._read(deadline)).get("number") != self._number:
                pass
            return answer

    def _read(self, deadline: float) -> dict[str, Any]:
        """One reply; WorkbenchError when the pipe ends or the time is over (Windows waits without a limit)."""
        assert self._process.stdout is not None
        while b"\n" not in self._buffer:
            if sys.platform != "win32":
                poller = select.poll()
                poller.register(self._process.stdout, select.POLLIN)
                if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise WorkbenchError(
                        f"the watchdog, process {self.pid}, does not answer",
                        "look whether it was stopped (ps)",
                    )
            chunk = self._process.stdout.read(65536)
            if not chunk:
                self._process.wait(ANSWER)
                raise self._gone()
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _discard(self, timeout: float = ANSWER) -> None:
        """Close the pipes, which ends it, and see it gone; kill it when it stays longer than `timeout` seconds."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @classmethod
    def _forget_in_child(cls) -> None:
        """In a forked child: let go of the parent's pipes, or the parent's end would not be seen while we live."""
        cls._starting = threading.RLock()
        cls._current = None
        for watchdog in list(cls._all):
            watchdog._lock = threading.RLock()  # whoever held it does not exist here
            watchdog._closed = True
            watchdog._process.returncode = 0  # not our child: nothing to wait for
            for pipe in (watchdog._process.stdin, watchdog._process.stdout):
                assert pipe is not None
                pipe.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Watchdog._forget_in_child)
