"""The proxy passes bytes on unchanged, bends and breaks connections as told, and its log says what it did."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from workbench.errors import WorkbenchError
from workbench.servers.ports import LOOPBACK, free_port
from workbench.servers.postgres import PostgresServer
from workbench.servers.proxy import Proxy

PATIENCE = 10.0
RST_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds


class Upstream:
    """A listener whose accepted sockets the test holds, so that it plays both ends of a connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server((LOOPBACK, 0))
        self.listener.settimeout(PATIENCE)
        self.address = self.listener.getsockname()
        self.sockets: list[socket.socket] = [self.listener]

    def pair(self, proxy: Proxy) -> tuple[socket.socket, socket.socket]:
        client = self.client(proxy)
        server, _ = self.listener.accept()
        server.settimeout(PATIENCE)
        self.sockets.append(server)
        return client, server

    def client(self, proxy: Proxy) -> socket.socket:
        client = socket.create_connection((proxy.host, proxy.port), PATIENCE)
        self.sockets.append(client)
        return client

    def forget(self) -> None:
        """Close all but the listener, and what still waits there to be accepted."""
        for each in self.sockets[1:]:
            each.close()
        del self.sockets[1:]
        self.listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
        self.listener.settimeout(PATIENCE)

    def close(self) -> None:
        self.forget()
        self.listener.close()


@pytest.fixture(scope="module")
def ends():
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def running(ends):
    with Proxy(ends.address, seed=7) as proxy:
        yield proxy


@pytest.fixture
def proxy(running, ends, poll):
    """The module's proxy, with no toxic and no connection left over from another test."""
    yield running
    running.clear()
    running.reset_all()
    poll(lambda: running.counts().open == 0)
    ends.forget()


