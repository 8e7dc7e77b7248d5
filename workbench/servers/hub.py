"""The state of one running proxy: its listener, its open connections, its toxics, its counts, its event log."""

from __future__ import annotations

import asyncio
import socket
import time
from http import HTTPStatus
from typing import Any

from workbench.servers.control import CommandError
from workbench.servers.eventlog import EventLog
from workbench.servers.listener import LOOPBACK, Listener
from workbench.servers.relay import Connection
from workbench.servers.toxics import Toxic


class ProxyHub:
    """Everything here runs in one event loop and no method awaits: a command is one step, seen whole or not at all.

    Args:
        name: the proxy's name in commands and in the log.
        upstream: host and port of the server behind it.
        port: where to listen; 0 lets the system choose.
        seed: of every random choice.
        events: the log; the caller closes it.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self, name: str, upstream: tuple[str, int], *, port: int, seed: int, events: EventLog
    ) -> None:
        self.name = name
        self.seed = seed
        self._upstream = upstream
        self._events = events
        self._toxics: dict[str, Toxic] = {}
        self._cuts: dict[str, int] = {}
        self._open: dict[int, Connection] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._closed = {"bytes_up": 0, "bytes_down": 0, "bytes_discarded": 0, "lossy": 0, "resets": 0}
        self._enabled = True
        self._listener = Listener(port, self._accept)
        self.port = self._listener.port
        # The wall clock once, so that the monotonic times can be put on a calendar.
        self.log(
            "listening", proxy=name, port=self.port, upstream=list(upstream), seed=seed, wall=time.time()
        )

    # -- what connections need -----------------------------------------------------------------------------------

    def log(self, event: str, **fields: Any) -> None:
        """Write to the event log."""
        self._events.write(event, **fields)

    def take_cut(self, toxic: Toxic) -> bool:
        """Whether a `cut_after_message` may cut once more; counts it."""
        count = toxic.attributes["count"]
        if count and self._cuts.get(toxic.name, 0) >= count:
            return False
        self._cuts[toxic.name] = self._cuts.get(toxic.name, 0) + 1
        return True

    def forget(self, connection: Connection) -> None:
        """The connection is closed on both sides and its counts are final."""
        if self._open.pop(connection.number, None) is not None:
            for key, value in _counts_of(connection).items():
                self._closed[key] += value

    def _accept(self, client: socket.socket, address: tuple[str, int]) -> None:
        self._accepted += 1
        number = self._accepted
        connection = Connection(self, number, self.seed)
        toxics = [
            toxic
            for toxic in self._toxics.values()
            if not toxic.on_listener and toxic.draw(self.seed, number)
        ]
        self._open[number] = connection
        self.log("accept", connection=number, client=list(address), toxics=[toxic.name for toxic in toxics])
        for toxic in toxics:
            connection.install(toxic)
        task = asyncio.get_running_loop().create_task(connection.open(client, self._upstream))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    # -- commands ------------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The proxy as Toxiproxy's API shows it."""
        return {
            "name": self.name,
            "listen": f"{LOOPBACK}:{self.port}",
            "upstream": f"{self._upstream[0]}:{self._upstream[1]}",
            "enabled": self._enabled,
            "toxics": [toxic.as_dict() for toxic in self._toxics.values()],
        }

    def counts(self) -> dict[str, int]:
        """The wire counts now: bytes handed to the sockets of either side, over all connections since the start."""
        total = dict(self._closed)
        for connection in self._open.values():
            for key, value in _counts_of(connection).items():
                total[key] += value
        return {
            **total,
            "accepted": self._accepted,
            "open": len(self._open),
            "lost_events": self._events.lost,
        }

    def get(self, name: str) -> Toxic:
        """A toxic by name. Raises CommandError when there is none."""
        if name not in self._toxics:
            raise CommandError(
                HTTPStatus.NOT_FOUND, f"toxic not found: {name}; on are: {', '.join(self._toxics) or 'none'}"
            )
        return self._toxics[name]

    def add(self, toxic: Toxic) -> None:
        """Switch a toxic on, for open connections too. Raises CommandError when the name is taken."""
        if toxic.name in self._toxics:
            raise CommandError(
                HTTPStatus.CONFLICT, f"toxic already exists: {toxic.name}; remove it or give another name"
            )
        hit = [] if toxic.on_listener else [c for c in self._open.values() if toxic.draw(self.seed, c.number)]
        # Logged before it is done: should the proxy die of it, the log still tells what was tried.
        self.log("toxic_on", **_loggable(toxic), open=len(self._open), connections=[c.number for c in hit])
        self._toxics[toxic.name] = toxic
        self._cuts[toxic.name] = 0
        if toxic.on_listener:
            self._set_listener()
        for connection in hit:
            connection.install(toxic)

    def remove(self, name: str) -> None:
        """Switch a toxic off. Raises CommandError when there is none."""
        toxic = self.get(name)
        self._switch_off(toxic)
        if toxic.on_listener:
            self._set_listener()

    def clear(self) -> None:
        """Switch everything off. Raises CommandError when the port cannot be bound again."""
        for toxic in list(self._toxics.values()):
            self._switch_off(toxic)
        self._enabled = True
        self._set_listener()

    def _switch_off(self, toxic: Toxic) -> None:
        del self._toxics[toxic.name]
        for connection in list(self._open.values()):
            connection.uninstall(toxic)
        self.log("toxic_off", **_loggable(toxic), cuts=self._cuts.pop(toxic.name, 0))

    def enable(self, enabled: bool) -> None:
        """Take the whole proxy down (as Toxiproxy: open connections too) or up."""
        if enabled != self._enabled:
            self.log("enabled" if enabled else "disabled")
            self._enabled = enabled
            self._set_listener()
            if not enabled:
                self.reset_connections()

    def reset_connections(self) -> int:
        """RST on every open connection; how many."""
        self.log("reset_all", open=len(self._open))
        return sum(connection.reset("reset_all") for connection in list(self._open.values()))

    def reset_silent(self) -> int:
        """RST on every connection that a black hole has left silent; how many."""
        silent = [connection for connection in self._open.values() if connection.silent]
        self.log("reset_silent", open=len(silent))
        return sum(connection.reset("reset_silent") for connection in silent)

    def _set_listener(self) -> None:
        kinds = {toxic.kind for toxic in self._toxics.values() if toxic.on_listener}
        mode = "refuse" if "refuse" in kinds or not self._enabled else "silent" if kinds else "open"
        if mode == self._listener.mode:
            return
        try:
            self._listener.set_mode(mode)
        except OSError as error:
            self.log("listen_failed", port=self.port, error=str(error))
            message = f"cannot listen on port {self.port} again: {error}; end the program that took it and reset the proxy"
            raise CommandError(HTTPStatus.INTERNAL_SERVER_ERROR, message) from error
        self.log("listener", mode=mode)

    @property
    def idle(self) -> bool:
        """No connection is open."""
        return not self._open

    def close(self) -> None:
        """Stop listening and reset what is open, so that nobody waits for a proxy that is gone."""
        self._listener.set_mode("closed")
        for task in self._opening:
            task.cancel()
        for connection in list(self._open.values()):
            connection.reset("the proxy stops")


def _counts_of(connection: Connection) -> dict[str, int]:
    return {
        "bytes_up": connection.up.sent,
        "bytes_down": connection.down.sent,
        "bytes_discarded": connection.discarded,
        "lossy": int(connection.discarded > 0),
        "resets": int(connection.was_reset),
    }


def _loggable(toxic: Toxic) -> dict[str, Any]:
    fields = toxic.as_dict()
    return {"toxic": fields.pop("name"), **fields}
