"""Connections reset on the wire, as a firewall, a load balancer or a rebooted router does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.drills.faults.bite import Bite, Target


@contextmanager
def tcp_reset(target: Target) -> Iterator[Bite]:
    """Send a real RST on every open connection through the proxy, again and again while the fault is held."""
    assert target.proxy is not None, "a reset needs the proxy between application and server"
    proxy = target.proxy
    bite = Bite("connections")
    before = proxy.counts().resets

    def reset() -> None:
        bite.injected += proxy.reset_all()
        bite.seen = proxy.counts().resets - before

    bite.sustain = reset
    reset()
    yield bite