def receive(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = source.recv(min(count - len(data), 1 << 16))
        if not piece:
            break
        data += piece
    return data


def is_quiet(source: socket.socket, seconds: float = 0.15) -> bool:
    source.settimeout(seconds)
    try:
        source.recv(1)
    except TimeoutError:
        return True
    finally:
        source.settimeout(PATIENCE)
    return False


def events_of(proxy: Proxy, event: str, **fields: object) -> list[dict[str, object]]:
    return [e for e in proxy.events() if e["event"] == event and fields.items() <= e.items()]


def number(proxy: Proxy) -> int:
    """The number of the connection accepted last."""
    return proxy.counts().accepted


# -- no fault --------------------------------------------------------------------------------------------------------


def test_bytes_pass_unchanged_and_are_counted(proxy, ends):
    """A megabyte of random bytes each way arrives as sent, and the counts grow by exactly that."""
    before = proxy.counts()
    client, server = ends.pair(proxy)
    up, down = os.urandom(1 << 20), os.urandom(1 << 20)
    senders = [threading.Thread(target=a.sendall, args=(b,)) for a, b in ((client, up), (server, down))]
    for sender in senders:
        sender.start()
    received = {}
    reader = threading.Thread(target=lambda: received.update(down=receive(client, len(down))))
    reader.start()
    assert receive(server, len(up)) == up
    for thread in (*senders, reader):
        thread.join(PATIENCE)
    assert received["down"] == down
    after = proxy.counts()
    assert (after.bytes_up - before.bytes_up, after.bytes_down - before.bytes_down) == (len(up), len(down))
    assert after.resets == before.resets


def test_half_close_passes_through(proxy, ends, poll):
    """A client that has said its last word still gets the answer, and the connection then ends without an RST."""
    client, server = ends.pair(proxy)
    this = number(proxy)
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert receive(server, 100) == b"question"
    server.sendall(b"answer")
    server.close()
    assert receive(client, 100) == b"answer"
    (closed,) = poll(lambda: events_of(proxy, "close", connection=this))
    assert closed["cause"] == "the client closed first"
    assert closed["up"] == {"received": 8, "sent": 8}
    assert closed["down"] == {"received": 6, "sent": 6}
    assert not events_of(proxy, "rst", connection=this)


def test_a_reset_is_passed_on_as_a_reset(proxy, ends):
    """When the server resets, the client sees a reset too, not an orderly end."""
    client, server = ends.pair(proxy)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_slow_reader_slows_its_sender(proxy, ends):
    """The proxy does not buffer without end: a sender is held up when the other end does not read."""
    client, server = ends.pair(proxy)
    client.setblocking(False)
    sent, block = 0, bytes(1 << 16)
    deadline = time.monotonic() + PATIENCE
    stuck_since = None
    while time.monotonic() < deadline and (stuck_since is None or time.monotonic() - stuck_since < 0.3):
        try:
            sent += client.send(block)
            stuck_since = None
        except BlockingIOError:
            stuck_since = stuck_since or time.monotonic()
    assert sent < 64 << 20
    client.setblocking(True)
    client.shutdown(socket.SHUT_WR)
    assert len(receive(server, sent + 1)) == sent


def test_counts_are_exact_under_load(proxy, ends, poll):
    """Asked again and again while eight connections pump, the counts never fall, and end at exactly what was sent."""
    before = proxy.counts()
    pairs = [ends.pair(proxy) for _ in range(8)]
    size = 512 * 1024

    def pump(client: socket.socket, server: socket.socket) -> None:
        sender = threading.Thread(target=client.sendall, args=(bytes(size),))
        sender.start()
        server.sendall(receive(server, size)[: size // 2])
        receive(client, size // 2)
        sender.join()

    threads = [threading.Thread(target=pump, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    seen = [before]
    while any(thread.is_alive() for thread in threads):
        seen.append(proxy.counts())
    seen.append(proxy.counts())
    assert [c.bytes_up for c in seen] == sorted(c.bytes_up for c in seen)
    assert [c.bytes_down for c in seen] == sorted(c.bytes_down for c in seen)
    assert seen[-1].bytes_up - before.bytes_up == 8 * size
    assert seen[-1].bytes_down - before.bytes_down == 4 * size
    assert seen[-1].open == 8


def test_a_silent_client_disturbs_nobody(proxy, ends):
    """A client that connects and says nothing keeps its connection, and others are served."""
    silent, silent_server = ends.pair(proxy)
    client, server = ends.pair(proxy)
    client.sendall(b"x")
    assert receive(server, 1) == b"x"
    assert is_quiet(silent_server, 0.05)
    silent.sendall(b"late")
    assert receive(silent_server, 4) == b"late"


def test_an_upstream_that_is_down_looks_like_a_reset_and_may_come_back():
    """While the upstream refuses, clients are reset at once; when it listens again, the next one is served."""
    port = free_port()
    with Proxy((LOOPBACK, port)) as proxy:
        # The reset may come before `connect` itself has returned.
        with (
            pytest.raises(ConnectionResetError),
            socket.create_connection((proxy.host, proxy.port), PATIENCE) as client,
        ):
            client.recv(1)
        assert len(events_of(proxy, "upstream_refused", connection=1)) == 1
        with (
            socket.create_server((LOOPBACK, port)) as listener,
            socket.create_connection((proxy.host, proxy.port), PATIENCE) as client,
        ):
            server, _ = listener.accept()
            with server:
                client.sendall(b"back")
                assert receive(server, 4) == b"back"


# -- toxics ----------------------------------------------------------------------------------------------------------


def test_latency_delays_and_keeps_throughput(proxy, ends):
    """With 100 ms of delay, forty messages sent at once arrive together and in order, not 100 ms after one another."""
    client, server = ends.pair(proxy)
    with proxy.toxic("latency", stream="upstream", latency=100, jitter=20):
        began = time.monotonic()
        for n in range(40):
            client.sendall(b"%04d" % n)
        data = receive(server, 160)
        took = time.monotonic() - began
    assert data == b"".join(b"%04d" % n for n in range(40))
    assert 0.08 <= took < 2.0
    server.sendall(b"x")
    assert receive(client, 1) == b"x"


def test_latency_switched_off_lets_the_queue_go(proxy, ends):
    """What is under way when the toxic is removed arrives at once, before what is sent later."""
    client, server = ends.pair(proxy)
    name = proxy.add("latency", stream="both", latency=60_000)
    client.sendall(b"first ")
    assert is_quiet(server)
    proxy.remove(name)
    client.sendall(b"second")
    assert receive(server, 12) == b"first second"


def test_bandwidth_limits_the_rate(proxy, ends):
    """40 KB at 200 KB/s take about 0.2 s, and arrive whole."""
    client, server = ends.pair(proxy)
    payload = os.urandom(40_000)
    with proxy.toxic("bandwidth", rate=200):
        began = time.monotonic()
        server.sendall(payload)
        assert receive(client, len(payload)) == payload
        took = time.monotonic() - began
    assert 0.15 <= took < 2.0


def test_reset_peer_resets_idle_open_connections(proxy, ends, poll):
    """Connections that are open and idle get a real RST at once, on both ends, and the log says so."""
    pairs = [ends.pair(proxy) for _ in range(3)]
    latest = number(proxy)
    proxy.add("reset_peer", name="storm")
    for client, server in pairs:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionResetError):
            server.recv(1)
    (switched_on,) = events_of(proxy, "toxic_on", toxic="storm")
    assert switched_on["connections"] == [latest - 2, latest - 1, latest]
    rsts = [
        e for e in events_of(proxy, "rst", cause="storm") if e["connection"] in switched_on["connections"]
    ]
    assert [e["sides"] for e in rsts] == [["client", "server"]] * 3
    with pytest.raises(ConnectionResetError):
        ends.client(proxy).recv(1)
    poll(lambda: proxy.counts().open == 0)


def test_reset_all_counts_what_it_reset(proxy, ends):
    """`reset_all` returns how many connections it reset; new connections are served as ever."""
    clients = [ends.pair(proxy)[0] for _ in range(4)]
    before = proxy.counts().resets
    assert proxy.reset_all() == 4
    for client in clients:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert proxy.counts().resets == before + 4
    client, server = ends.pair(proxy)
    client.sendall(b"x")
    assert receive(server, 1) == b"x"


def test_timeout_throws_away_and_then_closes(proxy, ends):
    """Nothing arrives, and after the time both ends see the end of the connection."""
    client, server = ends.pair(proxy)
    proxy.add("timeout", timeout=150)
    server.sendall(b"lost")
    began = time.monotonic()
    assert client.recv(1) == b""
    assert time.monotonic() - began > 0.1
    assert server.recv(1) == b""


def test_a_blackhole_that_stops_reading_loses_nothing(proxy, ends):
    """In mode stop the bytes wait, and arrive when the fault is healed: as with a cable pulled and plugged in again."""
    client, server = ends.pair(proxy)
    with proxy.toxic("blackhole", stream="both", mode="stop"):
        client.sendall(b"up")
        server.sendall(b"down")
        assert is_quiet(server)
        assert is_quiet(client)
    assert receive(server, 2) == b"up"
    assert receive(client, 4) == b"down"


def test_a_blackhole_that_discards_never_corrupts(proxy, ends):
    """A stream that lost bytes is reset when the fault is healed; an idle one goes on."""
    client, server = ends.pair(proxy)
    idle, idle_server = ends.pair(proxy)
    with proxy.toxic("blackhole", stream="both"):
        client.sendall(b"lost")
        assert is_quiet(server)
    with pytest.raises(ConnectionResetError):
        server.recv(1)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    idle.sendall(b"fine")
    assert receive(idle_server, 4) == b"fine"


def test_a_blackhole_can_leave_silence_behind(proxy, ends):
    """Healed, a stream that lost bytes stays open and silent both ways, its ends too; idle and new ones work."""
    before = proxy.counts()
    client, server = ends.pair(proxy)
    ended, ended_server = ends.pair(proxy)
    idle, idle_server = ends.pair(proxy)
    with proxy.toxic("blackhole", stream="both", then="silence"):
        client.sendall(b"lost")
        ended_server.sendall(b"gone")
        ended.close()  # in the direction that lost nothing: its end must not pass either
        late, late_server = ends.pair(proxy)
        late.sendall(b"new")
        assert is_quiet(server)
        assert is_quiet(late_server)
    fresh, fresh_server = ends.pair(proxy)
    for source, target in ((idle, idle_server), (fresh, fresh_server)):
        source.sendall(b"fine")
        assert receive(target, 4) == b"fine"
    server.sendall(b"from the other side")
    client.close()
    for source in (server, ended_server, late, late_server):
        assert is_quiet(source)
    counts = proxy.counts()
    assert counts.lossy - before.lossy == len(events_of(proxy, "silenced")) == 3
    assert counts.bytes_discarded - before.bytes_discarded == sum(
        map(len, ("lost", "gone", "new", "from the other side"))
    )
    proxy.reset_all()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_silence_can_be_ended_without_harm_to_the_rest(proxy, ends):
    """`reset_silent` resets what a black hole has silenced, both ends of it, and nothing else."""
    client, server = ends.pair(proxy)
    idle, idle_server = ends.pair(proxy)
    with proxy.toxic("blackhole", stream="both", then="silence"):
        client.sendall(b"lost")
        assert is_quiet(server)
    assert proxy.reset_silent() == 1
    for end in (client, server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    idle.sendall(b"fine")
    assert receive(idle_server, 4) == b"fine"
    assert proxy.reset_silent() == 0


def test_a_blackhole_hides_the_end_of_a_peer(proxy, ends):
    """Neither an orderly end nor a crash of the client reaches the server before the fault is healed."""
    (ending, ending_server), (crashing, crashing_server) = ends.pair(proxy), ends.pair(proxy)
    with proxy.toxic("blackhole", stream="upstream"):
        ending.close()
        crashing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        crashing.close()
        assert is_quiet(ending_server)
        assert is_quiet(crashing_server)
    assert ending_server.recv(1) == b""
    with pytest.raises(ConnectionResetError):
        crashing_server.recv(1)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems complete some handshakes of a full queue")
def test_connecting_into_a_blackhole_times_out_and_heals(proxy, ends):
    """A new connection is never answered, an open one goes on; healed, the waiting client gets through."""
    client, server = ends.pair(proxy)
    with proxy.toxic("blackhole", at="connect"):
        for _ in range(2):
            with pytest.raises(TimeoutError):
                socket.create_connection((proxy.host, proxy.port), 0.2)
        client.sendall(b"open")
        assert receive(server, 4) == b"open"
        waiting = socket.socket()
        waiting.setblocking(False)
        ends.sockets.append(waiting)
        waiting.connect_ex((proxy.host, proxy.port))
    before = proxy.counts().accepted
    waiting.settimeout(PATIENCE)
    assert select.select([], [waiting], [], PATIENCE)[1] == [waiting]
    assert waiting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    late, _ = ends.listener.accept()
    ends.sockets.append(late)
    waiting.sendall(b"late")
    assert receive(late, 4) == b"late"
    assert proxy.counts().accepted - before <= 1


def test_refuse_closes_the_port_and_opens_it_again(proxy, ends):
    """New connections are refused, the open one goes on, and the same port answers afterwards."""
    client, server = ends.pair(proxy)
    port = proxy.port
    with proxy.toxic("refuse"):
        with pytest.raises(ConnectionRefusedError):
            ends.client(proxy)
        client.sendall(b"x")
        assert receive(server, 1) == b"x"
    client, server = ends.pair(proxy)
    assert client.getpeername()[1] == port
    client.sendall(b"y")
    assert receive(server, 1) == b"y"


def test_slow_close_delays_the_end_only(proxy, ends):
    """The bytes come at once, the end of the stream later."""
    client, server = ends.pair(proxy)
    with proxy.toxic("slow_close", delay=200):
        server.sendall(b"last words")
        server.shutdown(socket.SHUT_WR)
        assert receive(client, 10) == b"last words"
        began = time.monotonic()
        assert client.recv(1) == b""
        assert time.monotonic() - began > 0.1


def test_half_close_ends_one_direction(proxy, ends):
    """The client sees the end of the server's stream and can still send."""
    client, server = ends.pair(proxy)
    proxy.add("half_close", stream="downstream")
    assert client.recv(1) == b""
    client.sendall(b"still here")
    assert receive(server, 10) == b"still here"


@pytest.mark.parametrize("how", ["close", "fin", "rst"])
def test_limit_data_cuts_after_exactly_n_bytes(proxy, ends, how):
    """Exactly n bytes arrive, then the connection is cut in the way asked for."""
    client, server = ends.pair(proxy)
    proxy.add("limit_data", bytes=1000, how=how)
    server.sendall(bytes(600))
    assert len(receive(client, 600)) == 600
    server.sendall(bytes(600))
    assert len(receive(client, 400)) == 400
    if how == "rst":
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    else:
        assert client.recv(1) == b""
    with contextlib.suppress(ConnectionResetError):
        assert server.recv(1) == b""


def test_reset_all_ends_what_a_cut_left_half_open(proxy, ends, poll):
    """A client that was shown the end of its stream and keeps its socket open is reset like any other."""
    client, server = ends.pair(proxy)
    proxy.add("limit_data", bytes=0, how="fin")
    server.sendall(b"x")
    assert client.recv(1) == b""
    assert proxy.reset_all() == 1
    # After an end of stream the system reports the reset as EPIPE.
    assert poll(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) in (
        errno.EPIPE,
        errno.ECONNRESET,
    )


def test_toxicity_hits_the_drawn_connections_only(ends):
    """With the same seed the same connections are hit, open ones and new ones alike, and the log names them."""
    hits = []
    for open_before in (12, 4):
        with Proxy(ends.address, seed=3) as proxy:
            pairs = [ends.pair(proxy) for _ in range(open_before)]
            proxy.add("half_close", name="some", toxicity=0.5)
            pairs += [ends.pair(proxy) for _ in range(12 - open_before)]
            for client, server in pairs:
                with contextlib.suppress(OSError):
                    server.sendall(b"x")
                client.settimeout(PATIENCE)
            hits.append([client.recv(1) == b"" for client, _ in pairs])
            logged = {e["connection"] for e in events_of(proxy, "toxic_hit", toxic="some")}
            assert logged == {n + 1 for n, hit in enumerate(hits[-1]) if hit}
    assert hits[0] == hits[1]
    assert 0 < sum(hits[0]) < 12


def test_toxics_chain_and_leave_in_any_order(proxy, ends):
    """Several toxics act on one stream; taking the first away first loses nothing and keeps the order."""
    client, server = ends.pair(proxy)
    payload = os.urandom(30_000)
    proxy.add("latency", name="a", latency=30_000)
    proxy.add("bandwidth", name="b", rate=1_000_000)
    proxy.add("latency", name="c", latency=30_000)
    server.sendall(payload[:10_000])
    assert is_quiet(client)
    proxy.remove("a")
    server.sendall(payload[10_000:20_000])
    proxy.remove("c")
    server.sendall(payload[20_000:])
    assert receive(client, len(payload)) == payload


# -- commands --------------------------------------------------------------------------------------------------------


def test_wrong_commands_are_told_why(proxy):
    """A wrong value, a name that is taken and one that is not there each raise with the value in the message."""
    with pytest.raises(WorkbenchError, match="'fast'"):
        proxy.add("latency", latency="fast")
    proxy.add("latency", latency=1)
    with pytest.raises(WorkbenchError, match="already exists: latency_downstream"):
        proxy.add("latency", latency=2)
    with pytest.raises(WorkbenchError, match="not found: nothing"):
        proxy.remove("nothing")
    with pytest.raises(WorkbenchError, match="not JSON serializable"):
        proxy.add("latency", name="other", latency=b"1")
    with pytest.raises(WorkbenchError, match="cannot name a proxy"):
        Proxy(("127.0.0.1", 1), name="a/b")
    assert [toxic["name"] for toxic in proxy.toxics()] == ["latency_downstream"]


def test_a_toxic_is_removed_after_an_exception(proxy):
    """Leaving the with block by an exception switches the toxic off."""
    with pytest.raises(RuntimeError, match="body"), proxy.toxic("latency", latency=1):
        raise RuntimeError("body")
    assert proxy.toxics() == []


def ask(proxy: Proxy, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, object]:
    connection = http.client.HTTPConnection(LOOPBACK, proxy._control, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read() or b"null")


def test_nobody_commands_without_the_token(proxy):
    """Without the token, or with a wrong one, a command is refused and changes nothing."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {proxy._token}"}):
        status, answer = ask(proxy, "POST", "/reset", "{}", **headers)
        assert (status, answer) == (401, {"error": "missing or wrong control token", "status": 401})


def test_the_token_is_in_no_argument_and_no_environment(proxy):
    """Other processes cannot read the token from the process table."""
    process = psutil.Process(proxy.pid)
    assert proxy._token not in " ".join(process.cmdline())
    assert proxy._token not in process.environ().values()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/proxies/proxy/toxics", "{", 400, "not JSON"),
        ("POST", "/proxies/proxy/toxics", "[" * 10_000, 400, "not JSON"),
        ("POST", "/proxies/proxy/toxics", "[]", 400, "JSON object"),
        ("POST", "/proxies/proxy/toxics", '{"type": "latency", "attributes": {"latency": -5}}', 400, "-5"),
        ("POST", "/proxies/proxy/toxics", '{"type": "latency", "attributes": {"latency": NaN}}', 400, "nan"),
        ("POST", "/proxies/proxy/toxics", "x" * 70_000, 400, "Content-Length"),
        ("POST", "/proxies/proxy", '{"enabled": 1}', 400, "enabled"),
        ("DELETE", "/proxies/proxy/toxics/none", None, 404, "toxic not found: none"),
        ("GET", "/proxies/other", None, 404, "proxy not found: other"),
        ("PUT", "/proxies/proxy", "{}", 404, "no such command"),
        ("GET", "/", None, 404, "no such command"),
    ],
)
def test_malformed_commands_get_a_clear_error(proxy, method, path, body, status, said):
    """Whatever is wrong with a command is answered with the right status and a sentence about it."""
    got, answer = ask(proxy, method, path, body, Authorization=f"Bearer {proxy._token}")
    assert got == status
    assert said in answer["error"]


def test_toxiproxys_own_routes_work(proxy, ends):
    """Listing, showing and disabling work as with Toxiproxy's API: disabled means refused and disconnected."""
    token = {"Authorization": f"Bearer {proxy._token}"}
    client, _ = ends.pair(proxy)
    proxy.add("latency", latency=5)
    status, answer = ask(proxy, "GET", "/proxies", **token)
    assert status == 200
    assert answer["proxy"]["toxics"][0]["attributes"] == {"latency": 5, "jitter": 0}
    assert ask(proxy, "GET", "/proxies/proxy/toxics/latency_downstream", **token)[1]["type"] == "latency"
    assert ask(proxy, "POST", "/proxies/proxy", '{"enabled": false}', **token)[1]["enabled"] is False
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        ends.client(proxy)
    assert ask(proxy, "POST", "/proxies/proxy", '{"enabled": true}', **token)[1]["enabled"] is True
    ends.pair(proxy)


# -- life ------------------------------------------------------------------------------------------------------------


def test_closing_frees_the_port_and_keeps_the_log(ends):
    """After the with block the process is gone, open clients were reset, and the log can still be read."""
    with Proxy(ends.address) as proxy:
        pid = proxy.pid
        client, server = ends.pair(proxy)
        client.sendall(b"x")
        assert receive(server, 1) == b"x"
    assert not psutil.pid_exists(pid)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        ends.client(proxy)
    assert [e["event"] for e in proxy.events()] == ["listening", "accept", "connect", "rst", "close", "stop"]
    with pytest.raises(WorkbenchError, match="does not run"):
        proxy.counts()


def test_a_port_that_is_taken_is_named(ends):
    """A port that another program holds gives one clear sentence, and nothing is left running."""
    with socket.create_server((LOOPBACK, free_port())) as holder:
        proxy = Proxy(ends.address, port=holder.getsockname()[1])
        with pytest.raises(WorkbenchError, match=f"cannot listen on {LOOPBACK}:{holder.getsockname()[1]}"):
            proxy.start()
    with pytest.raises(WorkbenchError, match="does not run"):
        _ = proxy.pid


def test_a_proxy_that_was_killed_is_reported(ends, poll):
    """A command to a proxy that somebody killed says that it is gone, and with which exit code."""
    with Proxy(ends.address) as proxy:
        os.kill(proxy.pid, signal.SIGKILL)
        poll(lambda: psutil.Process(proxy.pid).status() == psutil.STATUS_ZOMBIE)
        with pytest.raises(WorkbenchError, match="has ended with exit code -9"):
            proxy.counts()


def test_the_process_ends_when_its_input_ends(ends, poll):
    """Without a watchdog, too, the proxy ends by itself when its owner's end of the pipe is closed."""
    with Proxy(ends.address) as proxy:
        process = proxy._process
        process.stdin.close()
        poll(lambda: process.poll() is not None)
        assert process.returncode == 0


def test_ctrl_c_and_hangup_do_not_end_the_proxy(proxy, ends):
    """The terminal's signals leave the proxy to its owner, who heals first."""
    os.kill(proxy.pid, signal.SIGINT)
    os.kill(proxy.pid, signal.SIGHUP)
    client, server = ends.pair(proxy)
    client.sendall(b"x")
    assert receive(server, 1) == b"x"


DRIVER = """
import sys
from workbench.servers.proxy import Proxy
from workbench.servers.watchdog import Watchdog
proxy = Proxy(("127.0.0.1", int(sys.argv[1])))
proxy.start()
proxy.add("refuse")
print(proxy.pid, Watchdog.current().pid, proxy.log, flush=True)
sys.stdin.read()
"""


def test_the_proxy_dies_with_its_driver(ends, poll):
    """After the driver is killed with SIGKILL in the middle of a fault, the proxy is gone and so is its folder."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(ends.address[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with driver:
        pid, watchdog, log = driver.stdout.readline().split()
        assert Path(log).exists()
        driver.kill()
    poll(lambda: not psutil.pid_exists(int(pid)))
    poll(lambda: not psutil.pid_exists(int(watchdog)))
    assert not Path(log).exists()


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer() as server:
        with server.connect() as connection:
            connection.execute("create table written (id int primary key)")
        yield server


@pytest.fixture(scope="module")
def wire(postgres):
    with Proxy((postgres.host, postgres.port), name="wire") as proxy:
        yield proxy


@pytest.fixture
def through(wire, postgres):
    """Opens psycopg connections through the proxy; toxics and connections are cleared afterwards."""
    opened = []

    def connect() -> psycopg.Connection:
        connection = psycopg.connect(
            host=wire.host, port=wire.port, dbname="postgres", user="postgres", password=postgres.password
        )
        opened.append(connection)
        return connection

    yield connect
    wire.clear()
    for connection in opened:
        connection.close()
    with postgres.connect() as direct:
        direct.execute("delete from written")


def rows(postgres: PostgresServer) -> list[int]:
    with postgres.connect() as direct:
        return [row[0] for row in direct.execute("select id from written order by id")]


def test_psycopg_sees_a_lost_connection_after_a_reset_while_idle(wire, through):
    """A connection that is reset while idle fails at its next statement as lost, and a new one works."""
    connection = through()
    connection.execute("select 1")
    connection.commit()
    assert wire.reset_all() == 1
    with pytest.raises(psycopg.OperationalError) as failure:
        connection.execute("select 1")
    assert failure.value.sqlstate is None
    assert connection.broken
    assert through().execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("how", ["rst", "fin", "close"])
def test_a_swallowed_commit_reply_leaves_the_row(wire, through, postgres, poll, how):
    """The reply of COMMIT is cut off: the client sees an error, and the row is there."""
    connection = through()
    connection.execute("insert into written values (1)")
    name = wire.add(
        "cut_after_message", message="CommandComplete", tag="COMMIT", before_forwarding=True, how=how
    )
    with pytest.raises(psycopg.OperationalError):
        connection.commit()
    assert connection.broken
    assert rows(postgres) == [1]
    wire.remove(name)
    assert events_of(wire, "toxic_off", toxic=name)[-1]["cuts"] == 1
    assert len(events_of(wire, "cut", how=how)) == 1


def test_a_cut_before_commit_leaves_no_row(wire, through, postgres):
    """COMMIT never reaches the server: the client sees the same kind of error, and there is no row."""
    connection = through()
    connection.execute("insert into written values (2)")
    wire.add(
        "cut_after_message", stream="upstream", message="Query", sql_prefix="commit", before_forwarding=True
    )
    with pytest.raises(psycopg.OperationalError):
        connection.commit()
    assert connection.broken
    assert rows(postgres) == []


def test_a_cut_after_the_commit_reply_is_seen_as_success(wire, through, postgres):
    """Cut behind the reply, the client knows that it has committed only if it had all it waited for."""
    connection = through()
    connection.execute("insert into written values (3)")
    wire.add("cut_after_message", message="ReadyForQuery", how="fin")
    connection.commit()
    assert rows(postgres) == [3]
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")


def test_a_partition_before_commit_holds_the_servers_session(wire, through, postgres, poll):
    """With partition the server is not told that its client is cut off: its session holds its lock until healed."""
    connection = through()
    connection.execute("insert into written values (4)")
    backend = connection.info.backend_pid
    name = wire.add(
        "cut_after_message",
        stream="upstream",
        message="Query",
        sql_prefix="COMMIT",
        before_forwarding=True,
        partition=True,
    )
    with pytest.raises(psycopg.OperationalError):
        connection.commit()
    with postgres.connect() as direct:
        state = "select state from pg_stat_activity where pid = %s"
        assert direct.execute(state, [backend]).fetchone() == ("idle in transaction",)
        wire.remove(name)
        poll(lambda: direct.execute(state, [backend]).fetchone() is None)
    assert rows(postgres) == []


def test_a_cut_is_made_as_often_as_asked(wire, through, postgres):
    """With count=1 only the first COMMIT is cut; the next connection commits."""
    wire.add("cut_after_message", message="CommandComplete", tag="COMMIT", before_forwarding=True)
    first, second = through(), through()
    first.execute("insert into written values (5)")
    second.execute("insert into written values (6)")
    with pytest.raises(psycopg.OperationalError):
        first.commit()
    second.commit()
    assert rows(postgres) == [5, 6]


def test_other_commands_pass_while_a_cut_waits(wire, through):
    """A cut that waits for COMMIT changes nothing for thousands of rows, errors and other commands."""
    connection = through()
    with wire.toxic("cut_after_message", message="CommandComplete", tag="COMMIT", before_forwarding=True):
        assert (
            len(connection.execute("select repeat('x', 200) from generate_series(1, 5000)").fetchall())
            == 5000
        )
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("select 1/0")
        connection.rollback()
        with connection.cursor().copy("copy (select generate_series(1, 1000)) to stdout") as copy:
            assert sum(1 for _ in copy.rows()) == 1000
        connection.rollback()
    connection.commit()


def test_a_cut_that_cannot_see_says_so(proxy, ends, poll):
    """On a connection that is not PostgreSQL the toxic passes everything, and the log says that it is blind."""
    client, server = ends.pair(proxy)
    this = number(proxy)
    proxy.add("cut_after_message", name="cut", message="CommandComplete")
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert receive(server, 18) == b"GET / HTTP/1.1\r\n\r\n"
    server.sendall(b"C\0\0\0\x0bCOMMIT\0")
    assert len(receive(client, 12)) == 12
    poll(lambda: events_of(proxy, "toxic_blind", connection=this, toxic="cut"))
