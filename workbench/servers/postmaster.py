"""One run of the PostgreSQL server process, from its start to its end, and what it said meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from workbench.errors import WorkbenchError
from workbench.servers.identity import Identity
from workbench.servers.watchdog import Watchdog
from workbench.servers.watchdog_process import is_dead, wait_dead

#: What a start says while a killed predecessor still holds its shared memory, or its pid is not reaped yet.
PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
PORT_TAKEN = "could not bind"
MESSAGE = re.compile(r"\b(?:LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT):  (?P<text>.+)")
CHATTER = ("starting PostgreSQL", "database system is shut down", "listening on")


class Postmaster:
    """The server's parent process, a direct child of ours, guarded by the watchdog.

    Args:
        identity: as whom it runs.
        watchdog: who ends it when we die.
        data: its data directory.
        log: the file that its messages are appended to.
    """

    def __init__(self, identity: Identity, watchdog: Watchdog, data: Path, log: Path) -> None:
        self._identity = identity
        self._watchdog = watchdog
        self._data = data
        self._log = log
        with log.open("ab") as output:
            self._from = output.tell()
            # Its working directory lies in the temp root from the first moment, so that the watchdog finds it
            # even when we are killed before the next line.
            self.process = identity.popen("postgres", "-D", str(data), cwd=data, output=output)
        try:
            watchdog.guard(
                self.process.pid, signal=signal.SIGQUIT if sys.platform != "win32" else signal.SIGTERM
            )
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def said(self) -> str:
        """The log of this run."""
        with self._log.open("rb") as text:
            text.seek(self._from)
            return text.read().decode(errors="replace")

    def last_words(self) -> str:
        """Why it ended: its complaints before and with the last fatal message, without their time stamps."""
        found = [MESSAGE.search(line) for line in self.said().splitlines()]
        said = [
            match.group("text") for match in found if match and not match.group("text").startswith(CHATTER)
        ]
        return " ".join(said[-3:]) or f"exit code {self.process.poll()}, and not a word in its log"

    def children(self) -> list[psutil.Process]:
        """Its children: the client backends and the server's own helpers."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop(self, mode: str, timeout: float) -> None:
        """Shut down, ``fast`` (with a checkpoint) or ``immediate`` (as after a crash); kill it when it is late."""
        if self.alive:
            if sys.platform == "win32":
                # Windows has no signal for it; pg_ctl speaks to the server through a pipe of its own.
                self._identity.run("pg_ctl", "stop", "-D", str(self._data), "-m", mode, "-W")
            else:
                self.process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._watchdog.release(self.pid)

    def kill(self) -> list[int]:
        """SIGKILL the process and every child, and wait until none is left; their pids, the postmaster's first.

        The children too, because a backend that is busy computing outlives a killed postmaster, answers its client as
        if nothing had happened, and keeps the next start from its shared memory.
        """
        try:
            if sys.platform != "win32" and self.alive:
                self.process.send_signal(
                    signal.SIGSTOP
                )  # or it might have one more child after we have counted
            children = self.children()
            self.process.kill()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            self.process.wait()
        except BaseException:
            # A Ctrl-C in between must not leave a frozen server, which would take connections and answer none.
            self.process.kill()
            self.process.wait()
            raise
        if not wait_dead(children, 10):
            stuck = [child.pid for child in children if not is_dead(child)]
            raise WorkbenchError(
                f"processes {stuck} of the killed server do not die",
                "look at them with ps; the disk may hang",
            )
        self._watchdog.release(self.pid)
        return [self.pid, *(child.pid for child in children)]


def forget_shared_memory(data: Path) -> None:
    """Remove the small System V segment that a killed server leaves; the next start would, but there is none.

    Only for a data directory that is about to go and that no process works in.
    """
    lock = data / "postmaster.pid"
    if sys.platform == "win32" or not lock.exists():
        return
    lines = lock.read_text().splitlines()
    # The seventh line holds the segment's key and id.
    if len(lines) > 6 and len(numbers := lines[6].split()) == 2:
        remove = 0  # IPC_RMID
        ctypes.CDLL(None).shmctl(int(numbers[1]), remove, None)
