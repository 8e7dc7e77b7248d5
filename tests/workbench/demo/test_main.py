"""``python -m workbench.demo``: it runs by itself, and ends with everything that it started."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from workbench.servers.ports import LOOPBACK, free_port

Poll = Callable[..., object]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """No database and no service given; temp folders where the test can look at them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STALWART_DEMO_")}
    # Not pytest's own folder, which only this user may enter: started by root, the server may run as another one.
    temp = Path(tempfile.mkdtemp(prefix="demo-test-"))
    temp.chmod(0o755)
    yield {**inherited, "TMPDIR": str(temp)}
    shutil.rmtree(temp)


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process in a session of its own; killed when the test fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.demo", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def answers(port: int) -> int | None:
    """The status of the first page, or None while nobody listens."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_serves_and_however_it_ends_nothing_is_left(
    environment: dict[str, str], poll: Poll, how: signal.Signals
) -> None:
    """One command serves a seeded site; after Ctrl-C, SIGTERM or SIGKILL no process and no temp folder remains."""
    port = free_port()
    with running(environment, "runserver", str(port)) as process:
        poll(lambda: process.poll() is not None or answers(port), timeout=60)
        assert answers(port) == 200
        started = psutil.Process(process.pid).children(recursive=True)
        assert any("postgres" in one.name() for one in started)
        # Ctrl-C in a terminal reaches the whole process group.
        (os.killpg if how is signal.SIGINT else os.kill)(process.pid, how)
        output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output
    poll(
        lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started),
        timeout=30,
    )
    poll(lambda: not list(Path(environment["TMPDIR"]).iterdir()), timeout=30)


def test_a_command_that_only_prints_starts_no_server(environment: dict[str, str]) -> None:
    """Help comes at once, without PostgreSQL."""
    with running(environment, "help", "seed") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "--companies" in output
    assert "PostgreSQL" not in output.replace("PostgreSQL's", "")


def test_a_given_database_is_used_as_it_is(environment: dict[str, str], sqlite: object) -> None:
    """With a database named in the environment none is started, and nothing is migrated or seeded into it."""
    given = {**environment, **sqlite.environment, "TMPDIR": environment["TMPDIR"]}  # type: ignore[attr-defined]
    with running(given, "showmigrations") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "[ ] 0001_initial" in output
    assert "starting" not in output


def test_what_cannot_start_is_one_sentence(environment: dict[str, str]) -> None:
    """Without a writable temp folder the command ends with the problem and the next step, and no traceback."""
    with running({**environment, "TMPDIR": "/proc/nowhere"}, "check") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "next:" in output
    assert "Traceback" not in output
