"""What a toxic does to one direction of one connection: the stages that bytes pass between the two sockets."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workbench.servers.toxics import Toxic

if TYPE_CHECKING:
    from workbench.servers.link import Link

#: Bytes that one latency stage may keep under way: 100 MB/s for 300 ms. The source is not read beyond that.
LATENCY_WINDOW = 32 * 1024 * 1024
#: Bytes queued before a slow link; small, so that the sender feels the slowness as back-pressure soon.
BANDWIDTH_WINDOW = 256 * 1024
#: Bandwidth is handed out in slices of so many seconds.
SLICE = 0.02


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a stream, travelling in order behind its last byte.

    Attributes:
        how: "fin", "rst" or "close".
        cause: for the event log.
        toxic: the toxic that cuts the connection here; None when the source itself ended.
    """

    how: str
    cause: str
    toxic: Toxic | None = None


Item = bytes | Ending


class Outlet(Protocol):
    """Where a stage hands its items on: the next stage, or the link's writer."""

    def put(self, item: Item) -> None:
        """Take the next item of the stream."""


class Stage:
    """A toxic on one direction of one connection; this base passes everything on."""

    def __init__(self, link: Link, toxic: Toxic) -> None:
        self.link = link
        self.toxic = toxic
        self.next: Outlet = link
        self._hit = False

    def start(self) -> None:
        """Called when the connection is established, or at once when it already is."""

    def put(self, item: Item) -> None:
        """Take the next item of the stream."""
        self.next.put(item)

    def leave(self) -> None:
        """The toxic is switched off: hand on what is kept, in order, and let the stream go on."""

    def stop(self) -> None:
        """The connection is over: forget what is kept."""

    def hit(self) -> None:
        """Log, once, that the toxic really acted on this connection."""
        if not self._hit:
            self._hit = True
            self.link.connection.log_hit(self.toxic, self.link.stream)


class Delaying(Stage):
    """Keeps items until they are due, in order."""

    window = LATENCY_WINDOW

    def __init__(self, link: Link, toxic: Toxic) -> None:
        super().__init__(link, toxic)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, Item]] = deque()
        self._queued = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, item: Item, due: float) -> None:
        """Queue an item; never before the items that are already queued."""
        self._last_due = due = max(due, self._last_due)
        self._queue.append((due, item))
        if isinstance(item, bytes):
            self._queued += len(item)
            if self._queued > self.window:
                self.link.hold(self)
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._release)

    def _release(self) -> None:
        self._timer = None
        now = (
            self._loop.time() + 0.0005
        )  # the selector's own grain is 1 ms: do not wake twice for one millisecond
        while self._queue and self._queue[0][0] <= now:
            self._hand_on()
        if self._queue:
            self._timer = self._loop.call_at(self._queue[0][0], self._release)
        if self._queued <= self.window // 2:
            self.link.unhold(self)

    def _hand_on(self) -> None:
        item = self._queue.popleft()[1]
        if isinstance(item, bytes):
            self._queued -= len(item)
        self.next.put(item)

    def leave(self) -> None:
        while self._queue:
            self._hand_on()
        self.stop()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()
        self._queued = 0
        self.link.unhold(self)


class Latency(Delaying):
    """Each piece leaves `latency` ± `jitter` ms after it came, so that the delay costs no throughput."""

    def __init__(self, link: Link, toxic: Toxic) -> None:
        super().__init__(link, toxic)
        self._delay = toxic.attributes["latency"] / 1000
        self._jitter = toxic.attributes["jitter"] / 1000
        connection = link.connection
        self._random = random.Random(f"{connection.seed}/{toxic.name}/{connection.number}/{link.stream}")

    def put(self, item: Item) -> None:
        delay = self._delay + self._random.uniform(-self._jitter, self._jitter)
        self.hit()
        self.keep(item, self._loop.time() + max(delay, 0.0))


