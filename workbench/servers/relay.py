"""One relayed TCP connection: two sockets, and a link in each direction that toxics can bend."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from typing import Any, Protocol, cast

from workbench.servers import pgwire
from workbench.servers.link import Link
from workbench.servers.stages import Ending, Stage
from workbench.servers.toxics import Toxic

#: Bytes that may wait in user space for a slow reader before its sender is no longer read.
WRITE_BUFFER = 512 * 1024
#: What every socket is read into, one after the other: the loop hands a buffer out, fills it and has it emptied in one
#: step. Without it asyncio allocates 256 KB for each read, which costs 20 µs where the read itself costs 3.
_RECEIVED = memoryview(bytearray(256 * 1024))
# Windows declares struct linger with two shorts, everybody else with two ints.
_LINGER_RST = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Hub(Protocol):
    """What a connection needs from the proxy it belongs to."""

    seed: int

    def log(self, event: str, **fields: Any) -> None:
        """Write to the event log."""

    def take_cut(self, toxic: Toxic) -> bool:
        """Whether a `cut_after_message` may cut once more; counts it."""

    def forget(self, connection: Connection) -> None:
        """The connection is closed on both sides and its counts are final."""


class Side(asyncio.BufferedProtocol):
    """The proxy's end of one of the two sockets."""

    __slots__ = (
        "_was_reset",
        "connected",
        "connection",
        "inward",
        "lost",
        "name",
        "outward",
        "peer_ended",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.connected = False
        self.lost = False
        self.peer_ended = False
        self._was_reset = False

    def join(self, outward: Link, inward: Link) -> None:
        """Say which link begins and which one ends at this socket."""
        self.outward = outward
        self.inward = inward

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.connected = True
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self.connection.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        data = _RECEIVED[:nbytes].tobytes()
        link = self.outward
        link.received += nbytes
        if link.plain:
            link.forwarded += nbytes
            link.write(data)
            # After the write, so that recognising messages adds nothing to the way of these bytes.
            framer = link.framer
            if framer is not None:
                framer.feed(data)
                if framer.opaque:
                    self.connection.stop_reading_messages()
        else:
            link.push(data)

    def eof_received(self) -> bool:
        self.peer_ended = True
        self.connection.ended(self)
        # Keep the transport: the other direction may go on (half-close). Only after a cut nothing goes on.
        return not self.connection.over

    def pause_writing(self) -> None:
        self.inward.hold(self)

    def resume_writing(self) -> None:
        self.inward.unhold(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.connection.lost(self, exc)

    def reset(self) -> bool:
        """Send a real RST; whether there was a socket to send it on.

        `abort()` alone would send a FIN: the RST comes from closing with a linger time of zero.
        """
        if self.lost or self._was_reset or not self.connected:
            return False
        self._was_reset = True
        self.inward.forwarded -= self.transport.get_write_buffer_size()
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RST)
        self.transport.abort()
        return True

    def close(self) -> None:
        """Close in order: what was written is still sent."""
        if not self.lost and self.connected:
            self.transport.close()

    def buffered(self) -> int:
        """Bytes that wait in user space because the peer reads slowly."""
        return self.transport.get_write_buffer_size() if self.connected else 0


class Connection:
    """A client's connection, the proxy's own one to the upstream server, and the two links between them.

    Attributes:
        number: 1 for the first connection that the proxy accepted, and so on.
        established: both sockets are connected and bytes flow.
        over: the proxy has ended the connection (cut or reset); whatever still arrives is thrown away.
        silent: bytes of it were lost and nothing is passed on any more, not even its end; both sockets stay open.
        discarded: bytes that were thrown away, in both directions.
        was_reset: the proxy sent an RST on it.
    """

    def __init__(self, hub: Hub, number: int, seed: int) -> None:
        self.hub = hub
        self.number = number
        self.seed = seed
        self.established = False
        self.over = False
        self.silent = False
        self.discarded = 0
        self.was_reset = False
        self.conversation = pgwire.Conversation()
        self.client = Side(self, "client")
        self.server = Side(self, "server")
        self.up = Link(self, "upstream", self.client, self.server, self.conversation.upstream)
        self.down = Link(self, "downstream", self.server, self.client, self.conversation.downstream)
        self.client.join(outward=self.up, inward=self.down)
        self.server.join(outward=self.down, inward=self.up)
        self._began = time.monotonic()
        self._cause = ""
        self._waiting: list[Stage] = []  # stages that start when the connection is established
        self._partitions: set[str] = set()  # toxics that keep the server's side open
        self._gone = False

    # -- beginning -----------------------------------------------------------------------------------------------

    async def open(self, client: socket.socket, upstream: tuple[str, int]) -> None:
        """Take an accepted socket and connect it to the upstream server."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self.client, client)
        except OSError:
            client.close()
            self._finish("the client had gone before it was served")
            return
        try:
            await loop.create_connection(lambda: self.server, *upstream)
        except OSError as error:
            self.hub.log("upstream_refused", connection=self.number, error=str(error))
            self.server.lost = True
            self.reset("upstream refused the connection")

    def made(self, side: Side) -> None:
        """A socket is ready."""
        if side is self.client:
            # Nothing is read before there is somewhere to write it to.
            self.up.hold("connecting")
            return
        if self.client.lost or self.over:
            self.over = True
            side.close()
            return
        local = side.transport.get_extra_info("sockname")
        self.hub.log("connect", connection=self.number, port=local[1])
        self.established = True
        self.up.settle()
        self.down.settle()
        self.up.unhold("connecting")
        for stage in self._waiting:
            stage.start()
        self._waiting.clear()

    # -- ending --------------------------------------------------------------------------------------------------

    def ended(self, side: Side) -> None:
        """The peer of a side sent its last byte."""
        side.outward.plain = False
        side.outward.push(Ending("fin", f"the {side.name} closed first"))

    def check_done(self, cause: str) -> None:
        """Close both sockets once each has been told that nothing more comes."""
        self._cause = self._cause or cause
        if self.up.finished and self.down.finished:
            self.client.close()
            self.server.close()

    def lost(self, side: Side, exc: Exception | None) -> None:
        """A socket is closed."""
        side.inward.plain = False
        if exc is not None and not self.over:
            cause = (
                f"the {side.name} reset it"
                if isinstance(exc, ConnectionResetError)
                else f"{side.name}: {exc}"
            )
            self._cause = self._cause or cause
            side.outward.plain = False
            # An RST travels like bytes do: a blackhole swallows it, latency delays it.
            side.outward.push(Ending("rst", cause))
        other = self.server if side is self.client else self.client
        if other.lost or not other.connected:
            self._finish("closed")

    def reset(self, cause: str) -> bool:
        """Send an RST on both sockets at once, whatever is under way; false when neither was open any more."""
        self._end(cause)
        self._partitions.clear()
        sides = [side.name for side in (self.client, self.server) if side.reset()]
        self._note_reset(sides, cause)
        return bool(sides)

    def cut(self, ending: Ending) -> None:
        """End the connection as a toxic demands, as seen by the client; the server's side follows or is kept."""
        if self.over:
            return
        toxic = ending.toxic
        partition = toxic is not None and bool(toxic.attributes.get("partition"))
        self._end(ending.cause)
        self.hub.log(
            "cut",
            connection=self.number,
            toxic=ending.cause,
            how=ending.how,
            server="kept" if partition else "ended",
        )
        if toxic is not None and partition:
            self._partitions.add(toxic.name)
        if ending.how == "rst":
            sides = [
                side for side in ([self.client] if partition else [self.client, self.server]) if side.reset()
            ]
            self._note_reset([side.name for side in sides], ending.cause)
            return
        if ending.how == "fin" and not self.client.peer_ended:
            self.client.transport.write_eof()
        else:
            self.client.close()
        if not partition:
            self.server.close()

    def _end(self, cause: str) -> None:
        self._cause = self._cause or cause
        self.over = True
        self.up.stop()
        self.down.stop()

    def _note_reset(self, sides: list[str], cause: str) -> None:
        if sides:
            self.was_reset = True
            self.hub.log("rst", connection=self.number, sides=sides, cause=cause)

    def _finish(self, cause: str) -> None:
        if self._gone:
            return
        self._gone = True
        self._end(cause)
        self.hub.log(
            "close",
            connection=self.number,
            cause=self._cause,
            seconds=round(time.monotonic() - self._began, 6),
            protocol=self.conversation.protocol,
            up={"received": self.up.received, "sent": self.up.forwarded},
            down={"received": self.down.received, "sent": self.down.forwarded},
        )
        self.hub.forget(self)

    # -- toxics --------------------------------------------------------------------------------------------------

    def install(self, toxic: Toxic) -> None:
        """Switch a toxic on in the directions it is for."""
        if self.over:
            return
        stages = [
            link.install(toxic, self.hub.take_cut)
            for link in (self.up, self.down)
            if toxic.applies_to(link.stream)
        ]
        for stage in stages:
            if stage is not None and self.established:
                stage.start()
            elif stage is not None:
                self._waiting.append(stage)

    def uninstall(self, toxic: Toxic) -> None:
        """Switch a toxic off; a partition that it made is healed."""
        self._waiting = [stage for stage in self._waiting if stage.toxic != toxic]
        if toxic.name in self._partitions:
            self._partitions.clear()
            self.server.close()
        links = (self.up, self.down)
        # Both directions are asked before either lets go: the end that one of them kept must not pass when the other
        # has lost bytes.
        if toxic.attributes.get("then") == "silence" and any(link.lost_to(toxic) for link in links):
            self.silent = True
            self.hub.log("silenced", connection=self.number, toxic=toxic.name, discarded=self.discarded)
        for link in links:
            link.uninstall(toxic)

    def stop_reading_messages(self) -> None:
        """The conversation cannot be understood (any more): relay it without looking, and let go what was held."""
        for link in (self.up, self.down):
            if link.framer is not None:
                for toxic in link.open_gate():
                    self.log_blind(toxic)
                link.framer = None

    def log_hit(self, toxic: Toxic, stream: str) -> None:
        """The toxic acted on this connection for the first time in this direction."""
        self.hub.log("toxic_hit", connection=self.number, toxic=toxic.name, stream=stream)

    def log_blind(self, toxic: Toxic) -> None:
        """The toxic looks for PostgreSQL messages and cannot see any here."""
        self.hub.log(
            "toxic_blind", connection=self.number, toxic=toxic.name, protocol=self.conversation.protocol
        )
