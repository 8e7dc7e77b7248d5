"""Nobody answers: `refuse_connections` and `blackhole`."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.exceptions import ConfigurationError
from stalwart.testing.fault import Fault

_HOST = "127.0.0.1"


def refuse_connections(
    *,
    times: int | None = None,
    seconds: float | None = None,
    end_sessions: bool = True,
    using: str | None = None,
    even_on: str | None = None,
) -> Fault:
    """The server is down: sessions are ended, and the operating system refuses new connections.

    While it lasts, connections are opened to a port on which nobody listens.

    Args:
        times: so many attempts to connect are refused, then the server is back.
        seconds: from the beginning of the block; then it is back. Without `times` and `seconds`, it is at the block's end.
        end_sessions: the sessions of this role in this database end at the beginning, as a server that stops ends them.
        using, even_on: as of `kill_connection_at`.

    Raises:
        FaultDidNotBite: (at the end of the block) nobody tried to connect, or not so often.
        ConfigurationError: as `kill_connection_at`; also for an alias with OPTIONS["pool"], whose connections are not opened
            by Django.
    """
    return _Outage(times, seconds, end_sessions, using, even_on)


def blackhole(
    *,
    times: int | None = 1,
    end_sessions: bool = True,
    using: str | None = None,
    even_on: str | None = None,
) -> Fault:
    """The network swallows what is sent: new connections are accepted, and then nothing comes.

    The driver waits for OPTIONS["connect_timeout"] seconds (of which libpq makes at least 2), so that has to be set.

    Args:
        times: so many attempts to connect; None: all of them.
        end_sessions, using, even_on: as of `refuse_connections`. Sessions that are open do not fall silent: they end, or stay.

    Raises:
        FaultDidNotBite, ConfigurationError: as `refuse_connections`; also when there is no connect_timeout.
    """
    return _BlackHole(times, None, end_sessions, using, even_on)


class _Outage(Fault):
    name = "refuse_connections"
    listening = False

    def __init__(
        self, times: int | None, seconds: float | None, end_sessions: bool, using: str | None, even_on: str | None
    ) -> None:  # fmt: skip
        super().__init__(using, times, even_on)
        if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds < float("inf")):
            raise ConfigurationError(
                f"{self.name}: seconds is {seconds!r}; use a number greater than 0, or None"
            )
        self._seconds = seconds
        self._end_sessions = end_sessions

    def check(self, connection: BaseDatabaseWrapper) -> None:
        super().check(connection)
        if connection.settings_dict["OPTIONS"].get("pool"):
            raise ConfigurationError(
                f"{self.name}: alias {self.alias!r} has OPTIONS['pool'], and the pool opens its connections in threads of its own. "
                "Test against an alias without one, or use kill_connection_at, to which a pool makes no difference"
            )

    def begin(self, connection: BaseDatabaseWrapper, stack: ExitStack) -> None:
        # Bound and, for a refusal, not listened on: nobody else can come to listen there meanwhile.
        nobody = stack.enter_context(socket.socket())
        nobody.bind((_HOST, 0))
        if self.listening:
            nobody.listen(100)  # the kernel accepts; nobody ever reads
        self._port = nobody.getsockname()[1]
        self._until = None if self._seconds is None else time.monotonic() + self._seconds
        if self._end_sessions:
            self.control(connection, stack).end_all()

    def connecting(self, params: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            away = self.hungry() and (self._until is None or time.monotonic() < self._until)
            self.bites += away
        if away:
            params = {**params, "host": _HOST, "port": self._port}
            params.pop("hostaddr", None)  # it would come before the host
        return params

    def hint(self) -> str:
        return "Nobody tried to connect (more often): was the connection open all the time?"


class _BlackHole(_Outage):
    name = "blackhole"
    listening = True

    def check(self, connection: BaseDatabaseWrapper) -> None:
        super().check(connection)
        if not connection.settings_dict["OPTIONS"].get("connect_timeout"):
            raise ConfigurationError(
                f"{self.name}: alias {self.alias!r} has no OPTIONS['connect_timeout'], so the driver would wait for minutes, here "
                "as in production; set it to the seconds that a connection may take"
            )
