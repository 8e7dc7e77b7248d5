"""The whole server killed, as the kernel's out-of-memory killer or a power cut of its machine does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.drills.faults.bite import Bite, Target
from workbench.servers.ports import is_free


@contextmanager
def server_killed(target: Target) -> Iterator[Bite]:
    """SIGKILL the postmaster and all back ends; start the server again on exit, and wait until it answers."""
    bite = Bite("servers", injected=1)
    try:
        bite.detail["processes"] = len(target.server.kill())
        bite.seen = int(is_free(target.server.port))  # nobody listens there any more
        yield bite
    finally:
        target.server.start()
        bite.detail["ready_after"] = round(target.server.wait_ready(), 3)
