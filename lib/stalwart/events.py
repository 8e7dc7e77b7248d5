"""What happened, as frozen records, and who wants to know of it.

A part calls `emit(record)` when something out of the ordinary took place; the sinks get it one after the other. On the
happy path nothing is emitted, so nothing is paid. A sink that raises is logged and otherwise ignored: telling of a
failure must never become one. The first sink is the `logging` one (`log_event`, logger "stalwart.events").

Messages of database errors can hold values of rows, so records carry an error's type and code, never its text.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

logger = logging.getLogger("stalwart.events")


@dataclass(frozen=True, slots=True)
class Event:
    """What all records share.

    Attributes:
        operation: what was going on, for a decorator the dotted name of the function.
    """

    level: ClassVar[int] = logging.INFO

    operation: str

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict that `json` can write, with its kind."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class RetryScheduled(Event):
    """A failed call will be made again.

    Attributes:
        call: number of the call that failed, from 1.
        max_retries: how often it may be repeated in all.
        wait: seconds until the repeat.
        error_class: the word of `stalwart.database.classification.ErrorClass`; "failure" for `resilient_operation`.
        error: name of the exception's type.
        code: SQLSTATE or the like, None where the driver gives none.
    """

    level: ClassVar[int] = logging.WARNING

    call: int
    max_retries: int
    wait: float
    error_class: str
    error: str
    code: str | None


@dataclass(frozen=True, slots=True)
class RetryGivenUp(Event):
    """A call that could have been repeated was not repeated again.

    Attributes:
        calls: how many were made.
        reason: why there is no further one.
        error_class, error, code: as in `RetryScheduled`.
    """

    level: ClassVar[int] = logging.ERROR

    calls: int
    reason: str
    error_class: str
    error: str
    code: str | None


@dataclass(frozen=True, slots=True)
class ConnectionRestored(Event):
    """A lost connection was replaced by one that answers.

    Attributes:
        alias: name of the database.
        attempts: connect attempts that it took.
        seconds: from the first attempt to the answer.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class OutcomeUnknown(Event):
    """`CommitOutcomeUnknown` was raised.

    Attributes:
        alias: name of the database.
        xid: id of the transaction if known.
        during: what was under way, "COMMIT" or the first word of the statement.
    """

    level: ClassVar[int] = logging.ERROR

    alias: str
    xid: int | None
    during: str


@dataclass(frozen=True, slots=True)
class CircuitChanged(Event):
    """A circuit breaker went from one state to another; `operation` is its name.

    Attributes:
        number: counts the changes of this circuit, so that records which overtake each other can be put in order.
        before, after: words of `stalwart.policies.breaker.State`. Both are "metrics-only" when a circuit that only
            watches would have opened.
        reason: why.
        calls: in the window that was judged, 0 where none was.
        failure_rate, slow_rate: their shares, 0 to 1.
        open_for: seconds until the first probe, for a circuit that opened; else None.
    """

    level: ClassVar[int] = logging.WARNING

    number: int
    before: str
    after: str
    reason: str
    calls: int
    failure_rate: float
    slow_rate: float
    open_for: float | None


@dataclass(frozen=True, slots=True)
class FallbackUsed(Event):
    """A call was answered by its fallback.

    Attributes:
        calls: that were made before.
        error: name of the exception's type.
    """

    level: ClassVar[int] = logging.WARNING

    calls: int
    error: str


@dataclass(frozen=True, slots=True)
class TargetChanged(Event):
    """A failover now prefers another target; `operation` is its name.

    Attributes:
        before, after: names of the targets.
        primary: whether `after` is the first one, that is, things are as they should be again.
    """

    level: ClassVar[int] = logging.WARNING

    before: str
    after: str
    primary: bool