class Bandwidth(Delaying):
    """A token bucket of one slice: the link is busy with one slice after the other."""

    window = BANDWIDTH_WINDOW

    def __init__(self, link: Link, toxic: Toxic) -> None:
        super().__init__(link, toxic)
        self._rate = toxic.attributes["rate"] * 1000
        self._slice = max(64, int(self._rate * SLICE))
        self._busy_until = 0.0

    def put(self, item: Item) -> None:
        if isinstance(item, Ending):
            self.keep(item, self._busy_until)
            return
        self.hit()
        self._busy_until = max(self._busy_until, self._loop.time())
        for at in range(0, len(item), self._slice):
            piece = item[at : at + self._slice]
            self._busy_until += len(piece) / self._rate
            self.keep(piece, self._busy_until)


class SlowClose(Delaying):
    """Passes the bytes on and keeps the end of the stream back for a while."""

    def put(self, item: Item) -> None:
        if isinstance(item, Ending):
            self.hit()
            self.keep(item, self._loop.time() + self.toxic.attributes["delay"] / 1000)
        else:
            self.next.put(item)


class Discard(Stage):
    """Reads and throws away, and keeps silent about the end of the stream: `timeout`, and `blackhole` by default.

    A stream that lost bytes cannot go on: when the toxic is switched off its connection is reset, unless the connection
    has fallen silent for good. One that lost nothing goes on as if nothing had been.

    Attributes:
        lost: bytes were thrown away.
    """

    def __init__(self, link: Link, toxic: Toxic) -> None:
        super().__init__(link, toxic)
        self.lost = False
        self._ending: Ending | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        after = self.toxic.attributes.get("timeout", 0)
        if after and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(after / 1000, self._close)

    def _close(self) -> None:
        self.hit()
        self.link.connection.cut(Ending("close", self.toxic.name, self.toxic))

    def put(self, item: Item) -> None:
        self.hit()
        if isinstance(item, Ending):
            self._ending = item
        else:
            self.lost = True
            self.link.connection.discarded += len(item)

    def leave(self) -> None:
        self.stop()
        if self.link.connection.silent:
            return
        if self.lost:
            self.link.connection.reset(f"{self.toxic.name} was removed after it had thrown bytes away")
        elif self._ending is not None:
            self.next.put(self._ending)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class StopReading(Stage):
    """`blackhole` in mode stop: the bytes wait in the kernel's buffers, and flow when the toxic is switched off."""

    def start(self) -> None:
        self.hit()
        self.link.hold(self)

    def leave(self) -> None:
        self.link.unhold(self)


class ResetPeer(Stage):
    """A real RST, at once or after a time, whether or not anything is sent."""

    def __init__(self, link: Link, toxic: Toxic) -> None:
        super().__init__(link, toxic)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        after = self.toxic.attributes["timeout"]
        if after:
            self._timer = asyncio.get_running_loop().call_later(after / 1000, self._reset)
        else:
            self._reset()

    def _reset(self) -> None:
        self.hit()
        self.link.connection.reset(self.toxic.name)

    def leave(self) -> None:
        self.stop()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class LimitData(Stage):
    """Lets so many bytes pass, then cuts the connection."""

    def __init__(self, link: Link, toxic: Toxic) -> None:
        super().__init__(link, toxic)
        self._left: int = toxic.attributes["bytes"]
        self._cut = False

    def put(self, item: Item) -> None:
        if self._cut:
            return
        if isinstance(item, Ending) or len(item) < self._left:
            self._left -= len(item) if isinstance(item, bytes) else 0
            self.next.put(item)
            return
        if self._left:
            self.next.put(item[: self._left])
            self._left = 0
        self._cut = True
        self.hit()
        self.next.put(Ending(self.toxic.attributes["how"], self.toxic.name, self.toxic))


class HalfClose(Stage):
    """Ends one direction; what still comes on it is thrown away. It stays ended when the toxic is switched off."""

    def start(self) -> None:
        self.hit()
        self.next.put(Ending("fin", self.toxic.name))


_KINDS: dict[str, type[Stage]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Discard,
    "reset_peer": ResetPeer,
    "limit_data": LimitData,
    "half_close": HalfClose,
}


def make_stage(link: Link, toxic: Toxic) -> Stage:
    """The stage of a toxic that acts on bytes."""
    if toxic.kind == "blackhole":
        return (StopReading if toxic.attributes["mode"] == "stop" else Discard)(link, toxic)
    return _KINDS[toxic.kind](link, toxic)
