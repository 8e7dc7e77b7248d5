"""What became of a transaction whose COMMIT was sent and whose reply never came (PostgreSQL).

The server still knows: `pg_xact_status` of the transaction's id says it, asked on a new connection. Two things must be
ruled out. An id that a crash has thrown away is handed out again, so a later transaction's "committed" could be taken for
ours; and a promoted standby has a history of its own. Both change the incarnation token, which is read once per
connection; after a change only "aborted" and "in the future" are believed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from stalwart.database.classification import classify
from stalwart.database.driver import ask
from stalwart.database.reply_limit import at_least
from stalwart.policies.deadline import Deadline

# stats_reset is set anew when the server recovers from a crash; the time line (the head of a WAL file's name) when a standby
# is promoted. A plain role may read both.
_INCARNATION = (
    "SELECT coalesce((SELECT stats_reset::text FROM pg_stat_bgwriter), '') || ' ' || "
    "CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
)
_FROM_THE_FUTURE = "22023"
_POLL = 0.02
# A COMMIT that is really running gets this long; a session that only waits for a client that is gone is ended then.
_PATIENCE = 0.3
_ENDS_WITHIN = 2

_KNOWN_AS = "_stalwart_incarnation"  # kept on the driver's connection, with which it lives and dies


class Outcome(Enum):
    """What became of it."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


class Ticket(NamedTuple):
    """What must be known of a transaction to ask after it.

    Attributes:
        xid: the server's id, 64 bits.
        pid: of its back end.
        token: of the server's incarnation.
    """

    xid: int
    pid: int
    token: str


def incarnation(connection: BaseDatabaseWrapper) -> str:
    """The token, read once per connection of the driver. Not for use inside a transaction."""
    known: dict[str, Any] = connection.connection.__dict__
    token: str | None = known.get(_KNOWN_AS)
    if token is None:
        token = known[_KNOWN_AS] = str(ask(connection, _INCARNATION)[0][0])
    return token


def resolve(
    connection: BaseDatabaseWrapper, ticket: Ticket, deadline: Deadline, sleep: Callable[[float], None]
) -> Outcome:
    """Ask a new, usable connection what became of the transaction; waits for one that is still going on, then ends it.

    Raises:
        django.db.Error: the connection failed, too.
    """
    trusted = incarnation(connection) == ticket.token
    patience = Deadline.after(min(_PATIENCE, deadline.remaining()), deadline.clock)
    while True:
        try:
            status = ask(connection, "SELECT pg_xact_status(%s::text::xid8)", str(ticket.xid))[0][0]
        except DatabaseError as error:
            known = classify(error)
            if known is not None and known.code == _FROM_THE_FUTURE:
                return Outcome.ABORTED
            raise
        if status == "aborted":
            return Outcome.ABORTED
        if status == "committed":
            return Outcome.COMMITTED if trusted else Outcome.UNKNOWN
        if status is None or not trusted:
            return Outcome.UNKNOWN
        if not patience.fits(_POLL):
            end_session(connection, ticket)
            if not deadline.fits(_POLL):
                return Outcome.UNKNOWN
        sleep(_POLL)


def end_session(connection: BaseDatabaseWrapper, ticket: Ticket) -> None:
    """End the session of a transaction that is still open, for it holds its locks; no other one, even with the same pid."""
    # The server waits for the end of that session before it replies.
    with at_least(_ENDS_WITHIN + 1, connection.alias):
        ask(
            connection,
            f"SELECT bool_or(pg_terminate_backend(pid, {_ENDS_WITHIN * 1000})) FROM pg_stat_activity "
            "WHERE pid = %s AND backend_xid = %s::text::xid8::xid",
            ticket.pid,
            str(ticket.xid),
        )
