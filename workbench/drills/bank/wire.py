"""Faults on the wire that need the bank.

COMMIT is cut: its reply is lost, or it never arrives. For the client the two look exactly alike. And a black hole whose silence
ends: in DB-1 it never does, and a clerk without a limit of its own would wait for the rest of the drill, so that the arms
without one would meet nothing of what comes after it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.drills.faults import FAULTS, Bite, Target
from workbench.servers.eventlog import EventTail

WITHIN = 3.0  #: seconds in which some order must come to its COMMIT
#: Seconds that connections stay silent when the black hole is over: longer than an overdue reply is waited for, so that this
#: must notice by itself. Then they are reset, as by a firewall that answers for streams that it has forgotten.
SILENCE = 1.5

REPLY = {"stream": "downstream", "message": "CommandComplete", "tag": "COMMIT", "before_forwarding": True}
#: The server is not told that its client is gone: its session stays open and holds its locks until the fault is healed.
REQUEST = {
    "stream": "upstream",
    "message": "Query",
    "sql_prefix": "COMMIT",
    "before_forwarding": True,
    "partition": True,
}


@contextmanager
def commit_reply_lost(target: Target) -> Iterator[Bite]:
    """Cut the next connection on which the server answers a COMMIT, before the client has the answer."""
    yield from _cut(target, "commit-reply", REPLY)


@contextmanager
def commit_never_arrives(target: Target) -> Iterator[Bite]:
    """Cut the next connection on which a COMMIT comes along, before the server has it."""
    yield from _cut(target, "commit-request", REQUEST)


@contextmanager
def blackhole(target: Target) -> Iterator[Bite]:
    """DB-1's black hole, and the end of the silence that it leaves."""
    assert target.proxy is not None, "a black hole needs the proxy between application and server"
    with FAULTS["blackhole"].inject(target) as bite:
        yield bite
    time.sleep(SILENCE)
    bite.detail["reset after silence"] = target.proxy.reset_silent()


def _cut(target: Target, name: str, how: dict[str, Any]) -> Iterator[Bite]:
    assert target.proxy is not None, "a cut needs the proxy between application and server"
    bite = Bite("COMMITs", injected=1)
    tail = EventTail(target.proxy.log)
    target.proxy.add("cut_after_message", name=name, count=1, **how)
    try:
        deadline = time.monotonic() + WITHIN
        while not bite.seen and time.monotonic() < deadline:
            time.sleep(0.005)
            bite.seen += sum(
                event["event"] == "cut" and event.get("toxic") == name for event in tail.events()
            )
        yield bite
    finally:
        target.proxy.remove(name)
