"""The watchdog cleans up however its driver ends, and harms nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.errors import WorkbenchError
from workbench.servers import watchdog_process
from workbench.servers.watchdog import Watchdog
from workbench.servers.watchdog_process import Guarded

Poll = Callable[..., object]

DRIVER = """
import json, os, signal, subprocess, sys
from workbench.servers.watchdog import Watchdog

watchdog = Watchdog.current()
folder = watchdog.make_folder("work")
(folder / "file").write_text("x")
sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
watchdog.guard(sleeper.pid)
told = {"watchdog": watchdog.pid, "root": str(watchdog.root), "sleeper": sleeper.pid}
"""
WAIT = "print(json.dumps(told), flush=True)\nsignal.pause()\n"


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Driver:
    """A process that uses a watchdog, and what it told about it."""

    def __init__(self, code: str, tmp: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(tmp)},
        )
        assert self.process.stdout is not None
        self.told: dict[str, Any] = json.loads(self.process.stdout.readline())

    def cleaned(self) -> bool:
        """Whether nothing is left of what it had."""
        return (
            gone(self.told["sleeper"])
            and gone(self.told["watchdog"])
            and not Path(self.told["root"]).exists()
        )

    def close(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[[str], Driver]]:
    """Start drivers; they are ended after the test."""
    with contextlib.ExitStack() as stack:

        def start(code: str = DRIVER + WAIT) -> Driver:
            driver = Driver(code, tmp_path)
            stack.callback(driver.close)
            return driver

        yield start


@pytest.fixture
def sleep() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start processes that do nothing; they are ended after the test."""
    with contextlib.ExitStack() as stack:

        def start(command: tuple[str, ...] = ("sleep", "1000"), **options: Any) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, start_new_session=True, **options)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGKILL, False),
        (signal.SIGKILL, True),
        (signal.SIGINT, True),
        (signal.SIGTERM, True),
        (signal.SIGHUP, True),
    ],
)
def test_the_drivers_death_by_signal_leaves_nothing(drive: Any, poll: Poll, number: int, group: bool) -> None:
    """Whatever signal ends the driver or its whole process group, its processes, folder and watchdog go."""
    driver = drive()
    assert not driver.cleaned()
    (os.killpg if group else os.kill)(driver.process.pid, number)
    poll(driver.cleaned, 30)  # on a busy machine the watchdog's own waits take long


@pytest.mark.parametrize("last_line", ["", "raise SystemExit(3)", "os.kill(watchdog.pid, signal.SIGKILL)"])
def test_the_drivers_ordinary_end_leaves_nothing(drive: Any, poll: Poll, last_line: str) -> None:
    """At its exit the driver cleans up before it is gone, even when its watchdog was killed."""
    driver = drive(DRIVER + "print(json.dumps(told), flush=True)\n" + last_line)
    driver.process.wait(20)
    assert driver.cleaned()


def test_two_drivers_do_not_disturb_each_other(drive: Any, poll: Poll) -> None:
    """One driver's death leaves the other's process and folder alone."""
    first, second = drive(), drive()
    first.process.kill()
    poll(first.cleaned)
    assert Path(second.told["root"], "").is_dir()
    assert not gone(second.told["sleeper"])
    assert not gone(second.told["watchdog"])


def test_a_forked_child_does_not_hide_the_drivers_death(drive: Any, poll: Poll) -> None:
    """A forked child that outlives the driver holds no end of the pipe, and has a watchdog of its own."""
    fork = """
reading, writing = os.pipe()
if os.fork() == 0:
    own = Watchdog.current()
    watchdog.close()
    os.write(writing, f"{os.getpid()} {own.pid} {own.root}".encode())
    signal.pause()
child, own, told["own_root"] = os.read(reading, 1000).decode().split()
told |= {"child": int(child), "own": int(own)}
"""
    driver = drive(DRIVER + fork + WAIT)
    assert driver.told["own"] != driver.told["watchdog"]
    assert not driver.cleaned()
    driver.process.kill()
    try:
        poll(driver.cleaned)
        assert not gone(driver.told["child"])
        assert Path(driver.told["own_root"]).is_dir()
    finally:
        os.kill(driver.told["child"], signal.SIGKILL)
    poll(lambda: gone(driver.told["own"]) and not Path(driver.told["own_root"]).exists())


