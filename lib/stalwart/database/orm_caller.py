"""Who asked for a statement, read from the frames of the running call. Nothing is noted beforehand, so it costs only a failure.

What this relies on is very old in Django: `SQLCompiler.execute_sql`, whose locals hold the compiler and its SQL, and
`BaseDatabaseWrapper.connect`. A test holds each of them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any

from django.db.models.sql.compiler import SQLCompiler


@dataclass(frozen=True, slots=True)
class Query:
    """A statement of the ORM.

    Attributes:
        sql: its text.
        model: label of the model that is asked for, "the ORM" where there is none.
    """

    sql: str
    model: str


def query_through(owner: object) -> Query | None:
    """The ORM's query that is being run by methods of `owner`, a cursor or connection of Django's.

    None for a statement that somebody else has handed to `owner`: `raw()`, `cursor.execute()`.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_locals.get("self") is not owner:
        frame = frame.f_back  # execute wrappers, and what calls us
    while frame is not None and (
        # Methods of the owner, also those that a tracing library has put there, and Django's guard around them.
        frame.f_locals.get("self") is owner or frame.f_globals.get("__name__") == "django.utils.asyncio"
    ):
        frame = frame.f_back
    if frame is None or not _is(frame, "django.db.models.sql.compiler", "SQLCompiler.execute_sql"):
        return None
    compiler: Any = frame.f_locals.get("self")
    sql = frame.f_locals.get("sql")
    if not isinstance(compiler, SQLCompiler) or not isinstance(sql, str):
        return None
    model = getattr(compiler.query, "model", None)
    return Query(sql, "the ORM" if model is None else model._meta.label)


def is_connecting() -> bool:
    """Whether a connection is just being opened, so that what runs now runs again in each new session."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is(frame, "django.db.backends.base.base", "BaseDatabaseWrapper.connect"):
            return True
        frame = frame.f_back
    return False


def _is(frame: FrameType, module: str, name: str) -> bool:
    return frame.f_code.co_qualname == name and frame.f_globals.get("__name__") == module
