"""No connection slot is left: other clients of the server hold them all, as after a leak or a deployment too many."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import psycopg

from workbench.drills.faults.bite import Bite, Target
from workbench.servers.cluster import PLAIN_ROLE, SUPERUSER
from workbench.servers.postgres import PostgresServer
from workbench.servers.sessions import terminate

#: Both are SQLSTATE 53300: the second is said when other logins, not yet refused, hold even the superuser's slots.
REFUSALS = ("remaining connection slots are reserved", "sorry, too many clients already")
#: Where the slots are held: not the trial's database, so that its back ends can be ended without ours.
NEIGHBOUR = "postgres"
#: Logins at a time: the server's and our own part of one take turns.
AT_ONCE = 2
#: Ending the application's back ends and taking their slots is repeated so often at most: it may be quicker than we are.
ROUNDS = 10
#: Seconds that one login may take. It takes milliseconds; one in a few hundred has been seen to hang while sessions went on,
#: and at the tools' own 10 s the fault was held for that much longer than planned.
LOGIN_WITHIN = 2
#: Seconds that the server gets to end our sessions.
CLOSE_WITHIN = 5.0


class SlotHolder:
    """Sessions of the application's own kind of role that do nothing but take slots; a context manager.

    They are sockets of this process, so they end with it, however it ends. The superuser's slots stay free for the tools.

    Args:
        server: whose slots.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._held: list[psycopg.Connection[Any]] = []

    def __len__(self) -> int:
        return len(self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, []
        for connection in held:
            connection.close()

    def take(self) -> int:
        """Take every slot that is free now; returns how many were."""
        before = len(self._held)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="workbench-slots") as threads:
            list(threads.map(lambda _: self._take_until_refused(), range(AT_ONCE)))
        return len(self._held) - before

    def _take_until_refused(self) -> None:
        while True:
            try:
                connection = self._server.connect(NEIGHBOUR, user=PLAIN_ROLE, connect_timeout=LOGIN_WITHIN)
            except psycopg.OperationalError:
                return  # none is left (or the server is gone, which the caller's own session tells)
            self._held.append(connection)


@contextmanager
def slots_exhausted(target: Target) -> Iterator[Bite]:
    """End the back ends of the trial's database and keep every slot of the server; close the sessions on exit."""
    server, dbname = target.server, target.dbname
    bite = Bite("refusals (53300)")
    # Opened first: afterwards even a superuser may find no slot for a moment.
    with server.connect(user=SUPERUSER) as tool, SlotHolder(server) as holder:
        before = _refusals(server, dbname)

        def exhaust() -> None:
            due = 0  # slots of ended back ends that we do not hold yet
            for _ in range(ROUNDS):
                taken = holder.take()
                bite.onset = bite.onset or time.monotonic()  # until now only spare slots were taken
                ended = len(terminate(tool, dbname))
                bite.injected += ended
                due = max(0, due - taken) + ended
                # "None is left" may be early news: a back end leaves the server's list a moment before its slot is free,
                # and a login that is about to be refused has one for a moment. So the last look must find nothing at all.
                if not taken and not due:
                    return

        bite.sustain = exhaust
        try:
            exhaust()
            yield bite
        finally:
            bite.detail["slots_held"] = len(holder)
            bite.seen = _refusals(server, dbname) - before
    _wait_for_free_slots(server)


def _refusals(server: PostgresServer, dbname: str) -> int:
    """How many logins to the trial's database the server's log says were refused; ours go elsewhere."""
    words = "|".join(map(re.escape, REFUSALS))
    return len(re.findall(rf"{PLAIN_ROLE}@{re.escape(dbname)} FATAL:\s+(?:{words})", server.log()))


def _wait_for_free_slots(server: PostgresServer) -> None:
    """Wait until the server has noticed that our sessions are gone: a closed socket frees its slot a moment later."""
    deadline = time.monotonic() + CLOSE_WITHIN
    while time.monotonic() < deadline:
        with (
            suppress(psycopg.OperationalError),
            server.connect(NEIGHBOUR, user=PLAIN_ROLE, connect_timeout=LOGIN_WITHIN),
        ):
            return
        time.sleep(0.01)
