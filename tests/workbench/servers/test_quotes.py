"""The external quote service: what a client sees in each mode, on a real socket."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest

from workbench.errors import WorkbenchError
from workbench.servers.quotes import QuotesServer

Poll = Callable[..., object]


@pytest.fixture(scope="module")
def server() -> Iterator[QuotesServer]:
    """One service for the file."""
    with QuotesServer() as running:
        yield running


@pytest.fixture
def quotes(server: QuotesServer) -> Iterator[QuotesServer]:
    """The service, well again after each test."""
    yield server
    server.behave("ok")


def get(
    quotes: QuotesServer, path: str = "/quotes/ABCD", timeout: float = 10
) -> tuple[int, bytes, dict[str, str]]:
    """One request; status, body, headers."""
    connection = http.client.HTTPConnection(quotes.host, quotes.port, timeout=timeout)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read(), dict(reply.getheaders())
    finally:
        connection.close()


def test_a_quote_is_the_same_each_time_and_another_for_another_symbol(quotes: QuotesServer) -> None:
    """A well service answers 200 with a quote that depends on nothing but the symbol."""
    status, body, _ = get(quotes)
    assert status == 200
    assert body == get(quotes)[1]
    assert json.loads(body)["last"] != json.loads(get(quotes, "/quotes/EFGH")[1])["last"]
    assert json.loads(body)["bid"] < json.loads(body)["last"] < json.loads(body)["ask"]


@pytest.mark.parametrize("code", [500, 502, 503, 599])
def test_status_answers_the_error_status(quotes: QuotesServer, code: int) -> None:
    """Mode status answers with the server error that was asked for."""
    quotes.behave("status", code=code)
    assert get(quotes)[0] == code


def test_limited_answers_429_with_retry_after(quotes: QuotesServer) -> None:
    """Mode limited answers 429 and says when to come back."""
    quotes.behave("limited", retry_after=7)
    status, _, headers = get(quotes)
    assert (status, headers["Retry-After"]) == (429, "7")


def test_reset_is_a_real_tcp_reset(quotes: QuotesServer) -> None:
    """Mode reset reaches the client as ECONNRESET, not as an orderly end."""
    quotes.behave("reset")
    with socket.create_connection((quotes.host, quotes.port), timeout=10) as client:
        client.sendall(b"GET /quotes/ABCD HTTP/1.1\r\nHost: quotes\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_slow_answers_rightly_and_no_sooner_than_the_delay(quotes: QuotesServer) -> None:
    """Mode slow misses a client's shorter time-out, and answers a patient one."""
    right = get(quotes)
    quotes.behave("slow", delay=0.3)
    with pytest.raises(TimeoutError):
        get(quotes, timeout=0.05)
    assert get(quotes) == right


def test_hang_never_answers_and_lets_go_when_healed(quotes: QuotesServer, poll: Poll) -> None:
    """Mode hang keeps a client waiting, and healing ends the wait by closing the connection."""
    quotes.behave("hang")
    with pytest.raises(TimeoutError):
        get(quotes, timeout=0.1)

    seen: list[BaseException] = []

    def wait() -> None:
        try:
            get(quotes, timeout=30)
        except (http.client.HTTPException, OSError) as error:
            seen.append(error)

    before = quotes.counts()["hang"]
    client = threading.Thread(target=wait)
    client.start()
    poll(lambda: quotes.counts()["hang"] > before)
    assert client.is_alive()
    quotes.behave("ok")
    client.join(10)
    assert [type(error) for error in seen] == [http.client.RemoteDisconnected]


def test_garbage_is_three_kinds_of_broken_body(quotes: QuotesServer) -> None:
    """Mode garbage answers 200 with no JSON, with half of it, or with less than it promised."""
    right = get(quotes)[1]
    quotes.behave("garbage", garbage="invalid")
    status, body, _ = get(quotes)
    assert status == 200
    with pytest.raises(ValueError):
        json.loads(body)
    quotes.behave("garbage", garbage="half")
    assert get(quotes)[1] == right[: len(right) // 2]
    quotes.behave("garbage", garbage="short")
    with pytest.raises(http.client.IncompleteRead):
        get(quotes)


def test_times_heals_by_itself(quotes: QuotesServer) -> None:
    """After so many bad answers the service is well again without another command."""
    quotes.behave("status", times=2)
    assert [get(quotes)[0] for _ in range(3)] == [503, 503, 200]


def test_requests_are_counted_by_mode(quotes: QuotesServer) -> None:
    """Each request counts under the mode that it met, and commands do not count."""
    before = quotes.counts()
    get(quotes)
    quotes.behave("limited")
    get(quotes)
    get(quotes)
    after = quotes.counts()
    grown = {mode: after[mode] - before.get(mode, 0) for mode in after if after[mode] != before.get(mode, 0)}
    assert grown == {"ok": 1, "limited": 2}


@pytest.mark.parametrize(
    ("mode", "parameters"),
    [
        ("well", {}),
        ("status", {"code": 200}),
        ("slow", {"delay": -1}),
        ("ok", {"times": 0}),
        ("ok", {"wrong": 1}),
    ],
)
def test_impossible_behaviour_is_refused(quotes: QuotesServer, mode: str, parameters: dict[str, int]) -> None:
    """An unknown mode, parameter or value is an error at the call, and the service goes on as before."""
    with pytest.raises(ValueError):
        quotes.behave(mode, **parameters)  # type: ignore[arg-type]
    assert get(quotes)[0] == 200


def test_other_paths_are_404_and_nonsense_is_survived(quotes: QuotesServer) -> None:
    """A path that is no quote is 404, and bytes that are no HTTP only end their own connection."""
    assert get(quotes, "/other")[0] == 404
    with socket.create_connection((quotes.host, quotes.port), timeout=10) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(100) == b""
    assert get(quotes)[0] == 200


def test_stop_ends_the_process_and_a_second_start_works(poll: Poll) -> None:
    """stop() leaves no process and a free port; start() brings the service back on it."""
    quotes = QuotesServer()
    with quotes:
        first = quotes.pid
        assert get(quotes)[0] == 200
    assert not psutil.pid_exists(first)
    with pytest.raises(OSError):
        get(quotes)
    with quotes:
        assert get(quotes)[0] == 200


def test_a_taken_port_is_a_clear_error(quotes: QuotesServer) -> None:
    """Starting on a port that is taken says so, though somebody answers there."""
    with pytest.raises(WorkbenchError, match=f"port {quotes.port} ended at once"):
        QuotesServer(port=quotes.port).start()
