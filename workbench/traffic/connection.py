"""One HTTP/1.1 connection to the server under test: bytes counted and times taken at the socket itself.

The parsing is h11's; an HTTP client library would decompress bodies, hide wire bytes and time its own queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import h11

from workbench.traffic.records import Request

#: Bytes of an answer's head that are read before it is called malformed.
HEAD_LIMIT = 65536


class Lost(Exception):
    """The transport gave no complete answer.

    Args:
        error: the short class that the reply carries.
    """

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass
class Trace:
    """What one request has seen of the network so far; it survives the request's cancellation by its time-out."""

    attempts: int = 0
    first_byte: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    status: int | None = None


@dataclass
class Answer:
    """An answer: its head, its body as it came over the wire, and when its last byte was read."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    done: float = 0.0


def encode(http: h11.Connection, request: Request, host: str, *, keep: bool) -> bytes:
    """The request's bytes on the wire.

    Args:
        http: the state of the connection that will carry them; it is moved on.
        request: what to send.
        host: the Host header, unless the request brings its own.
        keep: False asks the server to close the connection afterwards.

    Raises:
        h11.LocalProtocolError: the method, path or a header is not what HTTP allows.
    """
    body = b"" if request.body is None else request.body.encode()
    headers = list(request.headers.items())
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ("Host", host))
    if request.body is not None and "content-length" not in names:
        headers.append(("Content-Length", str(len(body))))
    if not keep and "connection" not in names:
        headers.append(("Connection", "close"))
    parts = [
        http.send(h11.Request(method=request.method, target=request.path, headers=headers)),
        http.send(h11.Data(data=body)) if body else b"",
        http.send(h11.EndOfMessage()),
    ]
    return b"".join(part for part in parts if part)


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time.

    Args:
        on_loss: called when the connection ends, so that a pool can forget it.
    """

    def __init__(self, on_loss: Callable[[Connection], None]) -> None:
        self._on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._trace = Trace()
        self._answer = Answer()
        self._answered = False
        self._ended = "closed early"
        self.usable = False

    @property
    def silent(self) -> bool:
        """Whether not one byte of an answer came to the request written last."""
        return not self._answered

    async def exchange(self, request: Request, host: str, *, keep: bool, trace: Trace) -> Answer:
        """Send the request and wait for the whole answer.

        Args:
            request: what to send.
            host: as for `encode`, and so is `keep`.
            keep: whether the connection is wanted again.
            trace: counts and times are written into it as they happen.

        Raises:
            Lost: the answer did not come whole; the connection is of no more use.
        """
        assert self._transport is not None
        assert self._waiter is None
        if not self.usable:  # it ended between the connect and now; written to, it would never answer
            raise Lost(self._ended)
        self._trace, self._answer, self._answered = trace, Answer(), False
        self._waiter = self._loop.create_future()
        data = encode(self._http, request, host, keep=keep)
        trace.attempts += 1
        trace.bytes_up += len(data)
        self._transport.write(data)
        try:
            return await self._waiter
        except (
            BaseException
        ):  # the time-out's cancellation too: a late answer must not reach the next request
            self.abort()
            raise
        finally:
            self._waiter = None

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.usable = True

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.abort()  # nobody asked: what follows could be taken for the answer to the next request
            return
        now = self._loop.time()
        self._answered = True
        self._trace.bytes_down += len(data)
        if self._trace.first_byte is None:
            self._trace.first_byte = now
        self._http.receive_data(data)
        self._read(now, "malformed answer")

    def eof_received(self) -> None:
        self.usable = False
        if self._waiter is not None and not self._waiter.done():
            self._http.receive_data(b"")  # may be what completes an answer without a length
            self._read(self._loop.time(), "closed early")

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if error is not None:
            self._ended = "reset"
        self._fail(self._ended)
        self._on_loss(self)

    def _fail(self, error: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Lost(error))

    def _read(self, now: float, when_broken: str) -> None:
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    self._answer.status = self._trace.status = event.status_code
                    self._answer.headers = {
                        name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers
                    }
                elif isinstance(event, h11.Data):
                    self._answer.body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._finish(now)
                    return
                elif isinstance(event, h11.ConnectionClosed):
                    self._fail("closed early")
                    return
                elif event is h11.NEED_DATA or event is h11.PAUSED:
                    return
        except h11.RemoteProtocolError:
            self._fail(when_broken)

    def _finish(self, now: float) -> None:
        self._answer.done = now
        both_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        surplus, _ = self._http.trailing_data  # bytes beyond the answer would be read as the next one
        if both_done and not surplus:
            self._http.start_next_cycle()
        else:
            self.usable = False
        assert self._waiter is not None
        self._waiter.set_result(self._answer)
