"""The client sessions of one database: who they are, and how they are ended as an administrator would."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow


@dataclass(frozen=True, order=True)
class Session:
    """One client session; with its start, so that a later one in the same pid is another.

    Attributes:
        pid: the process id of its backend.
        begun: when it began, as the server says it.
    """

    pid: int
    begun: datetime


def sessions(connection: psycopg.Connection[TupleRow], dbname: str) -> set[Session]:
    """The client sessions of a database, without the one that asks."""
    rows = connection.execute(
        "SELECT pid, backend_start FROM pg_stat_activity "
        "WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        [dbname],
    )
    return {Session(pid, begun) for pid, begun in rows}


def terminate(connection: psycopg.Connection[TupleRow], dbname: str, *, within: float = 5) -> list[int]:
    """End a database's sessions with pg_terminate_backend; the pids of those that were gone within so many seconds."""
    found = sessions(connection, dbname)
    # Not in the WHERE over pg_stat_activity: the planner may put it before the conditions that spare everybody else.
    rows = connection.execute(
        "SELECT pid FROM unnest(%s::int[]) AS pid WHERE pg_terminate_backend(pid)",
        [[session.pid for session in found]],
    ).fetchall()
    told = {session for session in found if (session.pid,) in rows}
    deadline = time.monotonic() + within
    while (left := told & sessions(connection, dbname)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return sorted(session.pid for session in told - left)
