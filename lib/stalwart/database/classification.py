"""What kind of failure a database error is, read from codes, and from text only where the driver gives no code.

Django wraps the driver's error, so the code is on `__cause__`: `sqlstate` (psycopg), `sqlite_errorcode` (sqlite3), the
first argument (MySQL drivers). Errors while connecting never carry one with psycopg, nor does a connection that broke;
for these the state of the driver's connection decides first, and known texts of the server after that.

Two traps that the walk over `__context__` closes: the reconnect error that `Atomic.__exit__` lets out masks the failed
COMMIT below it, and a handled error of long ago (an IntegrityError that a `get_or_create` swallowed) must not be taken
for the failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from stalwart.database.codes import (
    AUTHORITATIVE_TEXTS,
    BROKEN_TEXTS,
    CAPACITY_TEXTS,
    HUNG_UP_TEXTS,
    ErrorClass,
    of_mysql,
    of_sqlite,
    of_sqlstate,
)
from stalwart.database.origin import Origin, Site, origin_of

__all__ = ["Classification", "ErrorClass", "Vendor", "chain", "classify", "failures"]

_DRIVERS = ("psycopg", "psycopg2", "sqlite3", "MySQLdb", "pymysql", "mysql")


class Vendor(Enum):
    """Whose code it is."""

    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"
    MYSQL = "mysql"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Classification:
    """What is known of one database error.

    Attributes:
        error: the exception as it came (Django's, or the driver's where no Django was in between).
        error_class: what kind of failure it is.
        code: SQLSTATE, SQLite's name or MySQL's number as text; None where there is none.
        connection_lost: the session is gone; the connection object is of no use until it is closed and opened again.
        unsent: the driver refused before anything went to the server, so the statement surely was not done.
        origin: where in Django it was raised.
    """

    error: BaseException
    error_class: ErrorClass
    code: str | None
    connection_lost: bool
    unsent: bool
    origin: Origin


def chain(error: BaseException, until: BaseException | None = None) -> Iterator[BaseException]:
    """`error`, then everything it was raised from or during, newest first, each once.

    Args:
        error: where to begin.
        until: an exception that was being handled before all of this began; it and what lies behind it are left out.
    """
    waiting, seen = [error], {id(until)} if until is not None else set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        # The cause is looked at first: it is the driver's half of the same error, the context what happened before.
        waiting += [link for link in (current.__context__, current.__cause__) if link is not None]


def failures(error: BaseException, until: BaseException | None = None) -> list[Classification]:
    """All database errors in the chain of `error`, newest first; the driver's half of a Django error is not repeated."""
    found: list[Classification] = []
    halves: set[int] = set()
    for link in chain(error, until):
        if id(link) in halves or not is_database_error(link):
            continue
        if link.__cause__ is not None and is_database_error(link.__cause__):
            halves.add(id(link.__cause__))
        found.append(_classify_one(link))
    return found


def classify(error: BaseException, until: BaseException | None = None) -> Classification | None:
    """The failure that `error` stands for, None when no database error is in it.

    It is the newest one, except that an error without a code about a connection that is gone (or cannot be had) only
    repeats what an older one of the kind said first.
    """
    known = failures(error, until)
    if not known:
        return None
    chosen = known[0]
    for older in known[1:]:
        masked = chosen.code is None and chosen.error_class is ErrorClass.CONNECTION
        if not (masked and older.connection_lost):
            break
        chosen = older
    return chosen


def is_database_error(error: BaseException) -> bool:
    """Whether it is Django's database error or a driver's own."""
    return any(
        base.__name__ == "Error"
        and (base.__module__ == "django.db.utils" or base.__module__.split(".")[0] in _DRIVERS)
        for base in type(error).__mro__
    )


def _classify_one(error: BaseException) -> Classification:
    origin = origin_of(error)
    driver_error = (
        error.__cause__ if error.__cause__ is not None and is_database_error(error.__cause__) else error
    )
    vendor, code = _code(driver_error)
    text = str(driver_error).strip()
    # psycopg's own constant, never translated: it looked at the connection's state and did not send.
    unsent = vendor is Vendor.POSTGRESQL and code is None and text == "the connection is closed"
    if code is None:
        error_class = _without_code(driver_error, text, origin)
        lost = error_class is ErrorClass.CONNECTION or (
            error_class is not ErrorClass.NEVER and origin.site is Site.CONNECT
        )
    elif vendor is Vendor.SQLITE:
        error_class, lost = of_sqlite(int(code)), False
        code = getattr(driver_error, "sqlite_errorname", code)
    elif vendor is Vendor.MYSQL:
        error_class = of_mysql(int(code))
        lost = error_class is ErrorClass.CONNECTION
    else:
        error_class = of_sqlstate(code)
        lost = error_class is ErrorClass.CONNECTION or (
            error_class is ErrorClass.AMBIGUOUS and origin.driver_is_dead
        )
    return Classification(error, error_class, code, lost, unsent, origin)


def _code(driver_error: BaseException) -> tuple[Vendor, str | None]:
    """The code of a driver's error. None also where the driver has codes and this error brought none."""
    module = type(driver_error).__module__.split(".")[0]
    sqlstate = getattr(driver_error, "sqlstate", None) or getattr(driver_error, "pgcode", None)
    if sqlstate and not module.startswith(("mysql", "pymysql", "MySQLdb")):
        return Vendor.POSTGRESQL, str(sqlstate)
    number = getattr(driver_error, "sqlite_errorcode", None)
    if isinstance(number, int):
        return Vendor.SQLITE, str(number)
    if module in ("MySQLdb", "pymysql", "mysql"):
        first = driver_error.args[0] if driver_error.args else None
        return Vendor.MYSQL, str(first) if isinstance(first, int) and first > 0 else None
    if module.startswith("psycopg"):
        return Vendor.POSTGRESQL, None
    return Vendor.UNKNOWN, None


def _without_code(driver_error: BaseException, text: str, origin: Origin) -> ErrorClass:
    names = {base.__name__ for base in type(driver_error).__mro__}
    if names & {"PoolTimeout", "TooManyRequests"}:  # psycopg_pool: no free connection in time, queue full
        return ErrorClass.CAPACITY
    if not names & {"OperationalError", "InterfaceError"}:
        return ErrorClass.NEVER
    lowered = text.lower()
    connecting = origin.site is Site.CONNECT or getattr(driver_error, "pgconn", None) is not None
    if connecting:
        if any(known in lowered for known in CAPACITY_TEXTS):
            return ErrorClass.CAPACITY
        # A wrong password stays wrong: waiting for a usable connection would only hide it for a while. Any other text,
        # known or in another language, is taken for an outage: while connecting nothing was begun, so a repeat is safe.
        return (
            ErrorClass.NEVER
            if any(known in lowered for known in AUTHORITATIVE_TEXTS)
            else ErrorClass.CONNECTION
        )
    if origin.driver is not None:
        # psycopg also raises code-less OperationalErrors on a healthy connection (more than 65,535 parameters).
        hung_up = lowered in HUNG_UP_TEXTS
        return ErrorClass.CONNECTION if origin.driver_is_dead or hung_up else ErrorClass.NEVER
    return ErrorClass.CONNECTION if any(known in lowered for known in BROKEN_TEXTS) else ErrorClass.NEVER
