"""COMMIT under `database_retry`: when its reply is lost, the server is asked what became of the transaction.

The error of a lost COMMIT leaves the function's own `atomic` block, and with it the value that the function would have
returned. So it is settled before it is raised: in the place of the connection's `_commit`. A transaction that is
committed ends as if the reply had come; the error of one that surely is not bears a mark, and the call may be repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart import django_conf
from stalwart.database import isolation
from stalwart.database.commit import Committing
from stalwart.database.marker import row
from stalwart.database.outcome import Ticket, incarnation
from stalwart.database.recovery import BlockPlan
from stalwart.policies.backoff import Backoff

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]

NOT_COMMITTED = "_stalwart_not_committed"
"""Name of the attribute of a COMMIT's error that is known to have written nothing."""

_NAME = "_commit"
# Rides in front of the first statement that writes, in the same message, and so costs no round trip.
_RIDE = "SELECT pg_current_xact_id(); "
# The repeats are the caller's; this only settles.
_PLAN = BlockPlan(
    max_retries=0,
    isolation=None,
    verify=False,
    durable=False,
    backoff=Backoff(base=0.005, multiplier=1.5, cap=0.5),
    random=random.random,
    clock=time.monotonic,
    sleep=time.sleep,
)


class Settling:
    """In the place of one connection's `_commit` while decorated calls use it.

    Args:
        connection: Django's.
        wrote: whether a decorated call has seen itself write in the transaction that is going on. One that nobody saw
            writing is committed as ever: COPY, say, passes unseen.
    """

    def __init__(self, connection: BaseDatabaseWrapper, wrote: Callable[[BaseDatabaseWrapper], bool]) -> None:
        self._connection = connection
        self._wrote = wrote
        self._ticket: Ticket | None = None

    @staticmethod
    def install(connection: BaseDatabaseWrapper, wrote: Callable[[BaseDatabaseWrapper], bool]) -> None:
        """Put it in place where it can be of use and nothing of ours is there."""
        if connection.vendor == "postgresql" and isolation.is_psycopg3():
            connection.__dict__.setdefault(_NAME, Settling(connection, wrote))

    @staticmethod
    def remove(connection: BaseDatabaseWrapper) -> None:
        """Take it away again."""
        if Settling.of(connection) is not None:
            del connection.__dict__[_NAME]

    @staticmethod
    def of(connection: BaseDatabaseWrapper) -> Settling | None:
        """The one in place; None inside a resilient block, too, which settles its own COMMIT."""
        found = connection.__dict__.get(_NAME)
        return found if isinstance(found, Settling) else None

    def first_write(
        self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Run the first statement of a transaction that writes, and learn the transaction's id with it."""
        self._ticket = None
        token = incarnation(self._connection)  # asks the server once per session
        if django_conf.current().database.commit_marker and row.find(self._connection) is None:
            raise row.missing(self._connection)
        cursor = context["cursor"]
        if not self._rides(cursor.cursor, sql, many=many):
            return execute(sql, params, many, context)  # the id is asked for before COMMIT
        result = execute(_RIDE + sql, params, many, context)
        driver_cursor = cursor.cursor
        self._ticket = self._make_ticket(driver_cursor.pgresult.get_value(0, 0), token)
        driver_cursor.nextset()
        return result

    def __call__(self) -> None:
        """COMMIT."""
        ticket, self._ticket = self._ticket, None
        connection: Any = self._connection
        if self._wrote(connection):
            _Settlement(connection, ticket, incarnation(connection)).commit()
        else:
            type(connection)._commit(connection)

    def _rides(self, cursor: Any, sql: Any, *, many: bool) -> bool:
        return not many and isinstance(sql, str) and isolation.can_ride(cursor)

    def _make_ticket(self, xid: bytes, token: str) -> Ticket:
        driver: Any = self._connection.connection
        return Ticket(int(xid), driver.pgconn.backend_pid, token)


class _Settlement(Committing):
    """One COMMIT. What a resilient block does about it, without the replay."""

    def __init__(self, connection: BaseDatabaseWrapper, ticket: Ticket | None, token: str) -> None:
        super().__init__(connection, _PLAN, "database_retry", django_conf.current().database, replays=False)
        self._ticket = ticket
        self._token = token
        self._wrote = True
        if self._marks:
            self._marker_table = row.find(connection)

    def commit(self) -> None:
        """See above."""
        sent = False
        try:
            self._fetch_id()
            sent = True
            self._send_commit()
        except Error as error:
            self._resolved(error, sent=sent)

    def _once_more(self, error: Exception) -> bool:
        # Asked for a COMMIT that is surely not done.
        error.__dict__[NOT_COMMITTED] = True
        return False

    def _give_up(self, error: BaseException) -> None:
        pass  # there is no block that would have to be told
