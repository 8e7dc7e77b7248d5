"""A real server that misbehaves by the path it is asked for."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from workbench.servers.ports import LOOPBACK, free_port


class RudeServer:
    """Reads whole requests, one thread for each connection, and does what the test has said for the path.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.host, self.port = LOOPBACK, port
        self.answers: dict[str, Callable[[socket.socket, int], bool]] = {}
        self.heads: list[str] = []
        self.bytes_in = self.bytes_out = self.connections = 0
        self.release = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((self.host, port))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def on(self, path: str, answer: bytes | Callable[[socket.socket, int], bool]) -> None:
        """Say what happens: bytes to send, keeping the connection, or a function (socket, nth request on it) -> keep."""
        if not isinstance(answer, bytes):
            self.answers[path] = answer
            return

        def send(client: socket.socket, _: int) -> bool:
            self.send(client, answer)
            return True

        self.answers[path] = send

    def send(self, client: socket.socket, data: bytes) -> None:
        self.bytes_out += len(data)
        client.sendall(data)

    @staticmethod
    def reset(client: socket.socket, _: int = 0) -> bool:
        """Close with a RST."""
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def close(self) -> None:
        self.release.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._open:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            nth = 0
            while (head := self._read(client)) is not None:
                nth += 1
                self.heads.append(head)
                if not self.answers[head.split()[1]](client, nth):
                    return

    def _read(self, client: socket.socket) -> str | None:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = client.recv(65536)
            if not chunk:
                return None
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.decode().split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        while len(body) < length:
            body += client.recv(65536)
        self.bytes_in += len(head) + 4 + len(body)
        return head.decode()


def http_answer(
    body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = ""
) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


@pytest.fixture
def rude() -> Iterator[RudeServer]:
    """A misbehaving server; gone with all its threads at the end."""
    server = RudeServer(free_port())
    yield server
    server.close()


@pytest.fixture
def answer() -> Callable[..., bytes]:
    """An answer with a length: answer(body, status=, kind=, extra=)."""
    return http_answer
