"""What was seen of each database by the way, and what follows when it turns out to be the wrong server.

Every error of a driver passes `connection.wrap_database_errors` on its way to becoming Django's, be it of a connect, a
statement, a fetch or a COMMIT. `Watching` stands in its place and counts there: while all goes well it does just what
Django's own does, so it costs nothing.

A server that was demoted still answers `SELECT 1`, and its sessions live on: an application that keeps them fails with every
write until somebody restarts it. So a refusal to write (25006), or a probe that finds another role than before, makes all
connections obsolete that are open by then:

* the refused one counts as lost: it is closed at its next use outside a transaction, unless its session holds something;
* idle ones of a pool are closed at once, others of it when they come back (`ConnectionPool.drain`);
* persistent ones of other threads are closed by their next `close_old_connections()`, which Django calls around every
  request. Not in the midst of one: a session that has not failed may hold what a new one has not (settings for row-level
  security, an advisory lock, the rows of `iterator()`). A worker that never calls it has one failing write, as above.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper, Error

from stalwart import django_conf, events
from stalwart.database.classification import failures
from stalwart.database.codes import TRANSIENT, ErrorClass
from stalwart.database.driver import holds_something
from stalwart.policies.shared import Shared

logger = logging.getLogger("stalwart.database")

# All connections at once, so not with every write that fails: a server that stays demoted would be stormed.
BETWEEN_INVALIDATIONS = 5.0

_BEFORE_USE = "close_if_health_check_failed"
_WITHOUT_CONNECTION = frozenset({ErrorClass.CONNECTION, ErrorClass.CAPACITY, ErrorClass.ROLE})
_COUNTED = TRANSIENT | {ErrorClass.AMBIGUOUS}
# Mistakes and answers, which say nothing of the database; frequent, so told apart before anything is looked at.
_ANSWERS = ("IntegrityError", "DataError", "ProgrammingError", "NotSupportedError")
# What PostgreSQL 14 and later tell of their role without being asked.
_ROLE_PARAMETERS = (b"in_hot_standby", b"default_transaction_read_only")


@dataclass(frozen=True, slots=True)
class Failures:
    """Errors of one database that the threads of this process met and that pass by themselves; since the process began.

    Attributes:
        count: how many.
        consecutive: how many since a connection was last opened, of those that leave no usable one: the connection was
            lost or not to be had, the server is full or takes no writes.
        by_class: how many of each `ErrorClass`, by its word.
        last_class, last_error, last_code: of the latest: the word, the name of the driver's exception, SQLSTATE or the like.
        last_at: when that was, seconds since the epoch.
    """

    count: int = 0
    consecutive: int = 0
    by_class: dict[str, int] = field(default_factory=dict)
    last_class: str | None = None
    last_error: str | None = None
    last_code: str | None = None
    last_at: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict."""
        return asdict(self)


