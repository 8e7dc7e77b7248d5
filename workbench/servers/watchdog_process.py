"""The watchdog's own process: when its driver is gone, it ends what the driver started and removes the temp folder.

The driver starts this file by its path (``python -I -S``), so that it is up in some 40 ms and nothing of the package is
imported. It speaks JSON lines: requests on standard input, one reply each on standard output. The end of the input
means that the driver has died, however it died; that, and the request ``close``, lead to the same clean-up. The
clean-up's functions are imported by the driver too, which does the work itself should the watchdog be the one killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

if __name__ == "__main__":
    sys.path.append(sys.argv[1])  # -S leaves out site-packages; the driver says where its own psutil lies

import psutil

GRACE = 3.0  #: seconds that all guarded processes together get for their own signal, before SIGKILL
PATIENCE = 5.0  #: seconds to wait for killed processes to be gone, and again for the folder


@dataclass(frozen=True, slots=True)
class Guarded:
    """A process to end: psutil keeps its start time with its pid, so a recycled pid is never taken for it."""

    process: psutil.Process
    group: bool
    signal: int
    session: int

    @classmethod
    def take(cls, pid: int, *, group: bool, number: int) -> Guarded:
        """Note a process that lives now; psutil.NoSuchProcess when it does not."""
        process = psutil.Process(pid)
        return cls(process, group, number, os.getsid(pid) if sys.platform != "win32" else 0)

    def family(self) -> list[psutil.Process]:
        """Its descendants and, when it leads a group, the group's members, as far as they can be found now."""
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            found += self.process.children(recursive=True)
        # While members live, the kernel gives the group's number to nobody; when a stranger has it, the group is over.
        if (
            self.group
            and sys.platform != "win32"
            and (is_same(self.process) or not psutil.pid_exists(self.process.pid))
        ):
            for process in psutil.process_iter():
                with contextlib.suppress(OSError):
                    if os.getpgid(process.pid) == self.process.pid and os.getsid(process.pid) == self.session:
                        found.append(process)
        return found


def is_same(process: psutil.Process) -> bool:
    """Whether the pid still belongs to the process that was noted; it may be a zombie."""
    try:
        return process.is_running()
    except psutil.Error:
        return False


def is_dead(process: psutil.Process) -> bool:
    """Whether the process is gone. A zombie is: it holds no memory and no port, only nobody has reaped it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_dead(processes: Iterable[psutil.Process], timeout: float) -> bool:
    """Wait until all are dead; False when the seconds are over before."""
    left = list(processes)
    deadline = time.monotonic() + timeout
    while left := [process for process in left if not is_dead(process)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def send(process: psutil.Process, number: int) -> None:
    """Signal a process; it may be dead already."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        if sys.platform == "win32":
            process.kill()  # Windows knows no other end for a process without a console
            return
        process.send_signal(number)
        if number != signal.SIGKILL:
            process.resume()  # a process frozen by a drill would sit on the signal


def end(guarded: Sequence[Guarded], root: Path, *, grace: float = GRACE) -> None:
    """End guarded processes, the last first, and then whatever else still works inside the folder."""
    deadline = time.monotonic() + grace
    for entry in reversed(guarded):
        # Listed before the signal: once the parent is dead, its children no longer lead back to it.
        family = entry.family()
        if not is_dead(entry.process):
            send(entry.process, entry.signal)
        if entry.group:
            for process in family:
                send(process, entry.signal)
        wait_dead([entry.process], max(0.0, deadline - time.monotonic()))
        kill([entry.process, *family, *entry.family()])
    kill(strays(root))


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL those that live and wait for their end."""
    living = [process for process in processes if not is_dead(process)]
    for process in living:
        send(process, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    wait_dead(living, PATIENCE)


def strays(root: Path) -> list[psutil.Process]:
    """Processes at work inside the folder that nobody guards.

    A server whose driver died before it could be guarded, or a backend whose postmaster was killed. Whoever has a
    terminal is spared: that is a person who looks around in the folder.
    """
    found: list[psutil.Process] = []
    inside = str(root.resolve()) + os.sep
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if (process.cwd() + os.sep).startswith(inside) and not has_terminal(process):
                found.append(process)
    return found


def has_terminal(process: psutil.Process) -> bool:
    """Whether a terminal controls the process; nothing does on Windows, where no stray is looked for either."""
    return sys.platform == "win32" or process.terminal() is not None


def remove(path: Path, timeout: float = PATIENCE) -> bool:
    """Remove a folder with all in it; again while dying processes still write there. True when it is gone."""
    deadline = time.monotonic() + timeout
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    return not path.exists()


def serve(parent: str, requests: TextIO, reply: Callable[[dict[str, Any]], None]) -> None:
    """Make the temp root, do what the driver asks, and clean up when it says so or is gone."""
    root = Path(tempfile.mkdtemp(prefix="stalwart-", dir=parent))
    guarded: dict[int, Guarded] = {}
    last: dict[str, Any] = {}
    try:
        reply({"root": str(root)})
        for line in requests:
            last = json.loads(line)
            if last["do"] == "close":
                break
            reply({"number": last["number"]} | obey(last, guarded))
    finally:
        end(list(guarded.values()), root)
        gone = remove(root)
        reply({"number": last.get("number"), "gone": gone})


def obey(request: dict[str, Any], guarded: dict[int, Guarded]) -> dict[str, Any]:
    """Guard or release one process; the reply carries an error when that is not possible."""
    pid = request["pid"]
    guarded.pop(pid, None)
    if request["do"] == "guard":
        try:
            guarded[pid] = Guarded.take(pid, group=request["group"], number=request["signal"])
        except (psutil.Error, OSError) as problem:
            return {"error": str(problem)}
    return {}


def main() -> None:
    """Run until the driver closes us or dies."""
    # The session of its own keeps a terminal's Ctrl-C away; these keep away whoever signals every process of ours.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    def reply(message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the driver is gone; its work is still to be done
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    try:
        serve(sys.argv[2], sys.stdin, reply)
    except Exception as problem:  # noqa: BLE001 - the pipe is the only place where anybody would see it
        reply({"error": str(problem) or repr(problem)})
    # A plain exit would flush into the driver's closed pipe and complain.
    os._exit(0)


if __name__ == "__main__":
    main()
