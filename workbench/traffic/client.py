"""The open loop: every request leaves at its scheduled time, whatever became of the earlier ones.

A closed loop (send, wait, send the next) stops asking while the server stalls, and so reports a short outage as one slow
request. Here latency counts from the intended time, and what could not be sent is a `dropped` reply, never a gap.

Connections are kept alive and used again, newest first. A server may close an idle connection at the very moment in which a
request is written to it. A safe request (GET) that meets this, with not one byte of an answer read, is sent once more
on a fresh connection within the same time-out, as browsers and Go's net/http do and RFC 9110 (9.2.2) allows; `attempts` in
its reply says so. An unsafe request (POST) is never sent twice.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence

from workbench.traffic import outcome
from workbench.traffic.connection import Answer, Connection, Lost, Trace
from workbench.traffic.records import Reply, Request

#: Seconds after which an idle connection is not used again. Below the keep-alive of the servers we start (gunicorn: 2 s):
#: a server that closes just when a POST is written would leave it in doubt without any fault.
IDLE_LIMIT = 1.0


class Pool:
    """Idle kept-alive connections.

    Args:
        host: address of the server.
        port: its TCP port.
        size: how many idle connections are kept; 0 means a new one for each request.
        idle_limit: seconds after which an idle connection is closed rather than used.
    """

    def __init__(self, host: str, port: int, size: int, *, idle_limit: float = IDLE_LIMIT) -> None:
        self.host, self.port, self.size = host, port, size
        self._idle_limit = idle_limit
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Connection, float] = {}  # since when, the longest idle first

    def __len__(self) -> int:
        """How many connections are idle now."""
        return len(self._idle)

    def take(self) -> Connection | None:
        """The connection used last, so that surplus ones grow old and the server closes them."""
        while self._idle:
            connection, since = self._idle.popitem()
            if connection.usable and self._loop.time() - since <= self._idle_limit:
                return connection
            connection.abort()  # too old, or it has just seen its end and is not yet forgotten
        return None

    async def open(self) -> Connection:
        """Connect.

        Raises:
            Lost: refused, timed out in the system, or failed otherwise.
        """
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._forget), self.host, self.port
            )
        except ConnectionRefusedError:
            raise Lost("connect refused") from None
        except ConnectionResetError:
            raise Lost("reset") from None
        except OSError as error:
            if error.errno == errno.ETIMEDOUT:
                raise Lost("connect timeout") from None
            raise Lost(
                f"connect failed: {errno.errorcode.get(error.errno or 0, type(error).__name__)}"
            ) from error
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep the connection for the next request, or close it."""
        if connection.usable and len(self._idle) < self.size:
            self._idle[connection] = self._loop.time()
        else:
            connection.abort()

    def close(self) -> None:
        """Close all idle connections; whoever made the pool does it."""
        while self._idle:
            self._idle.popitem()[0].abort()

    def _forget(self, connection: Connection) -> None:
        self._idle.pop(connection, None)


class OpenLoop:
    """Sends a schedule and reports each outcome once it is known.

    Args:
        pool: where connections come from.
        report: called with each reply, in the order in which outcomes are known.
        max_in_flight: requests that may be without an outcome at the same time; those above are dropped.
        zero: the event loop's time at which the schedule starts.
    """

    def __init__(
        self, pool: Pool, report: Callable[[Reply], object], *, max_in_flight: int, zero: float
    ) -> None:
        self._pool = pool
        self._report = report
        self._max_in_flight = max_in_flight
        self._zero = zero
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        host = f"[{pool.host}]" if ":" in pool.host else pool.host
        self._host = f"{host}:{pool.port}"

    async def run(self, requests: Sequence[Request]) -> None:
        """Send all requests, given in the order of their times, and wait for their outcomes.

        Raises:
            Exception: a fault of the generator itself; it ends the run, since the measurement is spoilt.
        """
        async with asyncio.TaskGroup() as group:
            for request in requests:
                wait = self._zero + request.at - self._loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                if len(self._tasks) >= self._max_in_flight:
                    self._drop(request)
                    continue
                task = group.create_task(self._carry(request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _drop(self, request: Request) -> None:
        error = f"dropped: {self._max_in_flight} in flight"
        self._tell(request, Trace(), None, None, ("dropped", error))

    async def _carry(self, request: Request) -> None:
        trace = Trace()
        deadline = self._zero + request.at + request.timeout
        sent = self._loop.time()
        done: float | None = None
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._ask(request, trace)
        except TimeoutError:
            verdict = outcome.of_loss(
                request, "timeout" if trace.attempts else "connect timeout", bytes_up=trace.bytes_up
            )
        except Lost as lost:
            verdict = outcome.of_loss(request, lost.error, bytes_up=trace.bytes_up)
        else:
            done = answer.done
            body = bytes(answer.body)
            verdict = outcome.of_answer(request, answer.status, answer.headers, body, late=done > deadline)
        self._tell(request, trace, sent, self._loop.time() if done is None else done, verdict)

    async def _ask(self, request: Request, trace: Trace) -> Answer:
        connection = self._pool.take()
        if connection is not None:
            try:
                return await self._exchange(connection, request, trace)
            except Lost as lost:
                stale = connection.silent and lost.error in ("closed early", "reset")
                if not (stale and request.safe):
                    raise
        return await self._exchange(await self._pool.open(), request, trace)

    async def _exchange(self, connection: Connection, request: Request, trace: Trace) -> Answer:
        answer = await connection.exchange(request, self._host, keep=self._pool.size > 0, trace=trace)
        self._pool.give_back(connection)
        return answer

    def _tell(
        self, request: Request, trace: Trace, sent: float | None, done: float | None, verdict: outcome.Verdict
    ) -> None:
        self._report(
            Reply(
                id=request.id,
                kind=request.kind,
                method=request.method,
                path=request.path,
                intended=request.at,
                sent=self._since(sent),
                first_byte=self._since(trace.first_byte),
                done=self._since(done),
                status=trace.status,
                outcome=verdict[0],
                error=verdict[1],
                bytes_up=trace.bytes_up,
                bytes_down=trace.bytes_down,
                attempts=trace.attempts,
            )
        )

    def _since(self, moment: float | None) -> float | None:
        return None if moment is None else round(moment - self._zero, 6)