class Health:
    """What was seen of one database. Counts under a lock; nothing is counted while all goes well.

    Args:
        alias: name of the database.
        clock: seconds, monotonic.

    Attributes:
        happened: how many of the library's events there were, by the kind of the record.
    """

    shared: ClassVar[Shared[Health]] = Shared("database's health")

    def __init__(self, alias: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.alias = alias
        self.happened: Counter[str] = Counter()
        self._clock = clock
        self._lock = (
            threading.RLock()
        )  # a signal's handler may come in between, and fail at the database, too
        self._by_class: Counter[str] = Counter()
        self._consecutive = 0
        self._last: tuple[str | None, str | None, str | None, float | None] = (None, None, None, None)
        self._seen_at = float("-inf")
        self._invalidated_at = float("-inf")

    @classmethod
    def of(cls, alias: str) -> Health:
        """The one of that database."""
        return cls.shared.get(alias, partial(cls, alias))

    def failed(self, error_class: ErrorClass, error: BaseException, code: str | None) -> None:
        """Count an error."""
        with self._lock:
            self._by_class[error_class.value] += 1
            if error_class in _WITHOUT_CONNECTION:
                self._consecutive += 1
                _failing.add(self.alias)
            self._last = (error_class.value, type(error).__name__, code, time.time())
            self._seen_at = self._clock()

    def opened(self) -> None:
        """A connection was opened."""
        with self._lock:
            _failing.discard(self.alias)
            self._consecutive = 0

    def count(self, kind: str) -> None:
        """Count an event."""
        with self._lock:
            self.happened[kind] += 1

    def failed_since(self, moment: float) -> bool:
        """Whether an error was counted after that moment of the clock."""
        return self._seen_at > moment

    def failures(self) -> Failures:
        """The errors so far."""
        with self._lock:
            by_class = dict(self._by_class)
            return Failures(sum(by_class.values()), self._consecutive, by_class, *self._last)

    def invalidate(self, reason: str) -> bool:
        """Make every connection that is open now obsolete; whether that was done, which it is not twice in five seconds."""
        with self._lock:
            if self._clock() - self._invalidated_at < BETWEEN_INVALIDATIONS:
                return False
            self._invalidated_at = self._clock()
        marked = 0
        for connection in known_connections(self.alias):
            # Also one that is being opened right now: it may have reached the old server. One that begins to connect
            # after this sets the attribute anew.
            marked += connection.connection is not None
            connection.close_at = 0.0
        pool = pools().get(self.alias)
        if pool is not None and hasattr(pool, "drain"):  # psycopg_pool 3.3; a system check asks for it
            pool.drain()
        events.emit(events.ConnectionsInvalidated("stalwart.database.health", self.alias, reason, marked))
        return True


class Watching(DatabaseErrorWrapper):
    """In the place of a connection's `wrap_database_errors`: counts the errors that it hands on."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self._connection = connection

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is None:
            return
        _saw(self._connection, exc_value)
        super().__exit__(exc_type, exc_value, traceback)


def pools() -> dict[str, Any]:
    """Django's connection pools of this process, by alias; those that nobody has asked for yet do not exist."""
    base = sys.modules.get("django.db.backends.postgresql.base")
    found: dict[str, Any] = getattr(getattr(base, "DatabaseWrapper", None), "_connection_pools", {})
    return found


_failing: set[str] = set()  # databases whose connections failed since one was last opened
_known: dict[int, weakref.ref[BaseDatabaseWrapper]] = {}


def known_connections(alias: str | None = None) -> list[BaseDatabaseWrapper]:
    """Django's connection objects of all threads, of one database or of all."""
    found = [reference() for reference in list(_known.values())]
    return [each for each in found if each is not None and alias in (None, each.alias)]


def prepare(connection: BaseDatabaseWrapper) -> None:
    """Watch a connection object, before it connects for the first time."""
    key = id(connection)
    _known[key] = weakref.ref(connection, lambda _: _known.pop(key, None))
    vars(connection)["wrap_database_errors"] = Watching(connection)


def attach(connection: BaseDatabaseWrapper) -> None:
    """It has connected, or was given one by its pool: so this is in the way of every request."""
    if id(connection) not in _known:  # made by other means than `django.db.connections`
        prepare(connection)
    if connection.alias in _failing:
        Health.of(connection.alias).opened()


def detach(connection: BaseDatabaseWrapper) -> None:
    """Watch it no longer."""
    _known.pop(id(connection), None)
    vars(connection).pop(_BEFORE_USE, None)
    if isinstance(vars(connection).get("wrap_database_errors"), Watching):
        del vars(connection)["wrap_database_errors"]  # Django makes its own again when it needs one


_undo: Callable[[], None] | None = None


def listen() -> None:
    """Count what the library does as well; calling it again changes nothing."""
    global _undo
    if _undo is None:
        _undo = events.subscribe(_happened)


def ignore() -> None:
    """Stop counting, in all threads."""
    global _undo
    if _undo is not None:
        _undo()
        _undo = None


def renew() -> None:
    """Begin anew, in a forked child: another thread of the parent may have held a lock at that moment."""
    Health.shared = Shared("database's health")
    _failing.clear()


def demoted(connection: BaseDatabaseWrapper, reason: str) -> None:
    """The server that an open connection leads to takes no writes: this connection, and all older ones, are obsolete."""
    connection.close_at = 0.0
    driver: Any = connection.connection
    if hasattr(driver, "_expire_at"):
        # Its pool closes it when it comes back, as one that has reached its `max_lifetime`.
        driver._expire_at = 0.0
    vars(connection)[_BEFORE_USE] = partial(_leave, connection, driver)
    Health.of(connection.alias).invalidate(reason)


def _leave(connection: BaseDatabaseWrapper, driver: object) -> None:
    """In the place of `close_if_health_check_failed`, which Django calls before each cursor and each BEGIN."""
    if connection.connection is driver and (connection.in_atomic_block or not connection.autocommit):
        return  # a transaction is open: not yet
    vars(connection).pop(_BEFORE_USE, None)
    if connection.connection is not driver or driver is None:
        return
    try:
        if connection.vendor == "postgresql" and holds_something(connection):
            return  # the end of the request closes it
    except Error:
        pass  # it is gone
    connection.close()


def _happened(event: events.Event) -> None:
    alias = getattr(event, "alias", None)
    if isinstance(alias, str) and django_conf.current().database.enabled:
        Health.of(alias).count(type(event).__name__)


def _saw(connection: BaseDatabaseWrapper, error: BaseException) -> None:
    """Count an error on its way. Never raises: it would take the error's place."""
    try:
        database: Any = connection.Database  # type: ignore[attr-defined]  # every backend has it
        if (
            _undo is None
            or not isinstance(error, database.Error)  # Django's already, on its way through a second wrapper
            or isinstance(error, tuple(getattr(database, name) for name in _ANSWERS))
            or not django_conf.current().database.enabled
        ):
            return
        known = failures(error)
        if not known or known[0].error_class not in _COUNTED:
            return
        Health.of(connection.alias).failed(known[0].error_class, error, known[0].code)
        if known[0].error_class is ErrorClass.ROLE and not _asked_for(connection.connection):
            demoted(connection, f"the server refused a write ({known[0].code})")
    except Exception:
        logger.exception("an error of database %r could not be counted", connection.alias)


def _asked_for(driver: Any) -> bool:
    """Whether it was the application itself that made the transaction read only: the server's role is a writing one."""
    status = getattr(getattr(driver, "pgconn", None), "parameter_status", None)
    return status is not None and all(status(name) == b"off" for name in _ROLE_PARAMETERS)
