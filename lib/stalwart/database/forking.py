"""A process that forks after its pool was opened (a preloaded gunicorn): the child gets a pool of its own.

What a child inherits is a pool without the threads that serve it, and sockets that it shares with its parent: the two talk on
the same sessions, and read each other's replies. So in the child Django's pools of the parent are put aside, and Django makes
and opens new ones when they are needed. The inherited connections are cut off from their sockets, which stay the parent's:
closing one the usual way would tell the server to end the parent's session.

A transaction that was open at the moment of the fork is left alone: its block is still running in the child, and only the
application knows for whom.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from stalwart import django_conf, events
from stalwart.database import health, holds, probe

_on = False
_registered = False
_inherited: list[Any] = []  # for the life of the child: nobody is to clean these up
_untold: dict[str, int] = {}


def connect() -> None:
    """Take care of the children that are forked from now on; calling it again changes nothing."""
    global _on, _registered
    _on = True
    if not _registered and hasattr(os, "register_at_fork"):
        _registered = True
        os.register_at_fork(after_in_child=_in_child)  # cannot be undone


def disconnect() -> None:
    """Let them be."""
    global _on
    _on = False


def tell(alias: str) -> None:
    """Send the event about an inherited pool, when the child first asks for a connection.

    Not in the fork itself: a sink may have a lock that another thread of the parent held.
    """
    if _untold and (parent := _untold.pop(alias, None)) is not None:
        events.emit(events.PoolInherited("stalwart.database.pool", alias, parent))


class Aside:
    """In the place of the parent's pool, for a connection that is in use in the child: where it is given back to."""

    def putconn(self, driver: Any) -> None:
        """Put it aside, too."""
        _cut(driver)


def _in_child() -> None:
    holds.renew()
    health.renew()
    probe.renew()
    if not (_on and django_conf.current().database.enabled):
        return
    for alias, pool in list(health.pools().items()):
        if getattr(pool, "closed", True):  # not opened yet: the child can open it
            continue
        health.pools().pop(alias, None)
        # Else its end would look for its threads and their locks.
        pool._closed = True
        _inherited.append(pool)
        _untold[alias] = os.getppid()
        for idle in list(pool._pool):
            _cut(idle)
    for connection in health.known_connections():
        driver: Any = connection.connection
        if getattr(driver, "_pool", None) not in _inherited:
            continue
        if connection.in_atomic_block or not connection.autocommit:
            driver._pool = Aside()
        else:
            connection.connection = None
            _cut(driver)


def _cut(driver: Any) -> None:
    """Have the descriptor lead to nowhere; whatever is still done with the connection then reaches nobody."""
    _inherited.append(driver)
    with suppress(Exception):  # it has no socket: it was lost before
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(nowhere, driver.pgconn.socket, inheritable=False)
        finally:
            os.close(nowhere)
