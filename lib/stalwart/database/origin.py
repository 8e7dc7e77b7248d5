"""Where in Django a database error was raised, read from the frames of its traceback.

This needs no hook and so costs nothing while all goes well. The frames are kept alive by the traceback and each holds its
`self`: the connection that was committing, the cursor that was executing, the driver's connection below. What this
relies on is public or very old in Django: the method names `connect`, `commit`/`_commit`, `run_and_clear_commit_hooks`
and `set_autocommit` of `BaseDatabaseWrapper`, and `Atomic.__exit__`. A test holds each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import Atomic
from django.db.utils import DatabaseErrorWrapper


class Site(Enum):
    """The place in Django."""

    CONNECT = "connecting"
    STATEMENT = "a statement"
    COMMIT = "COMMIT"
    HOOK = "an on_commit hook"
    LEAVING = "leaving an atomic block"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an error came from.

    Attributes:
        site: the place.
        connection: Django's connection, if one was in the frames.
        driver: the driver's connection (psycopg) at that time, if it was in the frames; Django's has a new one by now.
    """

    site: Site
    connection: BaseDatabaseWrapper | None = None
    driver: Any = None

    @property
    def driver_is_dead(self) -> bool:
        """Whether the driver's connection is known to be closed."""
        return self.driver is not None and bool(getattr(self.driver, "closed", False))


def origin_of(error: BaseException) -> Origin:
    """Where `error` itself was raised; what it was raised from is not looked at. The outermost known place counts."""
    site, connection, driver = Site.ELSEWHERE, None, None
    leaving = False  # the frame before was an Atomic.__exit__ whose body had gone well
    for frame in _frames(error):
        name, owner = frame.f_code.co_name, frame.f_locals.get("self")
        if isinstance(owner, BaseDatabaseWrapper):
            connection = owner
            # Django runs the hooks while it leaves the block, so that frame lies deeper and says more.
            if site is Site.ELSEWHERE or (site is Site.LEAVING and name == "run_and_clear_commit_hooks"):
                site = _site_in_wrapper(name, leaving)
        elif isinstance(owner, CursorWrapper):
            connection = owner.db
            driver = getattr(owner.cursor, "connection", driver)
            if site is Site.ELSEWHERE and name in ("_execute", "_executemany", "callproc"):
                site = Site.STATEMENT
        elif isinstance(owner, DatabaseErrorWrapper):
            connection = getattr(owner, "wrapper", connection)
        elif type(owner).__module__.startswith("psycopg"):
            driver = _psycopg_connection(owner, driver)
        leaving = isinstance(owner, Atomic) and name == "__exit__" and frame.f_locals.get("exc_type") is None
    return Origin(site, connection, driver)


def came_out_of_a_hook(error: BaseException) -> bool:
    """Whether an `on_commit` hook has raised it. Looks at no frame's variables, which would keep them alive."""
    return any(
        frame.f_code.co_name == "run_and_clear_commit_hooks"
        and frame.f_globals.get("__name__") == BaseDatabaseWrapper.__module__
        for frame in _frames(error)
    )


def statement_of(error: BaseException) -> str | None:
    """The text of the statement that was being executed; None where it was none."""
    found = None
    for frame in _frames(error):
        if isinstance(frame.f_locals.get("self"), CursorWrapper) and "sql" in frame.f_locals:
            found = str(frame.f_locals["sql"])
    return found


def let_go(failure: BaseException) -> None:
    """Let go of the frames of an error that nobody will see: with them a statement's cursor would stay until a gc."""
    for link in (failure, failure.__cause__):
        if link is not None:
            link.__traceback__ = None


def _site_in_wrapper(name: str, leaving: bool) -> Site:
    if name in ("commit", "_commit"):
        return Site.COMMIT
    if name == "run_and_clear_commit_hooks":
        return Site.HOOK
    if name == "set_autocommit" and leaving:
        return Site.LEAVING
    if name in ("connect", "ensure_connection", "get_new_connection"):
        return Site.CONNECT
    return Site.ELSEWHERE


def _psycopg_connection(owner: Any, otherwise: Any) -> Any:
    if hasattr(owner, "pgconn") and hasattr(owner, "autocommit"):
        return owner
    connection = getattr(owner, "connection", None)
    return connection if hasattr(connection, "pgconn") else otherwise


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The frames of an error's traceback, outermost first, its driver's half last (it reaches further down)."""
    for link in (error, error.__cause__):
        traceback = link.__traceback__ if link is not None else None
        while traceback is not None:
            yield traceback.tb_frame
            traceback = traceback.tb_next
