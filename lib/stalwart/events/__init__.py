"""What happened, as frozen records, and who wants to know of it.

A part calls `emit(record)` when something out of the ordinary took place; the sinks get it one after the other. On the
happy path nothing is emitted, so nothing is paid. A sink that raises is logged and otherwise ignored: telling of a
failure must never become one. The first sink is the `logging` one (`log_event`, logger "stalwart.events").

Messages of database errors can hold values of rows, so records carry an error's type and code, never its text.
"""

from __future__ import annotations

from .calls import CircuitChanged, FallbackUsed, RequestRetried, RetryGivenUp, RetryScheduled, TargetChanged
from .database import (
    CommitResolved,
    ConnectionHeldTooLong,
    ConnectionRestored,
    ConnectionsInvalidated,
    OutcomeUnknown,
    PoolInherited,
    ReadRetried,
    ReplyOverdue,
    SlowQuery,
    TransactionReplayed,
)
from .record import Event
from .sinks import Sink, emit, log_event, subscribe, unsubscribe

__all__ = [
    "CircuitChanged",
    "CommitResolved",
    "ConnectionHeldTooLong",
    "ConnectionRestored",
    "ConnectionsInvalidated",
    "Event",
    "FallbackUsed",
    "OutcomeUnknown",
    "PoolInherited",
    "ReadRetried",
    "ReplyOverdue",
    "RequestRetried",
    "RetryGivenUp",
    "RetryScheduled",
    "Sink",
    "SlowQuery",
    "TargetChanged",
    "TransactionReplayed",
    "emit",
    "log_event",
    "subscribe",
    "unsubscribe",
]
