"""Cutting a connection at a PostgreSQL message: the part of a link that reads ahead of what it forwards."""

from __future__ import annotations

from collections.abc import Callable

from workbench.servers import pgwire
from workbench.servers.stages import Ending
from workbench.servers.toxics import Toxic


class Cutter:
    """One `cut_after_message` toxic on one connection.

    Args:
        toxic: what to look for.
        take: asked at a match; false when the toxic has made its `count` of cuts on other connections already.
    """

    def __init__(self, toxic: Toxic, take: Callable[[Toxic], bool]) -> None:
        self.toxic = toxic
        names = pgwire.FRONTEND if toxic.stream == "upstream" else pgwire.BACKEND
        self.kind = names[toxic.attributes["message"]]
        self._tag: str = toxic.attributes["tag"]
        self._prefix: str = toxic.attributes["sql_prefix"].casefold()
        self._take = take
        self.cut_at: int | None = None

    def look(self, message: pgwire.Message) -> None:
        """Set `cut_at` when this is the message and a cut is left."""
        if self.cut_at is None and self._matches(message) and self._take(self.toxic):
            before = self.toxic.attributes["before_forwarding"]
            self.cut_at = message.start if before else message.end

    def _matches(self, message: pgwire.Message) -> bool:
        if message.kind != self.kind:
            return False
        if self._tag:
            return message.tag == self._tag or message.tag.startswith(self._tag + " ")
        if self._prefix:
            return message.sql.lstrip().casefold().startswith(self._prefix)
        return True


class Gate:
    """All cutters of one link, and the bytes that are held back until it is known whether they may pass."""

    def __init__(self, framer: pgwire.Framer) -> None:
        self.framer = framer
        self.cutters: list[Cutter] = []
        self._held = b""

    def add(self, cutter: Cutter) -> None:
        """Begin to look; a message that is under way is included when its head has not passed yet."""
        self.cutters.append(cutter)
        self._watch()

    def remove(self, toxic: Toxic) -> None:
        """Look no more for this toxic's message."""
        self.cutters = [cutter for cutter in self.cutters if cutter.toxic != toxic]
        self._watch()

    def _watch(self) -> None:
        self.framer.watch = frozenset(cutter.kind for cutter in self.cutters)

    def release(self) -> bytes:
        """Give up what is held back, because nobody looks any more or nothing can be recognised."""
        held, self._held = self._held, b""
        return held

    def take(self, data: bytes, messages: list[pgwire.Message]) -> tuple[bytes, Ending | None]:
        """What of the held and the new bytes may pass now, and the cut that follows it, if any."""
        buffer = self._held + data
        start = self.framer.position - len(buffer)
        first: tuple[int, Cutter] | None = None
        for cutter in self.cutters:
            for message in messages:
                cutter.look(message)
            if cutter.cut_at is not None and (first is None or cutter.cut_at < first[0]):
                first = (cutter.cut_at, cutter)
        if first is not None and first[0] <= self.framer.position:
            toxic = first[1].toxic
            self._held = b""
            # Up to four bytes of the header may have passed before the toxic was switched on: never the whole message.
            return buffer[: max(first[0] - start, 0)], Ending(toxic.attributes["how"], toxic.name, toxic)
        pass_on = max(self.framer.settled - start, 0)
        self._held = buffer[pass_on:]
        return buffer[:pass_on], None
