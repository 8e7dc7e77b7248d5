"""GunicornServer against the real gunicorn, with a small WSGI application written for the tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from workbench.errors import WorkbenchError
from workbench.servers import web
from workbench.servers.ports import LOOPBACK, free_port
from workbench.servers.watchdog_process import is_dead
from workbench.servers.web import GunicornServer

APP = """
import os, pathlib, threading

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        pathlib.Path("held").touch()
        threading.Event().wait(60)
    body = {"/env": " ".join(sorted(os.environ)), "/pid": str(os.getpid())}.get(path, "hello")
    status = "500 Internal Server Error" if path == "/broken" else "200 OK"
    start_response(status, [("Content-Type", "text/plain")])
    return [body.encode()]
"""

Poll = Callable[..., object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder with the application `shop:application`."""
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind((LOOPBACK, free_port()))
        other.listen()
        yield other.getsockname()[1]


def get(server: GunicornServer, path: str = "/") -> str:
    with urllib.request.urlopen(server.url + path, timeout=10) as answer:
        return answer.read().decode()


def family(server: GunicornServer) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in [server.pid, *server.workers()]]


def test_is_ready_on_entry_and_gone_on_exit(folder: Path) -> None:
    """On entry the application answers from two workers; on exit they are gone, the port refuses, the log is kept."""
    with GunicornServer("shop:application", cwd=folder, env={}) as server:
        assert get(server) == "hello"
        assert int(get(server, "/pid")) in server.workers()
        assert len(server.workers()) == 2
        processes = family(server)
    assert all(is_dead(process) for process in processes)
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect((LOOPBACK, server.port))
    assert "Listening at" in server.log_text()


