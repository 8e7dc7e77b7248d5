"""One direction of a relayed connection: from one socket to the other, through whatever toxics are switched on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.servers import pgwire
from workbench.servers.cutter import Cutter, Gate
from workbench.servers.stages import Discard, Ending, Item, Outlet, Stage, make_stage
from workbench.servers.toxics import Toxic

if TYPE_CHECKING:
    from workbench.servers.relay import Connection, Side

#: How long a cut waits for the bytes before it to leave, so that a cut after n bytes delivers n bytes.
FLUSH_WITHIN = 1.0


class Link:
    """One direction of a connection.

    Attributes:
        stream: "upstream" or "downstream".
        received: bytes read from the source.
        forwarded: bytes handed to the destination's socket.
        plain: no toxic and no ending stands between the two: bytes are written as they come.
    """

    __slots__ = (
        "_gate",
        "_holds",
        "_shut",
        "_written_over",
        "connection",
        "destination",
        "forwarded",
        "framer",
        "plain",
        "received",
        "source",
        "stages",
        "stream",
        "write",
    )

    write: Callable[[bytes], None]

    def __init__(
        self, connection: Connection, stream: str, source: Side, destination: Side, framer: pgwire.Framer
    ) -> None:
        self.connection = connection
        self.stream = stream
        self.source = source
        self.destination = destination
        self.framer: pgwire.Framer | None = framer
        self.received = 0
        self.forwarded = 0
        self.plain = False
        self.stages: list[Stage] = []
        self._gate: Gate | None = None
        self._holds: set[object] = set()
        self._shut = False  # a cut is on its way through the stages: nothing may follow it
        self._written_over = False  # the destination was told that this stream has ended, or is gone

    @property
    def sent(self) -> int:
        """Bytes that left towards the destination: forwarded ones less those that wait for a slow reader."""
        destination = self.destination
        return self.forwarded - (0 if destination.lost else destination.buffered())

    # -- the way of the bytes ------------------------------------------------------------------------------------

    def push(self, item: Item) -> None:
        """What came from the source enters here when the link is not plain."""
        if self.connection.over or self._shut:
            return
        if self.connection.silent:
            self.connection.discarded += 0 if isinstance(item, Ending) else len(item)
            return
        if isinstance(item, Ending):
            held = self._gate.release() if self._gate is not None else b""
            if held:
                self._enter(held)
            self._enter(item)
            return
        messages: list[pgwire.Message] = []
        if self.framer is not None:
            messages = self.framer.feed(item)
            if self.framer.opaque:
                self.connection.stop_reading_messages()
        if self._gate is not None:
            item, ending = self._gate.take(item, messages)
            if item:
                self._enter(item)
            if ending is not None and ending.toxic is not None:
                self.connection.log_hit(ending.toxic, self.stream)
                self._shut = True
                self._enter(ending)
        else:
            self._enter(item)

    def _enter(self, item: Item) -> None:
        entrance: Outlet = self.stages[0] if self.stages else self
        entrance.put(item)

    def put(self, item: Item) -> None:
        """The end of the link: write to the destination's socket."""
        if self._written_over or self.connection.over or self.connection.silent:
            return
        if self.destination.lost:
            if isinstance(item, Ending):
                self.source.close()
        elif isinstance(item, bytes):
            self.forwarded += len(item)
            self.destination.transport.write(item)
        elif item.toxic is not None:
            self._written_over = True
            self._cut_when_flushed(item, time.monotonic() + FLUSH_WITHIN)
        elif item.how == "rst":
            self.connection.reset(item.cause)
        else:
            self._written_over = True
            self.plain = False
            self.destination.transport.write_eof()
            self.connection.check_done(item.cause)

    def _cut_when_flushed(self, ending: Ending, deadline: float) -> None:
        if self.connection.over:
            return
        if self.destination.buffered() and time.monotonic() < deadline:
            loop = asyncio.get_running_loop()
            loop.call_later(0.002, self._cut_when_flushed, ending, deadline)
        else:
            self.connection.cut(ending)

    @property
    def finished(self) -> bool:
        """Whether the destination has been told that this stream is over."""
        return self._written_over

    # -- flow control --------------------------------------------------------------------------------------------

    def hold(self, reason: object) -> None:
        """Do not read the source until `unhold` was called with the same reason."""
        if not self._holds and not self.source.peer_ended and not self.source.lost:
            self.source.transport.pause_reading()
        self._holds.add(reason)

    def unhold(self, reason: object) -> None:
        """Withdraw a reason; with the last one the source is read again."""
        if reason in self._holds:
            self._holds.discard(reason)
            # A socket whose end was read must not be watched again: it would report its end again and again.
            if not self._holds and not self.source.peer_ended and not self.source.lost:
                self.source.transport.resume_reading()

    # -- toxics --------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Find out anew whether bytes may be written as they come."""
        free = not self.stages and self._gate is None and not self._written_over
        connection = self.connection
        self.plain = free and connection.established and not connection.over and not connection.silent
        if self.plain:
            self.write = self.destination.transport.write

    def install(self, toxic: Toxic, take: Callable[[Toxic], bool]) -> Stage | None:
        """Add a toxic behind those that are there; returns the stage to be started, if it has one."""
        if toxic.kind == "cut_after_message":
            if self.framer is None:
                self.connection.log_blind(toxic)
                return None
            if self._gate is None:
                self._gate = Gate(self.framer)
            self._gate.add(Cutter(toxic, take))
            self.settle()
            return None
        stage = make_stage(self, toxic)
        if self.stages:
            self.stages[-1].next = stage
        self.stages.append(stage)
        self.settle()
        return stage

    def lost_to(self, toxic: Toxic) -> bool:
        """Whether the toxic has thrown away bytes of this direction."""
        return any(isinstance(stage, Discard) and stage.lost for stage in self.stages if stage.toxic == toxic)

    def uninstall(self, toxic: Toxic) -> None:
        """Take a toxic out; bytes that it kept go on first."""
        if self._gate is not None and toxic.kind == "cut_after_message":
            self._gate.remove(toxic)
            if not self._gate.cutters:
                self.open_gate()
        for stage in [stage for stage in self.stages if stage.toxic == toxic]:
            stage.leave()
            at = self.stages.index(stage)
            if at:
                self.stages[at - 1].next = stage.next
            del self.stages[at]
        self.settle()

    def open_gate(self) -> list[Toxic]:
        """Let go what the gate holds, and the gate; returns the toxics that can no longer see anything."""
        if self._gate is None:
            return []
        gate, self._gate = self._gate, None
        held = gate.release()
        if held and not self.connection.over:
            self._enter(held)
        self.settle()
        return [cutter.toxic for cutter in gate.cutters]

    def stop(self) -> None:
        """The connection is over: keep nothing, and read on only to notice the end."""
        self.plain = False
        for stage in self.stages:
            stage.stop()
        for reason in list(self._holds):
            self.unhold(reason)