def test_a_driver_that_dies_at_once_leaves_no_folder(tmp_path: Path) -> None:
    """A watchdog whose input has ended before it says a word removes what it made."""
    home = Path(psutil.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-I", "-S", watchdog_process.__file__, home, tmp_path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert b'"root"' in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_close_ends_the_last_first_and_waits(tmp_path: Path, sleep: Any) -> None:
    """Guarded processes get their signal in reverse order; afterwards neither they, the watchdog nor the root are there."""
    order = tmp_path / "order"
    watchdog = Watchdog(tmp_path)
    for name in ("first", "second"):
        trap = f"trap 'echo {name} >> {order}; exit' TERM; echo ready; while :; do sleep 0.01; done"
        process = sleep(("sh", "-c", trap), stdout=subprocess.PIPE)
        with process.stdout as ready:
            ready.readline()
        watchdog.guard(process.pid, signal=signal.SIGTERM)
    watchdog.make_folder("some")
    watchdog.close()
    assert order.read_text().split() == ["second", "first"]
    assert gone(watchdog.pid)
    assert not watchdog.root.exists()
    watchdog.close()


def test_a_group_is_ended_though_its_leader_is_dead(tmp_path: Path, sleep: Any, poll: Poll) -> None:
    """The members of a guarded group end with it, also when the process that was guarded has ended before."""
    leader = sleep(("sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"), stdout=subprocess.PIPE)
    with leader.stdout as output:
        member = int(output.readline())
    with Watchdog(tmp_path) as watchdog:
        watchdog.guard(leader.pid, group=True)
        leader.kill()
        leader.wait()
        assert not gone(member)
    assert gone(member)


def test_what_is_frozen_or_deaf_is_ended_too(tmp_path: Path, sleep: Any) -> None:
    """A stopped process receives its signal; one that ignores it is killed after the grace."""
    frozen, deaf = (
        sleep(),
        sleep(("sh", "-c", "trap '' TERM; echo ready; sleep 1000"), stdout=subprocess.PIPE),
    )
    with deaf.stdout as ready:
        ready.readline()
    frozen.send_signal(signal.SIGSTOP)
    entries = [Guarded.take(process.pid, group=False, number=signal.SIGTERM) for process in (deaf, frozen)]
    watchdog_process.end(entries, tmp_path, grace=0.2)
    assert frozen.wait(5) == -signal.SIGTERM
    assert deaf.wait(5) == -signal.SIGKILL


def test_a_recycled_pid_is_spared(tmp_path: Path, sleep: Any) -> None:
    """A process that has the noted pid but another start time is not signalled, nor its group."""
    stranger = sleep()
    entry = Guarded.take(stranger.pid, group=True, number=signal.SIGKILL)
    pid, started = entry.process._ident
    entry.process._ident = (pid, started - 100)
    watchdog_process.end([entry], tmp_path)
    assert stranger.poll() is None


def test_a_stray_at_work_in_the_root_is_ended(tmp_path: Path, sleep: Any) -> None:
    """A process inside the temp root ends with it, though nobody came to guard it; one outside does not."""
    with Watchdog(tmp_path) as watchdog:
        stray = sleep(cwd=watchdog.make_folder("work"))
        outside = sleep(cwd=tmp_path)
    assert stray.wait(5) == -signal.SIGKILL
    assert outside.poll() is None


def test_released_processes_live_on(tmp_path: Path, sleep: Any) -> None:
    """What was released is no longer the watchdog's."""
    process = sleep()
    with Watchdog(tmp_path) as watchdog:
        watchdog.guard(process.pid)
        watchdog.release(process.pid)
        watchdog.release(process.pid)
    assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_watchdog_itself_ignores_polite_signals(tmp_path: Path, sleep: Any, number: int) -> None:
    """Somebody's sweep with a polite signal does not take the watchdog away."""
    process = sleep()
    with Watchdog(tmp_path) as watchdog:
        os.kill(watchdog.pid, number)
        watchdog.guard(process.pid)
        assert os.getsid(watchdog.pid) == watchdog.pid
    assert process.wait(5) == -signal.SIGKILL


def test_a_killed_watchdog_is_noticed_and_replaced_in_its_work(tmp_path: Path, sleep: Any) -> None:
    """Every use of a killed watchdog says so with the next step, and close still ends and removes everything."""
    process = sleep()
    watchdog = Watchdog(tmp_path)
    watchdog.guard(process.pid)
    os.kill(watchdog.pid, signal.SIGKILL)
    watchdog._process.wait(5)
    for use in (lambda: watchdog.make_folder("x"), lambda: watchdog.guard(process.pid)):
        with pytest.raises(WorkbenchError, match=r"has ended \(exit code -9\).*\n.*restart the kernel"):
            use()
    watchdog.close()
    assert process.wait(5) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "a file", "no place for folders"])
def test_a_temp_folder_that_does_not_work_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A TMPDIR that cannot be written to gives one sentence with the folder and the next step."""
    (tmp_path / "a file").touch()
    folder = Path("/proc") if kind == "no place for folders" else tmp_path / kind
    monkeypatch.setenv("TMPDIR", str(folder))
    with pytest.raises(WorkbenchError, match=rf"no temp folder can be made in {folder}: (.|\n)*set TMPDIR"):
        Watchdog()


def test_only_its_own_folders_are_removed(tmp_path: Path) -> None:
    """remove_folder takes what make_folder made and refuses everything else, its own root included."""
    with Watchdog(tmp_path) as watchdog:
        folder = watchdog.make_folder("work")
        assert folder.stat().st_mode & 0o777 == 0o700
        watchdog.remove_folder(folder)
        assert not folder.exists()
        for other in (tmp_path, watchdog.root, watchdog.root / ".." / "elsewhere"):
            with pytest.raises(WorkbenchError, match="is not in"):
                watchdog.remove_folder(other)


def test_a_process_that_is_no_more_cannot_be_guarded(tmp_path: Path, sleep: Any) -> None:
    """Guarding a pid that nobody has says so."""
    process = sleep()
    process.kill()
    process.wait()
    with Watchdog(tmp_path) as watchdog, pytest.raises(WorkbenchError, match="cannot be guarded"):
        watchdog.guard(process.pid)
