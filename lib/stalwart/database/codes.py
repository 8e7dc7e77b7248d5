"""The tables: which code of which database means what."""

from __future__ import annotations

from enum import Enum


class ErrorClass(Enum):
    """What kind of failure a database error is.

    Conflict, lock wait, connection, role and capacity pass by themselves, so a repeat has a chance. Ambiguous means that
    a write was perhaps done. Conditional errors (a unique key is taken) pass only where the caller knows that a repeat
    decides anew; `never` are mistakes and limits that a repeat meets again.
    """

    CONFLICT = "conflict"
    LOCK_WAIT = "lock wait"
    CONNECTION = "connection"
    ROLE = "role"
    CAPACITY = "capacity"
    AMBIGUOUS = "ambiguous"
    CONDITIONAL = "conditional"
    NEVER = "never"


TRANSIENT = frozenset(
    {ErrorClass.CONFLICT, ErrorClass.LOCK_WAIT, ErrorClass.CONNECTION, ErrorClass.ROLE, ErrorClass.CAPACITY}
)

_SQLSTATE = {
    "40000": ErrorClass.CONFLICT,
    "40001": ErrorClass.CONFLICT,  # serialization_failure
    "40P01": ErrorClass.CONFLICT,  # deadlock_detected
    "40003": ErrorClass.AMBIGUOUS,  # statement_completion_unknown
    "08007": ErrorClass.AMBIGUOUS,  # transaction_resolution_unknown
    "55P03": ErrorClass.LOCK_WAIT,  # lock_not_available: lock_timeout, NOWAIT
    "57P01": ErrorClass.CONNECTION,  # admin_shutdown, pg_terminate_backend
    "57P02": ErrorClass.CONNECTION,  # crash_shutdown
    "57P03": ErrorClass.CONNECTION,  # cannot_connect_now
    "57P05": ErrorClass.CONNECTION,  # idle_session_timeout
    # These two end the whole session, though Django makes InternalErrors of them.
    "25P03": ErrorClass.CONNECTION,  # idle_in_transaction_session_timeout
    "25P04": ErrorClass.CONNECTION,  # transaction_timeout
    "25006": ErrorClass.ROLE,  # read_only_sql_transaction: this server is no primary (any more)
    "23505": ErrorClass.CONDITIONAL,  # unique_violation
    "23P01": ErrorClass.CONDITIONAL,  # exclusion_violation
}
_SQLSTATE_PREFIX = {"08": ErrorClass.CONNECTION, "53": ErrorClass.CAPACITY}

# A COMMIT answered with one of these was surely not done, though the session is gone: the server ended it while it
# was waiting for the client.
ENDED_WHILE_IDLE = frozenset({"25P03", "57P05"})

_MYSQL = {
    1213: ErrorClass.CONFLICT,  # deadlock; the whole transaction was rolled back
    1205: ErrorClass.LOCK_WAIT,  # lock wait timeout; only the statement was rolled back
    3572: ErrorClass.LOCK_WAIT,  # NOWAIT
    1053: ErrorClass.CONNECTION,  # server shutdown in progress
    1927: ErrorClass.CONNECTION,  # connection was killed
    2002: ErrorClass.CONNECTION,
    2003: ErrorClass.CONNECTION,
    2006: ErrorClass.CONNECTION,  # server has gone away
    2013: ErrorClass.CONNECTION,  # lost connection during query
    2055: ErrorClass.CONNECTION,
    4031: ErrorClass.CONNECTION,  # closed for inactivity
    1290: ErrorClass.ROLE,  # --read-only
    1836: ErrorClass.ROLE,
    1040: ErrorClass.CAPACITY,  # too many connections
    1203: ErrorClass.CAPACITY,
    1226: ErrorClass.CAPACITY,
    1062: ErrorClass.CONDITIONAL,  # duplicate entry
}

_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
_SQLITE = {
    517: ErrorClass.CONFLICT,  # SQLITE_BUSY_SNAPSHOT: only a new transaction sees what it needs to see
    2067: ErrorClass.CONDITIONAL,  # SQLITE_CONSTRAINT_UNIQUE
    1555: ErrorClass.CONDITIONAL,  # SQLITE_CONSTRAINT_PRIMARYKEY
}

# Texts are consulted only for errors without a code. PostgreSQL's while connecting, in English:
CAPACITY_TEXTS = (
    "too many clients already",
    "remaining connection slots",
    "too many connections for",
)
AUTHORITATIVE_TEXTS = (
    "no password supplied",
    "no pg_hba.conf entry",
    "authentication failed",
    "does not exist",
    "is not permitted to log in",
    "permission denied for database",
    "is not currently accepting connections",
    "does not support ssl",
    "certificate verify failed",
    "unsupported frontend protocol",
)
# psycopg's own, never translated: it saw the socket hang up before libpq did, whose connection still looks well.
HUNG_UP_TEXTS = ("connection socket closed",)
# Drivers' while a connection was open, for an error whose connection could not be found.
BROKEN_TEXTS = (
    "server closed the connection",
    "connection is closed",
    "connection is lost",
    "connection already closed",
    "connection not open",
    "connection reset",
    "broken pipe",
    "could not receive data from server",
    "could not send data to server",
    "ssl connection has been closed",
    "eof detected",
    "server has gone away",
    "lost connection",
)


def of_sqlstate(code: str) -> ErrorClass:
    """The class of a five-character SQLSTATE. 57014 (a statement timeout) is never repeated: it would time out again."""
    return _SQLSTATE.get(code) or _SQLSTATE_PREFIX.get(code[:2], ErrorClass.NEVER)


def of_mysql(number: int) -> ErrorClass:
    """The class of a MySQL or MariaDB error number."""
    return _MYSQL.get(number, ErrorClass.NEVER)


def of_sqlite(number: int) -> ErrorClass:
    """The class of an (extended) SQLite result code."""
    if number in _SQLITE:
        return _SQLITE[number]
    return ErrorClass.LOCK_WAIT if number & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED) else ErrorClass.NEVER
