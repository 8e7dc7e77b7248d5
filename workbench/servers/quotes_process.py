"""The external quote service, as a process of its own: answers ``GET /quotes/<symbol>``, and misbehaves on command.

Commands come in on paths that start with ``/-/`` and are never misbehaved on. Started by `workbench.servers.quotes`;
by hand: ``python -m workbench.servers.quotes_process PORT``.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

Mode = Literal["ok", "status", "hang", "reset", "slow", "garbage", "limited"]
Garbage = Literal["invalid", "half", "short"]
LONGEST_HEAD = 16_384
HOST = "127.0.0.1"
LINGER = "hh" if sys.platform == "win32" else "ii"  #: the layout of C's struct linger


@dataclass(frozen=True)
class Behaviour:
    """How quotes are answered from now on.

    Args:
        mode: ``ok``; ``status`` (an error status); ``hang`` (read, never answer); ``reset`` (a TCP reset instead of an
            answer); ``slow`` (a right answer, late); ``garbage`` (200 with a broken body); ``limited`` (429, Retry-After).
        code: the status of ``status``.
        delay: seconds before the answer of ``slow``.
        retry_after: whole seconds in the Retry-After header of ``limited``.
        garbage: ``invalid`` is no JSON; ``half`` is JSON cut in the middle, its length told rightly; ``short`` ends the
            connection before the promised length.
        times: so many requests, then ``ok`` again; None for all.
    """

    mode: Mode = "ok"
    code: int = 503
    delay: float = 1.0
    retry_after: int = 1
    garbage: Garbage = "invalid"
    times: int | None = None

    def __post_init__(self) -> None:
        for value, kind in ((self.mode, Mode), (self.garbage, Garbage)):
            if value not in get_args(kind):
                raise ValueError(f"{value!r} is none of {', '.join(get_args(kind))}")
        if not 500 <= self.code <= 599:
            raise ValueError(f"code is {self.code}; a failing service answers 500 to 599")
        if self.delay < 0 or self.retry_after < 0 or (self.times is not None and self.times < 1):
            raise ValueError(f"{self}: delay and retry_after must not be negative, times at least 1")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what the handle sends.

        Raises:
            ValueError: unknown name or impossible value.
        """
        unknown = set(data) - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(f"a behaviour has no {', '.join(sorted(unknown))}")
        return cls(**data)


def quote(symbol: str) -> dict[str, Any]:
    """The quote of a symbol: always the same one, so that whoever compares responses is not misled by the market."""
    last = 5 + zlib.crc32(symbol.encode()) % 50_000 / 100
    return {"symbol": symbol, "bid": last * 0.999, "ask": last * 1.001, "last": last, "delayed": None}


def response(status: int, body: bytes, extra: Mapping[str, str] = {}, *, length: int | None = None) -> bytes:
    """One whole HTTP response, after which the connection is closed."""
    lines = [
        f"HTTP/1.1 {status} {http.client.responses.get(status, 'Error')}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in extra.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Service:
    """The server's state: the behaviour, and how many quote requests it met in each mode."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    served: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def behave(self, behaviour: Behaviour) -> None:
        """Change the behaviour and let go of the requests that hang or wait."""
        self.behaviour = behaviour
        self.changed.set()
        self.changed = asyncio.Event()

    def next_behaviour(self) -> Behaviour:
        """The behaviour for one request, counted."""
        now = self.behaviour
        self.served[now.mode] += 1
        if now.times is not None:
            left = now.times - 1
            # Not through behave(): the last of so many hanging requests must go on hanging.
            self.behaviour = Behaviour(**{**now.__dict__, "times": left}) if left else Behaviour()
        return now

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one answer or what stands for it."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            length = 0
            for line in head.decode("latin-1").split("\r\n")[1:]:
                name, _, value = line.partition(":")
                if name.strip().lower() == "content-length":
                    length = int(value)
            body = await reader.readexactly(min(length, LONGEST_HEAD))
            if target.startswith("/-/"):
                writer.write(self.command(method, target, body))
            elif method == "GET" and target.startswith("/quotes/"):
                await self.answer(target.removeprefix("/quotes/").partition("?")[0], reader, writer)
            else:
                writer.write(response(404, b'{"error": "GET /quotes/<symbol>"}'))
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            pass  # the client went away or spoke no HTTP: nothing to answer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def command(self, method: str, target: str, body: bytes) -> bytes:
        """``POST /-/behaviour`` and ``GET /-/counts``."""
        if (method, target) == ("GET", "/-/counts"):
            # The pid tells our process from another one that has the port.
            return response(200, json.dumps({"pid": os.getpid(), "served": self.served}).encode())
        if (method, target) == ("POST", "/-/behaviour"):
            try:
                self.behave(Behaviour.from_json(json.loads(body)))
            except (TypeError, ValueError) as error:
                return response(400, json.dumps({"error": str(error)}).encode())
            return response(200, b"{}")
        return response(404, b'{"error": "no such command"}')

    async def answer(self, symbol: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the present behaviour makes of a request for a quote."""
        behaviour = self.next_behaviour()
        body = json.dumps(quote(symbol)).encode()
        match behaviour.mode:
            case "ok":
                writer.write(response(200, body))
            case "status":
                writer.write(response(behaviour.code, b'{"error": "the exchange is closed to us"}'))
            case "limited":
                headers = {"Retry-After": str(behaviour.retry_after)}
                writer.write(response(429, b'{"error": "too many requests"}', headers))
            case "slow":
                await self.wait(reader, behaviour.delay)
                writer.write(response(200, body))
            case "hang":
                await self.wait(reader, None)
            case "reset":
                # Lingering zero seconds makes the kernel send RST, not FIN, when the socket closes.
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER, 1, 0))
                writer.transport.abort()
            case "garbage" if behaviour.garbage == "invalid":
                writer.write(response(200, b"<html>502 from somewhere in between</html>"))
            case "garbage" if behaviour.garbage == "half":
                writer.write(response(200, body[: len(body) // 2]))
            case _:
                writer.write(response(200, body[: len(body) // 2], length=len(body)))

    async def wait(self, reader: asyncio.StreamReader, seconds: float | None) -> None:
        """Until the time is up, the client is gone, or the behaviour changes."""
        waiting = {asyncio.ensure_future(self.changed.wait()), asyncio.ensure_future(reader.read())}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


async def serve(port: int) -> None:
    """Answer until SIGTERM or SIGINT."""
    done = asyncio.Event()
    service = Service()
    server = await asyncio.start_server(service.handle, HOST, port, limit=LONGEST_HEAD)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: the process is simply ended
            loop.add_signal_handler(number, done.set)
    async with server:
        await done.wait()
        service.behave(Behaviour())


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
