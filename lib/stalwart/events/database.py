"""What happened to connections, transactions and statements."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from .record import Event


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
