"""The errors of Stalwart.

    StalwartError                   root of everything below
    ├── ConfigurationError          a setting or an argument makes no sense (also a ValueError)
    ├── CommitOutcomeUnknown        a write was sent, its answer was lost: done or not, nobody here knows
    ├── ReplayMismatch              a replayed transaction saw other data than its body had seen; nothing was written
    ├── TransactionLost             a transaction's block ended well, and yet nothing was written
    ├── RetryInsideTransaction      a call that would have to be repeated was made inside somebody else's transaction
    ├── CircuitOpen                 the dependency was not called at all: its circuit is open
    └── BulkheadFull                the dependency was not called at all: too many calls of it are under way

None of them is a `django.db.DatabaseError`, on purpose: an application's own `except OperationalError: try again`
must not catch an unknown outcome and write a second time. When Stalwart merely gives up on repeating, it raises the
database's own error as it came, with a note (`__notes__`) that tells calls and waits.

All of them can be pickled, so that they survive a process pool or a task queue.
"""

from __future__ import annotations


class StalwartError(Exception):
    """Root of all errors that Stalwart raises by itself."""


class ConfigurationError(StalwartError, ValueError):
    """A setting or argument has a value that cannot work; the message names the value and what is accepted."""


class CommitOutcomeUnknown(StalwartError):
    """The connection was lost while a COMMIT, or a write in autocommit mode, was under way.

    The database may have done it or not. Repeating blindly could write twice, so Stalwart does not.

    Args:
        alias: name of the database in `settings.DATABASES`.
        xid: the server's id of the transaction if it is known, else None.
        during: what was under way, "COMMIT" or the first word of the statement.
    """

    def __init__(self, alias: str, xid: int | None = None, during: str = "COMMIT") -> None:
        super().__init__(alias, xid, during)
        self.alias = alias
        self.xid = xid
        self.during = during

    def __str__(self) -> str:
        number = "" if self.xid is None else f" (transaction id {self.xid})"
        return (
            f"the connection to database {self.alias!r} was lost during {self.during}{number}: the write is done or not, "
            "and the reply that would tell is gone. Look whether its rows are there before you repeat it; a unique key "
            "that the caller chooses makes repeating safe."
        )


class ReplayMismatch(StalwartError):
    """A replayed statement gave another result than the body of the transaction had seen; nothing was written.

    Args:
        statement: the SQL text, without parameters and other values.
        position: its number in the transaction, from 1.
    """

    def __init__(self, statement: str, position: int) -> None:
        super().__init__(statement, position)
        self.statement = statement
        self.position = position

    def __str__(self) -> str:
        return (
            f"statement {self.position} of the replayed transaction gave another result than before: {self.statement!r}. "
            "Nothing was written. Run the whole operation again, so that it decides on the new data."
        )


class TransactionLost(StalwartError):
    """The body of a transaction ended without an error, but its transaction was gone by then; nothing was written.

    Django's own `atomic` ends without a word in these cases.

    Args:
        alias: name of the database in `settings.DATABASES`.
        reason: what had happened inside the block.
    """

    def __init__(self, alias: str, reason: str) -> None:
        super().__init__(alias, reason)
        self.alias = alias
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"nothing was written to database {self.alias!r}, although the block ended without an error: {self.reason}. "
            "Keep connections open inside the block, and catch database errors only around an inner atomic() of their "
            "own; to roll back on purpose, call transaction.set_rollback(True) or raise."
        )


class RetryInsideTransaction(StalwartError, RuntimeError):
    """A function under `database_retry` was called inside an outer transaction; it was not run.

    An error in there ends the whole transaction, so that a repeat from its middle can never succeed.

    Args:
        function: what was called.
        alias: name of the database, in `settings.DATABASES`, on which the transaction is open.
    """

    def __init__(self, function: str, alias: str) -> None:
        super().__init__(function, alias)
        self.function = function
        self.alias = alias

    def __str__(self) -> str:
        return (
            f"database_retry did not call {self.function}: a transaction is open on database {self.alias!r}, and an error in "
            "there ends all of it, so a repeat from the middle cannot succeed. Put the decorator around the outermost "
            "function, outside its atomic(); with ATOMIC_REQUESTS, use RequestRetryMiddleware, or mark the view with "
            "transaction.non_atomic_requests. A function that has nothing to do with that database names its own: using=..."
        )


class CircuitOpen(StalwartError):
    """A call was refused because its dependency has failed too often of late.

    Args:
        name: of the circuit.
        retry_after: seconds until the next probe may be let through; infinite when somebody forced the circuit open.
    """

    # No __init__, and properties over `args`: a refusal must cost next to nothing, a Python frame would double it.

    @property
    def name(self) -> str:
        """Name of the circuit."""
        return str(self.args[0])

    @property
    def retry_after(self) -> float:
        """Seconds until the next probe may be let through."""
        return float(self.args[1])

    def __str__(self) -> str:
        if self.retry_after == float("inf"):
            return (
                f"circuit {self.name!r} was forced open: the call was not made. Answer without it; "
                f"`CircuitBreaker({self.name!r}).reset()` lets calls through again."
            )
        return (
            f"circuit {self.name!r} is open: the call was not made. Answer without it, or try again in "
            f"{self.retry_after:.1f} s."
        )


class BulkheadFull(StalwartError):
    """A call was refused because as many calls as the bulkhead allows are under way.

    Args:
        name: of the bulkhead.
        limit: calls that it allows at the moment.
    """

    @property
    def name(self) -> str:
        """Name of the bulkhead."""
        return str(self.args[0])

    @property
    def limit(self) -> int:
        """Calls that it allowed when it refused this one."""
        return int(self.args[1])

    def __str__(self) -> str:
        return (
            f"bulkhead {self.name!r} is full: {self.limit} calls are under way, this one was not made. Answer without it, "
            "or try again when some are done."
        )
