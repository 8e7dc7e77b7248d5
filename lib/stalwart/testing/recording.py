"""`recorded_events`: what Stalwart did meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stalwart import events


@contextmanager
def recorded_events() -> Iterator[list[events.Event]]:
    """The records of `stalwart.events` from now until the end of the block, in order, from all threads.

    They say what was done about a fault: `RetryScheduled`, `TransactionReplayed`, `CommitResolved`, `ConnectionRestored`, ...
    """
    records: list[events.Event] = []
    undo = events.subscribe(records.append)
    try:
        yield records
    finally:
        undo()
