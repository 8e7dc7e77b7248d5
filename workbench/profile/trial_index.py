"""An index on a private database that is there for a trial only, and can be hidden from the planner and shown again."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from workbench.errors import WorkbenchError
from workbench.profile.loading import Loaded
from workbench.project_process import ProjectProcess
from workbench.servers.postgres import PostgresServer

#: How long making it may wait for a lock, and take, in milliseconds.
_LIMITS = "SET lock_timeout = 5000; SET statement_timeout = 60000"
_HIDE = "UPDATE pg_index SET indisvalid = %s WHERE indexrelid = %s::regclass"
#: Plans that sessions keep hang on the table: a row of pg_class that is written has them made anew.
_TOUCH = "UPDATE pg_class SET relhasindex = relhasindex WHERE oid = (SELECT indrelid FROM pg_index WHERE indexrelid = %s::regclass)"


@dataclass(frozen=True)
class Place:
    """A database of ours.

    Attributes:
        alias: under which the project knows it.
        name: on our server, or the path of the SQLite file.
        server: ours; None for SQLite.
    """

    alias: str
    name: str
    server: PostgresServer | None

    @classmethod
    def of(cls, loaded: Loaded, alias: str) -> Place:
        return cls(alias, loaded.databases.name(alias), loaded.server)

    def check(self, process: ProjectProcess) -> None:
        """Make sure that a process of the project speaks to this very database under its alias.

        Raises:
            WorkbenchError: it does not; nothing may be changed then.
        """
        found = process.call("workbench.guest.indexes:database", alias=self.alias)
        port = None if self.server is None else self.server.port
        name = self.name if self.server else str(Path(self.name).resolve())
        if (found["name"], found["port"]) != (name, port):
            raise WorkbenchError(
                f"the project's {self.alias} is not the private database that was made for it",
                "see which database its settings or routers choose; on any other than ours nothing is tried",
            )


class TrialIndex:
    """Makes the index at its beginning and drops it at its end; a context manager. Hidden until `show(True)`.

    Args:
        place: of ours.
        name: of the index; it must be one that only the workbench uses.
        create: the statement that makes it.
        table: that it is on.
        extension: of PostgreSQL that it needs, or "".

    Raises:
        WorkbenchError: it cannot be made.
    """

    def __init__(self, place: Place, name: str, create: str, table: str, extension: str = "") -> None:
        self._place = place
        self._name = name
        self._create = create
        self._table = table
        self._extension = extension
        self._brought = False
        self._connection: Any = None

    def __enter__(self) -> Self:
        try:
            if self._place.server is None:
                self._connection = sqlite3.connect(self._place.name, timeout=20, isolation_level=None)
                self.show(True)
            else:
                self._connection = self._place.server.connect(self._place.name)
                self._make()
            self.show(False)
        except (psycopg.Error, sqlite3.Error) as error:
            self.close()
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise WorkbenchError(f"the index cannot be made: {line}", "see the statement") from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def mebibytes(self) -> float | None:
        """Its size; None on SQLite."""
        if self._place.server is None:
            return None
        row = self._connection.execute("SELECT pg_relation_size(%s::regclass)", [self._name]).fetchone()
        return float(row[0]) / 2**20

    def show(self, shown: bool) -> None:
        """Let the planner see it, or not, in every session from its next statement on.

        PostgreSQL takes no index that is marked as not valid; the mark costs nothing, and the rows, their statistics and what
        lies in memory are the same for both arms. On SQLite the index is really made and dropped.
        """
        if self._place.server is None:
            self._connection.execute(f'DROP INDEX IF EXISTS "{self._name}"')
            if shown:
                self._connection.execute(self._create)
            return
        for attempt in range(5):
            try:
                with self._connection.transaction():
                    self._connection.execute(_HIDE, [shown, self._name])
                    self._connection.execute(_TOUCH, [self._name])
                return
            except psycopg.errors.InternalError_:  # the server's own vacuum wrote the same row just now
                if attempt == 4:
                    raise

    def close(self) -> None:
        """Drop what was made."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # Where even that fails the database goes with the profile.
        with contextlib.suppress(psycopg.Error, sqlite3.Error):
            connection.execute(f'DROP INDEX IF EXISTS "{self._name}"')
            if self._brought:
                connection.execute(sql.SQL("DROP EXTENSION {}").format(sql.Identifier(self._extension)))
        connection.close()

    def _make(self) -> None:
        connection = self._connection
        connection.execute(_LIMITS)
        if self._extension:
            known = connection.execute(
                "SELECT 1 FROM pg_extension WHERE extname = %s", [self._extension]
            ).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(self._extension)))
                self._brought = True
        connection.execute(f'DROP INDEX IF EXISTS "{self._name}"')
        connection.execute(self._create)
        # The planner's picture of the table is of now, and it has one of what an expression gives.
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(self._table)))
