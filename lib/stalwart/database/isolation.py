"""Psycopg's side of a transaction: isolation levels, and what its connections and cursors tell about themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.exceptions import ConfigurationError

# What the server reports of a session without being asked; search_path since PostgreSQL 18.
_REPORTED = (
    b"search_path",
    b"session_authorization",
    b"is_superuser",
    b"TimeZone",
    b"DateStyle",
    b"IntervalStyle",
)

_KEPT = "_stalwart_traits"
LEVELS = ("read committed", "repeatable read", "serializable")


@cache
def is_psycopg3() -> bool:
    """Whether Django's PostgreSQL backend runs on psycopg 3."""
    try:
        from django.db.backends.postgresql.psycopg_any import is_psycopg3
    except ImportError:  # no driver at all
        return False
    return bool(is_psycopg3)


def check(level: str | None) -> str | None:
    """The level in small letters.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if level is None:
        return None
    plain = str(getattr(level, "name", level)).replace("_", " ").lower()
    if plain not in LEVELS:
        raise ConfigurationError(f"isolation is {level!r}; use one of {', '.join(map(repr, LEVELS))}")
    return plain


def set_level(connection: BaseDatabaseWrapper, level: str, before: Any) -> Any:
    """Have the next BEGIN ask for the level, at no round trip. Returns what to hand to `restore`.

    Args:
        connection: open, and in no transaction.
        level: one of `LEVELS`. SQLite knows only serializable, which is all of them.
        before: what an earlier call returned, None at the first.
    """
    if connection.vendor == "sqlite":
        return None
    if connection.vendor != "postgresql" or not is_psycopg3():
        raise ConfigurationError(
            f"isolation={level!r} is not built for {connection.display_name}; set it in DATABASES[...]['OPTIONS']"
        )
    from psycopg import IsolationLevel

    driver: Any = connection.connection
    if before is None:
        before = (driver.isolation_level,)
    wanted = IsolationLevel[level.replace(" ", "_").upper()]
    if driver.isolation_level != wanted:
        driver.isolation_level = wanted
    return before


def is_serializable(connection: BaseDatabaseWrapper, level: str | None) -> bool:
    """Whether a transaction that was begun with this level (None: that of the settings) is serializable."""
    if level is not None:
        return level == "serializable"
    return getattr(getattr(connection, "isolation_level", None), "name", "") == "SERIALIZABLE"


def restore(connection: BaseDatabaseWrapper, before: Any) -> None:
    """Set the session's level back; a session that is gone needs none."""
    driver: Any = connection.connection
    if before is None or driver is None or driver.closed or has_failed(driver):
        return
    if driver.isolation_level != before[0] and not driver.info.transaction_status:
        driver.isolation_level = before[0]


def traits(driver: Any) -> tuple[bytes | None, ...] | None:
    """What is known, without asking, of a session's own settings, also of a lost one; None once its memory is freed."""
    if driver is None:
        return None
    if driver.pgconn.pgconn_ptr is None:
        kept: tuple[bytes | None, ...] | None = driver.__dict__.get(_KEPT)
        return kept
    status = driver.pgconn.parameter_status
    return tuple(status(name) for name in _REPORTED)


def keep_traits(driver: Any) -> None:
    """Keep them beyond the moment in which its memory is freed: for whoever is about to do that."""
    driver.__dict__[_KEPT] = traits(driver)


def differences(before: tuple[bytes | None, ...] | None, after: tuple[bytes | None, ...] | None) -> list[str]:
    """The names of the settings in which two sessions differ; all of them, where one is not known."""
    if before is None or after is None:
        return [name.decode() for name in _REPORTED]
    return [name.decode() for name, old, new in zip(_REPORTED, before, after, strict=True) if old != new]


def has_failed(driver: Any) -> bool:
    """Whether the server refuses everything in this transaction but its end."""
    return bool(driver.pgconn.transaction_status == 3)  # INERROR


def can_ride(cursor: Any) -> bool:
    """Whether a question for the transaction's id can go in front of a statement of this cursor, in the same message."""
    if not isinstance(cursor, _client_cursor()) or cursor.format != 0:
        return False  # it does not send its text as it is, so that must not hold two statements
    pgconn: Any = cursor.connection.pgconn
    if pgconn.pipeline_status:
        return False  # nor there; and the answer comes only when nobody waits for it
    # A standby gives no ids: its refusal would hide the statement's own.
    return bool(pgconn.parameter_status(b"in_hot_standby") != b"on")


@cache
def _client_cursor() -> type[Any]:
    from psycopg import ClientCursor

    return ClientCursor
