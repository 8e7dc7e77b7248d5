"""Back ends terminated by the server's own command, as an administrator or a failover manager does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.drills.faults.bite import Bite, Target


@contextmanager
def backend_terminated(target: Target) -> Iterator[Bite]:
    """Terminate every back end of the trial's database, again and again while the fault is held."""
    bite = Bite("back ends")

    def terminate() -> None:
        # What came back is the server's word: pg_terminate_backend found the process and signalled it.
        ended = len(target.server.terminate_backends(target.dbname))
        bite.injected += ended
        bite.seen += ended

    bite.sustain = terminate
    terminate()
    yield bite
