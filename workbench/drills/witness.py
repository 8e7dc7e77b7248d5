"""A client of the drill's own beside the application: what it meets shows that a fault bites, whatever the arm does.

An application may have nothing left to be harmed: threads that a black hole has silenced hold no back end that could be
terminated, and ask for no slot. Were its own connections the only evidence, such trials would not count, and more of the
one arm than of the other. The witness is the same in every arm, and what the server and the proxy count includes it.
"""

from __future__ import annotations

import select
import time
from types import TracebackType
from typing import Literal, Self

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, ExecStatus, PollingStatus
from psycopg.pq.abc import PGconn

from workbench.drills.faults import Target
from workbench.servers.cluster import PLAIN_ROLE

Met = Literal["answered", "refused", "silence"]

#: Seconds that an answer may take; on the loopback interface it takes some thousandths.
PATIENCE = 0.15
#: Seconds for the login before the fault, and for an answer when all faults are over.
LOGIN_WITHIN = 5.0


class Witness:
    """A session of the application's role through the proxy, opened before the fault; a context manager.

    Args:
        target: the proxy to go through and the database to log in to.
    """

    def __init__(self, target: Target) -> None:
        self._conninfo = _way_of(target)
        self._session: PGconn | None = None

    def __enter__(self) -> Self:
        self._session, _ = _login(self._conninfo, LOGIN_WITHIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.finish()

    def ask(self) -> Met | None:
        """What a query on the open session meets now; None when there was no session before the fault."""
        return None if self._session is None else _ask(self._session)

    def knock(self) -> Met:
        """What a new login meets now."""
        session, met = _login(self._conninfo, PATIENCE)
        if session is not None:
            session.finish()
        return met


def answers(target: Target) -> bool:
    """Whether a query goes through the proxy to the server and back: after the last fault all must be as before."""
    session, _ = _login(_way_of(target), LOGIN_WITHIN)
    if session is None:
        return False
    try:
        return _ask(session, LOGIN_WITHIN) == "answered"
    finally:
        session.finish()


def _way_of(target: Target) -> bytes:
    assert target.proxy is not None, "the witness goes the way that the application goes"
    return make_conninfo(
        host=target.proxy.host,
        port=target.proxy.port,
        dbname=target.dbname,
        user=PLAIN_ROLE,
        password=target.server.password,
        sslmode="disable",
    ).encode()


def _login(conninfo: bytes, within: float) -> tuple[PGconn | None, Met]:
    """A session, and what the login met. libpq's own limit has a grain of seconds, so the steps are taken here."""
    session = pq.PGconn.connect_start(conninfo)
    met = _logged_in(session, time.monotonic() + within)
    if met == "answered":
        return session, met
    session.finish()
    return None, met


def _logged_in(session: PGconn, deadline: float) -> Met:
    if session.status == ConnStatus.BAD:
        return "refused"
    step = int(PollingStatus.WRITING)
    while step in (PollingStatus.READING, PollingStatus.WRITING):
        if not _is_ready(session, deadline, writing=step == PollingStatus.WRITING):
            return "silence"
        step = session.connect_poll()
    return "answered" if step == PollingStatus.OK else "refused"


def _ask(session: PGconn, within: float = PATIENCE) -> Met:
    deadline = time.monotonic() + within
    results = []
    try:
        session.send_query(b"SELECT 1")
        session.flush()  # a dozen bytes, which any socket takes at once
        while True:
            while session.is_busy():
                if not _is_ready(session, deadline, writing=False):
                    return "silence"
                session.consume_input()
            if (result := session.get_result()) is None:
                break
            results.append(result.status)
    except psycopg.OperationalError:
        return "refused"
    return "answered" if results == [ExecStatus.TUPLES_OK] else "refused"


def _is_ready(session: PGconn, deadline: float, *, writing: bool) -> bool:
    """Wait until the session's socket can be read or written; false when the deadline came first."""
    left = max(0.0, deadline - time.monotonic())
    ready = select.select([] if writing else [session.socket], [session.socket] if writing else [], [], left)
    return any(ready)