def test_only_what_is_given_shapes_the_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's variables, the project's gunicorn.conf.py and GUNICORN_CMD_ARGS do not reach the server."""
    monkeypatch.setenv("DRIVERS_OWN", "1")
    (folder / "gunicorn.conf.py").write_text("workers = 3\nraise SystemExit('read')\n")
    env = {"GIVEN": "1", "GUNICORN_CMD_ARGS": "--workers 3"}
    with GunicornServer("shop:application", cwd=folder, env=env, workers=1) as server:
        names = get(server, "/env").split()
        assert len(server.workers()) == 1
    assert "GIVEN" in names
    assert "DRIVERS_OWN" not in names


@pytest.mark.parametrize(
    ("application", "source", "code", "log", "step"),
    [
        ("nowhere:application", "", 3, "No module named 'nowhere'", "DJANGO_SETTINGS_MODULE"),
        ("shop:nothing", APP, 4, "nothing", "after the colon"),
        (
            "shop:application",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()",
            3,
            "No module named 'wrong_settings'",
            "DJANGO_SETTINGS_MODULE",
        ),
    ],
    ids=["no module", "no callable", "wrong settings"],
)
def test_death_at_start_shows_the_log(
    tmp_path: Path, application: str, source: str, code: int, log: str, step: str
) -> None:
    """A server that dies at start raises one error with its exit code, the end of its log, and what to mend."""
    (tmp_path / "shop.py").write_text(source)
    server = GunicornServer(
        application, cwd=tmp_path, env={"DJANGO_SETTINGS_MODULE": "wrong_settings"}, workers=1
    )
    with pytest.raises(WorkbenchError) as caught:
        server.start()
    assert f"code {code}" in caught.value.problem
    assert log in caught.value.problem
    assert step in caught.value.next_step
    assert server.stop() == 0


def test_taken_port_is_named_before_anything_starts(folder: Path, taken_port: int) -> None:
    """A port that is taken is an error that names it and how to find its holder."""
    with pytest.raises(WorkbenchError, match=f"port {taken_port} .* taken"):
        GunicornServer("shop:application", cwd=folder, env={}, port=taken_port).start()


def test_never_ready_names_the_last_answer_and_leaves_nothing(folder: Path) -> None:
    """An application that answers its ready path with 500 is reported with that status, and its server is ended."""
    server = GunicornServer("shop:application", cwd=folder, env={}, ready_path="/broken", workers=1)
    with pytest.raises(WorkbenchError, match="status 500"):
        server.start(timeout=1)
    with pytest.raises(WorkbenchError, match="does not run"):
        server.workers()


def test_stop_is_graceful_and_start_comes_back(folder: Path) -> None:
    """SIGTERM ends an idle server with exit code 0, kill ends it at once, and each may be started again on its port."""
    with GunicornServer("shop:application", cwd=folder, env={}, workers=1) as server:
        url = server.url
        assert server.stop() == 0
        server.start()
        processes = family(server)
        server.kill()
        assert all(is_dead(process) for process in processes)
        server.start()
        assert server.url == url
        assert server.wait_ready(10) < 10
        assert get(server) == "hello"
        with pytest.raises(WorkbenchError, match="runs already"):
            server.start()


def test_late_stop_kills_the_whole_group(folder: Path, poll: Poll) -> None:
    """A server that holds a request past the deadline is killed with its workers, and the code says so."""
    with GunicornServer("shop:application", cwd=folder, env={}, workers=1, graceful_timeout=60) as server:
        processes = family(server)
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
            poll((folder / "held").exists)
            assert server.stop(timeout=0.2) == -signal.SIGKILL
    assert all(is_dead(process) for process in processes)


def test_a_killed_master_leaves_no_orphan(folder: Path, poll: Poll) -> None:
    """After the master was killed by a drill, stop ends the workers that it left and tells the signal."""
    with GunicornServer("shop:application", cwd=folder, env={}, workers=2) as server:
        master, *workers = family(server)
        for worker in workers:
            worker.suspend()  # left alone, gunicorn's workers notice that their master is gone
        os.kill(master.pid, signal.SIGKILL)
        poll(lambda: is_dead(master))
        assert server.workers() == []
        assert server.stop() == -signal.SIGKILL
    assert all(is_dead(worker) for worker in workers)


def test_says_what_runs_where_gunicorn_cannot(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """On Windows, and where gunicorn is not installed, the error names the way out."""
    with monkeypatch.context() as patch:
        patch.setattr(web.sys, "platform", "win32")
        with pytest.raises(WorkbenchError, match="WSL 2"):
            GunicornServer("shop:application", cwd=folder, env={})
    monkeypatch.setattr(web.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WorkbenchError, match=r"make venv"):
        GunicornServer("shop:application", cwd=folder, env={})


DRIVER = """
import sys, time
from pathlib import Path
from workbench.servers.watchdog import Watchdog
from workbench.servers.web import GunicornServer
from workbench.traffic import Load, Request

folder = Path(sys.argv[1])
server = GunicornServer("shop:application", cwd=folder, env={}, workers=1)
server.start()
load = Load(server.host, server.port, [Request("late", 600, "GET", "/", "read")], out=folder / "replies.jsonl")
load.start()
print(server.pid, *server.workers(), load.pid, Watchdog.current().pid, Watchdog.current().root, flush=True)
sys.stdin.read()
"""


def test_kill_of_the_driver_ends_server_and_load(folder: Path, poll: Poll) -> None:
    """SIGKILL on the driver ends gunicorn, its worker and the load, and removes their folder."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        *pids, root = driver.stdout.readline().split()
        processes = [psutil.Process(int(pid)) for pid in pids]
        assert len(processes) == 4
        driver.kill()
    poll(lambda: all(is_dead(process) for process in processes))
    assert not Path(root).exists()


def test_a_driver_killed_before_the_guard_starts_no_server(folder: Path, poll: Poll) -> None:
    """When the driver dies between starting the process and guarding it, the process ends by itself."""
    script = DRIVER.replace(
        "server.start()", "Watchdog.guard = lambda *a, **k: held()\nserver.start()", 1
    ).replace(
        "folder = ", "def held():\n    print(server.pid, flush=True)\n    time.sleep(600)\n\nfolder = ", 1
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        started = psutil.Process(int(driver.stdout.readline()))
        driver.kill()
    poll(lambda: is_dead(started))
