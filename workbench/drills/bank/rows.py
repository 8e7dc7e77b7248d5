"""Faults that one session does to another through rows: deadlock, lock time-out, serialization failure.

A session of the drill's own stands in an order's way and waits until the server says that somebody waits for it; then it
brings the error about. The witness is the server's log: the line of just that back end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from workbench.drills.faults import Bite, Target
from workbench.servers.postgres import PostgresServer

WITHIN = 3.0  #: seconds in which an order must have run into it, and in which the log must say so
#: Portfolios that are stood in front of: enough that on a slow machine, too, an order comes along in time.
STAND_IN = 5
#: Of the application's sessions, seconds. It looks for a deadlock late enough for us to have closed the circle.
DEADLOCK_TIMEOUT, LOCK_TIMEOUT = 0.25, 0.7
#: The application's sessions that run at repeatable read: others have no serialization failure to give.
REPEATABLE_READ = "bank at repeatable read"

DEADLOCK = "deadlock detected"
LATE = "canceling statement due to lock timeout"
CONFLICT = "could not serialize access"


def limit_waiting(server: PostgresServer, dbname: str) -> None:
    """Give the application's sessions of a database their time-outs."""
    with server.connect("postgres") as admin:
        for name, value in (("deadlock_timeout", DEADLOCK_TIMEOUT), ("lock_timeout", LOCK_TIMEOUT)):
            admin.execute(f"ALTER ROLE app IN DATABASE {dbname} SET {name} = '{int(value * 1000)}ms'")


@dataclass
class Bystander:
    """A session that stands in the way of orders on some portfolios.

    Attributes:
        target: whose server it is.
        session: holds the locks.
        watcher: sees who waits.
        portfolios: drawn by the server.
        since: size of the server's log before.
        waited: back ends that were seen to wait for us.
    """

    target: Target
    session: psycopg.Connection[Any]
    watcher: psycopg.Connection[Any]
    portfolios: list[int]
    since: int
    waited: set[int] = field(default_factory=set)

    def lock(self, what: str) -> None:
        self.session.execute(f"SELECT 1 FROM {what} FOR UPDATE", [self.portfolios])

    def somebody_waits(self, application: str = "") -> bool:
        """Wait until a session is held up by ours, or by one that is, and remember its back end.

        Args:
            application: name of the sessions that are meant; "" means any.
        """
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            rows = self.watcher.execute(
                "SELECT pid, application_name, pg_blocking_pids(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND wait_event_type = 'Lock'",
                [self.target.dbname],
            ).fetchall()
            held = {self.session.info.backend_pid}
            # Whoever came second waits for the first in the queue, not for us.
            while more := {pid for pid, _, blockers in rows if pid not in held and held & set(blockers)}:
                held |= more
            found = {pid for pid, name, _ in rows if pid in held and application in ("", name)}
            self.waited |= found
            if found:
                return True
            time.sleep(0.005)
        return False

    def logged(self, text: str, *, wait: bool = True) -> int:
        """How many of those who waited have an error of this text in the server's log by now."""
        deadline = time.monotonic() + (WITHIN if wait else 0.0)
        while True:
            ended = set(re.findall(r"\[(\d+)\] .*ERROR:  " + text, self.target.server.log(since=self.since)))
            found = len({pid for pid in self.waited if str(pid) in ended})
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.005)


@contextmanager
def _bystander(target: Target, portfolios: int) -> Iterator[tuple[Bystander, Bite]]:
    since = target.server.log_size()
    with (
        target.server.connect(target.dbname, autocommit=False) as session,
        target.server.connect(target.dbname) as watcher,
    ):
        # As long as it takes: not this session, but the order's, is to be the victim. Yet it must not hang for good.
        session.execute("SET deadlock_timeout = '30s'")
        session.execute(f"SET statement_timeout = '{int(WITHIN * 1000)}ms'")
        rows = session.execute(
            "SELECT id FROM stocks_portfolio ORDER BY random() LIMIT %s", [portfolios]
        ).fetchall()
        session.commit()
        bite = Bite("orders", injected=1)
        try:
            yield Bystander(target, session, watcher, [key for (key,) in rows], since), bite
        except psycopg.errors.QueryCanceled:
            bite.detail["stood"] = False  # we ourselves did not get the lock in time: the evidence stays at 0
        finally:
            session.rollback()


@contextmanager
def deadlock(target: Target) -> Iterator[Bite]:
    """Close a circle with an order: it has the portfolio and wants a holding, we have the holdings and want the portfolio."""
    # One only: while we wait for a second one, the first order's look for a deadlock would be over.
    with _bystander(target, 1) as (bystander, bite):
        bystander.lock("stocks_holding WHERE portfolio_id = ANY (%s)")
        if bystander.somebody_waits():
            bystander.lock(
                "stocks_portfolio WHERE id = ANY (%s)"
            )  # returns when the server has ended the order
            bite.seen = bystander.logged(DEADLOCK)
    yield bite


@contextmanager
def lock_timeout(target: Target) -> Iterator[Bite]:
    """Keep portfolios locked until an order has given up waiting for one."""
    with _bystander(target, STAND_IN) as (bystander, bite):
        bystander.lock("stocks_portfolio WHERE id = ANY (%s)")
        deadline = time.monotonic() + WITHIN
        while not bite.seen and time.monotonic() < deadline and bystander.somebody_waits():
            bite.seen = bystander.logged(LATE, wait=False)
            time.sleep(0.01)
    yield bite


@contextmanager
def serialization_failure(target: Target) -> Iterator[Bite]:
    """Change portfolios for one of which an order at repeatable read waits: its snapshot is then from before the change."""
    with _bystander(target, STAND_IN) as (bystander, bite):
        bystander.session.execute(
            "UPDATE stocks_portfolio SET cash = cash WHERE id = ANY (%s)", [bystander.portfolios]
        )
        if bystander.somebody_waits(REPEATABLE_READ):
            bystander.session.commit()
            bite.seen = bystander.logged(CONFLICT)
    yield bite
