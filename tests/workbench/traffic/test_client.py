"""The open loop against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from workbench.servers.ports import LOOPBACK, free_port
from workbench.traffic import Reply, Request
from workbench.traffic.client import OpenLoop, Pool

Answer = Callable[..., bytes]


def get(path: str, at: float = 0.0, timeout: float = 20.0) -> Request:
    return Request(f"GET {path} {at}", at, "GET", path, "read", timeout=timeout)


def post(path: str, at: float = 0.0, timeout: float = 20.0) -> Request:
    return Request(
        f"{path}@{at}", at, "POST", path, "order", {"Content-Type": "application/json"}, "{}", timeout
    )


def drive(
    server: Any,
    schedules: Sequence[Sequence[Request]],
    *,
    max_in_flight: int = 64,
    connections: int = 8,
    idle_limit: float = 20.0,
    early: float = 0.0,
    seen: Callable[[Reply], object] = lambda _: None,
    between: Callable[[Pool], bool] = lambda _: True,
) -> list[Reply]:
    """Send schedules one after another over one pool, each one's zero `early` seconds ago; replies as scheduled.

    `between` must become true before the next schedule is sent.
    """
    replies: dict[str, Reply] = {}

    def report(reply: Reply) -> None:
        assert reply.id not in replies
        replies[reply.id] = reply
        seen(reply)

    async def run() -> None:
        pool = Pool(server.host, server.port, connections, idle_limit=idle_limit)
        for schedule in schedules:
            zero = asyncio.get_running_loop().time() - early
            await OpenLoop(pool, report, max_in_flight=max_in_flight, zero=zero).run(schedule)
            async with asyncio.timeout(20):
                while not between(pool):
                    await asyncio.sleep(0.005)
        pool.close()

    asyncio.run(run())
    return [replies[request.id] for schedule in schedules for request in schedule]


def send(server: Any, *requests: Request, **options: Any) -> list[Reply]:
    """Send one schedule."""
    return drive(server, [requests], **options)


def in_turn(server: Any, *requests: Request, **options: Any) -> list[Reply]:
    """Send each request when the outcome of the one before is known, over the same pool."""
    return drive(server, [[replace(request, id=str(n))] for n, request in enumerate(requests)], **options)


def verdict(reply: Reply) -> tuple[str, str | None]:
    return reply.outcome, reply.error


def test_a_stalled_server_does_not_slow_the_sender(rude: Any, answer: Answer) -> None:
    """A server that answers nothing until all 21 requests of one second are there gets them, and waits are not omitted.

    A closed loop would wait for the first answer for ever. No answer can come before the last request has left, so each
    latency must be at least the time from its own intended moment to the last one's.
    """
    requests = [get("/stall", at) for at in [n * 0.05 for n in range(21)]]

    def stall(client: socket.socket, _: int) -> bool:
        if len(rude.heads) == len(requests):
            rude.release.set()
        rude.release.wait(20)
        rude.send(client, answer(b"[]"))
        return True

    rude.on("/stall", stall)
    replies = send(rude, *requests)
    assert [reply.outcome for reply in replies] == ["ok"] * 21
    assert all(reply.latency >= requests[-1].at - reply.intended for reply in replies)
    assert replies[0].latency >= 1.0


def test_a_late_generator_shows_in_lateness_and_latency(rude: Any, answer: Answer) -> None:
    """When the generator itself is late, the lateness is reported and the latency still counts from the intended time."""
    rude.on("/", answer(b"[]"))
    (reply,) = send(rude, get("/", 0.5), early=2.0)
    assert reply.outcome == "ok"
    assert reply.lateness >= 1.5
    assert reply.latency >= reply.lateness


def test_what_cannot_be_sent_is_dropped_and_counted(rude: Any, answer: Answer) -> None:
    """With two in flight the third and later requests are dropped, never sent, and each has its reply."""
    dropped: list[Reply] = []

    def hold(client: socket.socket, _: int) -> bool:
        rude.release.wait(20)
        rude.send(client, answer(b"[]"))
        return True

    def seen(reply: Reply) -> None:
        dropped.append(reply)
        if len(dropped) == 3:
            rude.release.set()

    rude.on("/hold", hold)
    replies = send(rude, *(get("/hold", 0.01 * n) for n in range(5)), max_in_flight=2, seen=seen)
    assert [reply.outcome for reply in replies] == ["ok", "ok", "dropped", "dropped", "dropped"]
    assert replies[2].error == "dropped: 2 in flight"
    assert (replies[2].sent, replies[2].done, replies[2].bytes_up, replies[2].attempts) == (None, None, 0, 0)
    assert len(rude.heads) == 2


@pytest.mark.parametrize("connections", [0, 4])
def test_wire_bytes_are_those_that_the_server_saw(rude: Any, answer: Answer, connections: int) -> None:
    """Both directions are counted with headers and before decompression, equal to the server's own counts."""
    packed = gzip.compress(b"[" + b"1," * 5000 + b"1]")
    rude.on("/packed", answer(packed, extra="Content-Encoding: gzip\r\n"))
    rude.on("/chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    replies = in_turn(rude, get("/packed"), get("/chunked"), post("/packed"), connections=connections)
    assert [verdict(reply) for reply in replies] == [("ok", None)] * 3
    assert len(packed) < replies[0].bytes_down < len(packed) + 200
    assert sum(reply.bytes_up for reply in replies) == rude.bytes_in
    assert sum(reply.bytes_down for reply in replies) == rude.bytes_out


def test_connections_are_kept_alive_or_not_as_asked(rude: Any, answer: Answer) -> None:
    """Requests one after another share a connection; with `connections=0` each has its own and says so."""
    rude.on("/", answer(b"[]"))
    in_turn(rude, *[get("/")] * 3)
    assert rude.connections == 1
    in_turn(rude, *[get("/")] * 3, connections=0)
    assert rude.connections == 4
    assert ["Connection: close" in head for head in rude.heads] == [False] * 3 + [True] * 3


def test_an_answer_without_length_ends_with_the_connection(rude: Any) -> None:
    """An HTTP/1.0 answer is whole when the server closes; when its JSON is cut, it is malformed."""

    def plain(body: bytes) -> Callable[[socket.socket, int], bool]:
        def send_and_close(client: socket.socket, _: int) -> bool:
            rude.send(client, b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)
            return False

        return send_and_close

    rude.on("/whole", plain(b"[1, 2]"))
    rude.on("/cut", plain(b"[1, "))
    assert [verdict(reply) for reply in send(rude, get("/whole"), get("/cut"))] == [
        ("ok", None),
        ("failed", "malformed body"),
    ]


@pytest.mark.parametrize(
    ("start", "end", "error"),
    [
        (b"", "close", "closed early"),
        (b"", "reset", "reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "close", "closed early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1, ", "close", "closed early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "close", "closed early"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "hold", "malformed answer"),
        (b"", "hold", "timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1, ", "hold", "timeout"),
    ],
)
def test_a_lost_answer_fails_a_read_and_leaves_a_write_in_doubt(
    rude: Any, start: bytes, end: str, error: str
) -> None:
    """However the answer is lost on a fresh connection, GET is failed, POST indeterminate, and each is sent once."""

    def lose(client: socket.socket, _: int) -> bool:
        rude.send(client, start)
        if end == "hold":
            rude.release.wait(20)
        if end == "reset":
            rude.reset(client)
        return False

    rude.on("/lose", lose)
    timeout = 0.4 if error == "timeout" else 20.0
    replies = send(rude, get("/lose", timeout=timeout), post("/lose", timeout=timeout))
    assert [verdict(reply) for reply in replies] == [("failed", error), ("indeterminate", error)]
    assert [reply.attempts for reply in replies] == [1, 1]
    assert [reply.first_byte is None for reply in replies] == [not start] * 2
    assert len(rude.heads) == 2


def test_a_server_that_is_down_refuses_definitely(rude: Any) -> None:
    """Nothing was sent to a port that refuses, so a POST is failed and not in doubt."""
    rude.port = free_port()
    replies = send(rude, get("/"), post("/"))
    assert [verdict(reply) for reply in replies] == [("failed", "connect refused")] * 2
    assert [(reply.bytes_up, reply.attempts) for reply in replies] == [(0, 0)] * 2
    assert all(reply.sent is not None for reply in replies)


@pytest.fixture
def full_queue() -> Iterator[Any]:
    """A listener that accepts nothing, with its queue full, so that a connect hangs."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield type("Address", (), {"host": LOOPBACK, "port": listener.getsockname()[1]})


def test_a_connect_that_hangs_times_out_definitely(full_queue: Any) -> None:
    """Where no connection came about within the time-out, the class says so and a POST is not in doubt."""
    replies = send(full_queue, get("/", timeout=0.4), post("/", timeout=0.4))
    assert [verdict(reply) for reply in replies] == [("failed", "connect timeout")] * 2
    assert all(reply.latency >= 0.4 for reply in replies)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_stale_connection_costs_a_read_a_second_attempt_and_a_write_its_certainty(
    rude: Any, answer: Answer, end: str
) -> None:
    """On a kept-alive connection that the server closes instead of answering, GET is sent again, POST never."""

    def once(client: socket.socket, nth: int) -> bool:
        if nth == 1:
            rude.send(client, answer(b"[]"))
            return True
        return rude.reset(client) if end == "reset" else False

    rude.on("/once", once)
    replies = in_turn(rude, get("/once"), get("/once"), post("/once"))
    error = "reset" if end == "reset" else "closed early"
    assert [verdict(reply) for reply in replies] == [("ok", None), ("ok", None), ("indeterminate", error)]
    assert [reply.attempts for reply in replies] == [1, 2, 1]
    assert [head.split()[0] for head in rude.heads] == ["GET", "GET", "GET", "POST"]
    assert replies[1].bytes_up == 2 * replies[0].bytes_up


def test_a_stale_answer_that_has_begun_is_not_asked_for_again(rude: Any, answer: Answer) -> None:
    """Once a byte of the answer is here, even a GET on a kept-alive connection is not sent again."""

    def begin(client: socket.socket, nth: int) -> bool:
        rude.send(client, answer(b"[]") if nth == 1 else b"H")
        return nth == 1

    rude.on("/begin", begin)
    replies = in_turn(rude, get("/begin"), get("/begin"))
    assert [(verdict(reply), reply.attempts) for reply in replies] == [
        (("ok", None), 1),
        (("failed", "closed early"), 1),
    ]


def test_a_connection_closed_while_idle_is_not_used(rude: Any, answer: Answer) -> None:
    """A connection whose end was seen while it was idle is left, and a POST then takes a fresh one."""

    def close_after(client: socket.socket, _: int) -> bool:
        rude.send(client, answer(b"[]"))
        return False

    rude.on("/", close_after)
    replies = in_turn(rude, get("/"), post("/"), between=lambda pool: len(pool) == 0)
    assert [(verdict(reply), reply.attempts) for reply in replies] == [(("ok", None), 1)] * 2
    assert rude.connections == 2


def test_a_connection_idle_for_too_long_is_not_used(rude: Any, answer: Answer) -> None:
    """Beyond the idle limit a request takes a fresh connection, before the server would close the old one under it."""
    rude.on("/", answer(b"[]"))
    in_turn(rude, get("/"), post("/"), idle_limit=0.0)
    assert rude.connections == 2


def test_bytes_after_an_answer_never_pass_for_the_next_one(rude: Any, answer: Answer) -> None:
    """A server that sends two answers to one request loses its connection instead of answering the next request."""
    rude.on("/twice", answer(b"[]") + answer(b'"stray"', status="500 Wrong"))
    replies = in_turn(rude, get("/twice"), get("/twice"))
    assert [verdict(reply) for reply in replies] == [("ok", None)] * 2
    assert rude.connections == 2


def test_a_late_answer_never_reaches_the_next_request(rude: Any, answer: Answer) -> None:
    """After a time-out the connection is closed, so the answer that comes later belongs to nobody."""

    def late(client: socket.socket, _: int) -> bool:
        rude.release.wait(20)
        rude.send(client, answer(b"[]", status="500 Late"))
        return True

    rude.on("/late", late)
    rude.on("/next", answer(b"[]"))
    replies = in_turn(rude, get("/late", timeout=0.2), get("/next"), seen=lambda _: rude.release.set())
    assert [verdict(reply) for reply in replies] == [("failed", "timeout"), ("ok", None)]


def test_a_503_may_say_that_the_outcome_is_unknown(rude: Any, answer: Answer) -> None:
    """`{"outcome": "unknown"}` makes a POST indeterminate; any other 503 is a definite failure."""
    rude.on("/unknown", answer(b'{"outcome": "unknown"}', status="503 Service Unavailable"))
    rude.on("/busy", answer(b'{"error": "busy"}', status="503 Service Unavailable"))
    replies = send(rude, post("/unknown"), post("/busy"))
    assert [(reply.outcome, reply.status) for reply in replies] == [("indeterminate", 503), ("failed", 503)]


def test_interim_answers_are_passed_over(rude: Any, answer: Answer) -> None:
    """A 103 before the answer is not the answer."""
    rude.on("/hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"[]"))
    (reply,) = send(rude, get("/hints"))
    assert (reply.outcome, reply.status) == ("ok", 200)