@dataclass(frozen=True, slots=True)
class TransactionReplayed(Event):
    """A failed transaction was replayed, and its body goes on.

    Attributes:
        alias: name of the database.
        attempt: number of the replay in this block, from 1.
        entries: how many statements and later fetches were done again.
        seconds: from the failure until the body could go on.
        error_class, error, code: of the failure, as in `RetryScheduled`.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    attempt: int
    entries: int
    seconds: float
    error_class: str
    error: str
    code: str | None


@dataclass(frozen=True, slots=True)
class CommitResolved(Event):
    """The reply to a COMMIT was lost, and the server has told what became of the transaction.

    Attributes:
        alias: name of the database.
        xid: id of the transaction.
        committed: whether it is done.
        seconds: from the loss until it was known.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    xid: int
    committed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionsInvalidated(Event):
    """The server takes no writes, or has another role than before: connections that were open by then are not used for long.

    Attributes:
        alias: name of the database.
        reason: what was seen.
        connections: that threads of this process had at that moment, so not those that lay in a pool.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    reason: str
    connections: int


@dataclass(frozen=True, slots=True)
class ConnectionHeldTooLong(Event):
    """A connection of a pool is checked out for longer than `HELD_TOO_LONG`; sent once per checkout.

    Attributes:
        alias: name of the database.
        seconds: since when.
        thread: name of the thread that took it.
        taken_at: the frames that took it, innermost first, as "file:line in function"; without Django's own.
        now_at: where that thread was when this was sent, likewise; empty when it is gone.
        lost: its thread has ended without closing it, so the pool is one connection short for good.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    seconds: float
    thread: str
    taken_at: tuple[str, ...]
    now_at: tuple[str, ...]
    lost: bool


@dataclass(frozen=True, slots=True)
class PoolInherited(Event):
    """This process was forked from one whose connection pool was open, and has opened a pool of its own instead.

    Attributes:
        alias: name of the database.
        parent: process id of the other one.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    parent: int


@dataclass(frozen=True, slots=True)
class ReplyOverdue(Event):
    """A reply of the database did not come in time, and its connection was closed.

    Attributes:
        alias: name of the database.
        seconds: that the server had been silent.
        what: was waited for: "COMMIT", "ROLLBACK", "fetching rows", "a statement", or "logging in".
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    seconds: float
    what: str


@dataclass(frozen=True, slots=True)
class ReadRetried(Event):
    """A read of the ORM lost its connection and runs once more; `operation` is its model.

    Attributes:
        alias: name of the database.
        seconds: from the loss until there was a connection again.
        error, code: of the loss, as in `RetryScheduled`.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    seconds: float
    error: str
    code: str | None


@dataclass(frozen=True, slots=True)
class RequestRetried(Event):
    """A request whose view had failed was answered by running the view again; `operation` is its method and view.

    Attributes:
        runs: of the view, at least 2.
        seconds: from the first failure to the answer.
        status: of the answer. An error's when the last run has failed, too.
        error_class, error, code: of the last failure that was followed by another run, as in `RetryScheduled`.
    """

    level: ClassVar[int] = logging.WARNING

    runs: int
    seconds: float
    status: int
    error_class: str
    error: str
    code: str | None


@dataclass(frozen=True, slots=True)
class SlowQuery(Event):
    """A statement took at least as long as `SLOW_QUERY` says; told once a minute at most for each kind of statement.

    `operation` is the place in the application that it comes from, "" where that is not known.

    Attributes:
        alias: name of the database.
        fingerprint: of the statement, as in `stalwart.database.slow_queries()`.
        sql: the statement without values.
        seconds: how long it took.
        threshold: the setting, in seconds.
        count: how often it has been slow so far.
        untold: slow runs since the last such record that were not told.
        error: name of the exception's type, None when it did not fail.
    """

    level: ClassVar[int] = logging.WARNING

    alias: str
    fingerprint: str
    sql: str
    seconds: float
    threshold: float
    count: int
    untold: int
    error: str | None


Sink: TypeAlias = Callable[[Event], object]


def log_event(event: Event) -> None:
    """The sink that writes a record to the logger "stalwart.events", its fields under `extra["stalwart"]`."""
    logger.log(event.level, "%r", event, extra={"stalwart": event.as_dict()})


_lock = threading.Lock()
_sinks: tuple[Sink, ...] = (log_event,)


def subscribe(sink: Sink) -> Callable[[], None]:
    """Hand every record to `sink` from now on.

    Args:
        sink: called in the thread where the thing happened, so it must be quick; a queue is a good one.

    Returns:
        A function that ends it again; calling it twice does no harm.
    """
    global _sinks
    with _lock:
        _sinks = (*_sinks, sink)
    done = False

    def undo() -> None:
        nonlocal done
        if not done:
            done = True
            unsubscribe(sink)

    return undo


def unsubscribe(sink: Sink) -> None:
    """Take one subscription of `sink` away; without one, nothing happens. Works for `log_event` too."""
    global _sinks
    with _lock:
        rest = list(_sinks)
        if sink in rest:
            rest.remove(sink)
        _sinks = tuple(rest)


def emit(event: Event) -> None:
    """Hand a record to all sinks; never raises what a sink raises."""
    for sink in _sinks:
        try:
            sink(event)
        except Exception:
            logger.exception(
                "the event sink %r failed on %s; it stays subscribed", sink, type(event).__name__
            )
