"""Getting a usable connection again after one was lost.

Three quick repeats do not outlive an outage of seconds, so a repeat waits until the database answers. The waits between
the attempts are short and jittered: the first answer after an outage should not be missed by long, and not all workers
should knock at once. With PostgreSQL and psycopg 3 an attempt waits for a reply of the server, or for a connection of a pool,
no longer than half of the time that is left; with other drivers it takes as long as the driver lets it, so set a connect
time-out there.

A wait holds a thread of the application. When waits have often been in vain of late, the outage is a long one, and a
circuit ("database:default") ends them at once: the one attempt is still made, so nothing is refused that would have worked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from stalwart.database import overdue, reply_limit
from stalwart.database.classification import classify
from stalwart.database.codes import ErrorClass
from stalwart.database.driver import holds_something
from stalwart.database.health import demoted
from stalwart.exceptions import CircuitOpen, ConfigurationError
from stalwart.policies.backoff import Backoff
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.deadline import Deadline
from stalwart.policies.guard import Guard

BETWEEN_ATTEMPTS = Backoff(base=0.02, multiplier=1.5, cap=0.15)


class Reconnection:
    """The attempts to have one connection usable again. Not for use inside an atomic block.

    Args:
        connection: Django's.
        broken: the driver's connection that failed, if known. When Django has another one by now (leaving `atomic`
            reconnects by itself), that one is asked before it is replaced.
        deadline: no wait is begun that does not fit, and it limits how long an attempt waits for the server.
        writable: a server that only reads (a demoted primary, a standby) does not count as usable.
        random: numbers in [0, 1).
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        *,
        broken: object,
        deadline: Deadline,
        writable: bool,
        random: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.attempts = 0
        self.refusal: CircuitOpen | None = None
        self._broken = broken
        self._deadline = deadline
        self._writable = writable
        self._random = random
        self._clock = clock
        self._began = clock()
        self._hopeless = False
        self._guard: Guard | None = None

    @property
    def seconds(self) -> float:
        """Since the first attempt was asked for."""
        return self._clock() - self._began

    def attempt(self) -> bool:
        """Have a connection and ask it for an answer; whether one came. Blocks; needs the connection's own thread."""
        self.attempts += 1
        at_hand = self.connection.connection
        if (
            self.attempts > 1
            or self._writable
            or at_hand is self._broken
            or getattr(at_hand, "closed", False)
        ):
            close_quietly(self.connection)
        overdue.attach(self.connection)
        try:
            with reply_limit.until(self._deadline, self.connection.alias):
                self.connection.ensure_connection()
                if self.connection.is_usable():
                    if not self._writable or _takes_writes(self.connection):
                        self._waited_for(None)
                        return True
                    # Else its pool would hand out the same ones again, for as long as we ask.
                    demoted(self.connection, "a new connection takes no writes")
        except Error as error:
            known = classify(error)
            # A password that is wrong now will be wrong in a second, too.
            self._hopeless = known is None or known.error_class is ErrorClass.NEVER
        close_quietly(self.connection)
        return False

    def next_wait(self) -> float | None:
        """Seconds to wait before the next attempt, None if there is none."""
        if self._hopeless:
            return None
        if self._guard is None:
            guard = _circuit(self.connection.alias).guard()
            try:
                guard.__enter__()
            except CircuitOpen as refusal:
                self.refusal = refusal
                return None
            self._guard = guard
        wait = BETWEEN_ATTEMPTS.wait(self.attempts, self._random)
        if self._deadline.fits(wait):
            return wait
        self._waited_for(TimeoutError("no usable connection in time"))
        return None

    def why(self) -> str:
        """Why there is no usable connection, for a note on the error."""
        if self.refusal is not None:
            return (
                f"no usable connection to {self.connection.alias!r}; circuit {self.refusal.name!r} is open, so nobody waits "
                f"for one during the next {self.refusal.retry_after:.1f} s"
            )
        return f"no usable connection to {self.connection.alias!r} after {self.attempts} attempts in {self.seconds:.1f} s"

    def _waited_for(self, error: Exception | None) -> None:
        """Tell the circuit how a wait has ended, if there was one."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.__exit__(None if error is None else type(error), error, None)


def _circuit(alias: str) -> CircuitBreaker:
    """The circuit over the waits for a database; whoever has configured one of that name keeps it so."""
    name = f"database:{alias}"
    with suppress(ConfigurationError):
        return CircuitBreaker(name, minimum_calls=5, window=20, probes=1)
    return CircuitBreaker(name)


def close_quietly(connection: BaseDatabaseWrapper) -> None:
    """Close a connection that may be broken already; closing a dead one can fail, and that is no news."""
    try:
        connection.close()
    except Error:
        connection.connection = None


def give_back(connection: BaseDatabaseWrapper) -> None:
    """Return a connection to its pool while nobody needs it, unless its session holds a cursor, lock or table of the caller.

    Without a pool it stays open: to connect anew would cost more than a slot that is idle for a moment. Outside
    transactions only.
    """
    if getattr(connection, "pool", None) is None or connection.connection is None:
        return
    try:
        if not holds_something(connection):
            connection.close()
    except Error:
        close_quietly(connection)


def _takes_writes(connection: BaseDatabaseWrapper) -> bool:
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'")
        return bool(cursor.fetchone()[0])
