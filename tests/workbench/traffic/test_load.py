"""The load in its own process: against gunicorn, and when it is misused or dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.errors import WorkbenchError
from workbench.servers.watchdog import Watchdog
from workbench.servers.watchdog_process import is_dead
from workbench.servers.web import GunicornServer
from workbench.traffic import Load, Request, arrivals, read_replies

APP = """
import json, time

def application(environ, start_response):
    if environ["PATH_INFO"] != "/":
        with open("seen", "a") as seen:
            seen.write(json.dumps([environ["PATH_INFO"], time.monotonic()]) + "\\n")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b"[]"]
"""

Poll = Callable[..., object]
FAR = Request("far", 600, "GET", "/far", "read")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GunicornServer]:
    (tmp_path / "shop.py").write_text(APP)
    with GunicornServer("shop:application", cwd=tmp_path, env={}, workers=1) as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "ops" / "replies.jsonl"


def test_a_schedule_is_answered_in_order_on_the_drivers_clock(
    server: GunicornServer, out: Path, tmp_path: Path
) -> None:
    """Each of 60 requests, given in any order, has its reply in the schedule's order, and `started_at` fits both clocks.

    The application notes its own monotonic time; it must lie between the reply's sent and done on the driver's scale.
    """
    times = arrivals(60, 1, 3)
    requests = [
        Request(str(n), at, "POST" if n % 4 == 0 else "GET", f"/{n}", "order" if n % 4 == 0 else "read")
        for n, at in enumerate(times)
    ]
    with Load(server.host, server.port, requests[::-1], out=out) as load:
        process = psutil.Process(load.pid)
        folder = Path(process.cmdline()[3]).parent
        replies = load.wait()
    assert [reply.id for reply in replies] == [request.id for request in requests]
    assert {reply.outcome for reply in replies} == {"ok"}
    assert [reply.intended for reply in replies] == times
    seen = dict(json.loads(line) for line in (tmp_path / "seen").read_text().splitlines())
    assert len(seen) == len(times)
    for reply in replies:
        assert reply.sent is not None
        assert reply.done is not None
        assert reply.intended <= reply.sent
        assert reply.sent - 1e-6 <= seen[reply.path] - load.started_at <= reply.done + 1e-6
    assert load.lateness_p99 is not None
    assert 0 <= load.lateness_p99 < 1
    assert load.summary().kinds.keys() == {"order", "read"}
    assert is_dead(process)
    assert folder.name.startswith("load")
    assert not folder.exists()


def test_a_crash_is_an_error_and_partial_replies_stay(server: GunicornServer, out: Path, poll: Poll) -> None:
    """A killed load process raises one error that names the file, in which the replies known by then are."""
    with Load(server.host, server.port, [Request("near", 0, "GET", "/near", "read"), FAR], out=out) as load:
        poll(lambda: out.exists() and read_replies(out))
        os.kill(load.pid, signal.SIGKILL)
        with pytest.raises(WorkbenchError, match="code -9") as caught:
            load.wait()
    assert str(out) in caught.value.next_step
    assert [reply.id for reply in read_replies(out)] == ["near"]
    assert load.lateness_p99 is None


def test_a_fault_of_the_generator_is_told_with_its_cause(server: GunicornServer, tmp_path: Path) -> None:
    """When the process fails by itself, the error ends with the last line of its traceback."""
    with (
        Load(server.host, server.port, [FAR], out=tmp_path) as load,
        pytest.raises(WorkbenchError, match="IsADirectoryError"),
    ):
        load.wait()


def test_a_process_that_never_gets_ready_is_told(
    server: GunicornServer, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load process that ends at start raises from start, with what it wrote, and leaves no folder."""
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    before = set(Watchdog.current().root.iterdir())
    with pytest.raises(WorkbenchError, match="before it was ready"):
        Load(server.host, server.port, [FAR], out=out).start()
    assert set(Watchdog.current().root.iterdir()) == before


def test_a_wait_has_a_deadline(server: GunicornServer, out: Path) -> None:
    """A load that is not over in time is ended and reported, not waited for."""
    with Load(server.host, server.port, [FAR], out=out) as load:
        process = psutil.Process(load.pid)
        with pytest.raises(WorkbenchError, match=r"not over after 0\.1 s"):
            load.wait(timeout=0.1)
        assert is_dead(process)


def test_an_exception_in_the_block_ends_the_process(server: GunicornServer, out: Path) -> None:
    """Leaving the block by an exception ends the load at once, and stop may be called again."""
    load = Load(server.host, server.port, [FAR], out=out)

    def interrupted() -> None:
        with load:
            processes.append(psutil.Process(load.pid))
            raise KeyboardInterrupt

    processes: list[psutil.Process] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert is_dead(processes[0])
    load.stop()


def test_a_load_is_started_once(server: GunicornServer, out: Path) -> None:
    """What needs a started load says so, and a second start is an error."""
    load = Load(server.host, server.port, [FAR], out=out)
    for use in (lambda: load.pid, lambda: load.started_at, load.wait):
        with pytest.raises(WorkbenchError, match=r"start\(\) first"):
            use()
    with load, pytest.raises(WorkbenchError, match="started already"):
        load.start()


@pytest.mark.parametrize(
    ("requests", "options", "message"),
    [
        ([], {}, "at least one"),
        ([FAR, FAR], {}, "'far' stands twice"),
        ([Request("a", -1, "GET", "/", "read")], {}, "before the start"),
        ([Request("a", 0, "GET", "/a b", "read")], {}, "cannot be sent"),
        ([Request("a", 0, "GET", "/", "read", {"X-A": "1\r\nX-B: 2"})], {}, "cannot be sent"),
        ([FAR], {"max_in_flight": 0}, "max_in_flight is 0"),
        ([FAR], {"connections": -1}, "connections -1"),
    ],
)
def test_a_schedule_that_cannot_be_sent_is_refused(
    out: Path, requests: list[Request], options: dict[str, Any], message: str
) -> None:
    """What HTTP or the schedule does not allow is refused before any process starts."""
    with pytest.raises(ValueError, match=message):
        Load("127.0.0.1", 1, requests, out=out, **options)
