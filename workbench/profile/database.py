"""The databases that stand in for a project's own: private, on PostgreSQL, or SQLite where it must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from workbench.errors import WorkbenchError
from workbench.servers.postgres import PostgresServer

PLAIN_ENGINE = "django.db.backends.postgresql"
SQLITE_ENGINE = "django.db.backends.sqlite3"
POSTGIS = "django.contrib.gis.db.backends.postgis"
SPATIALITE = "django.contrib.gis.db.backends.spatialite"


@dataclass(frozen=True)
class Choice:
    """What takes the place of one alias.

    Attributes:
        alias: of the project.
        engine: that Django gets.
        base: the alias whose database it shares; itself when it has one of its own.
    """

    alias: str
    engine: str
    base: str

    @property
    def vendor(self) -> str:
        return "sqlite" if self.engine in (SQLITE_ENGINE, SPATIALITE) else "postgresql"


@dataclass(frozen=True)
class Plan:
    """What takes the place of every alias, and why."""

    choices: tuple[Choice, ...]
    reason: str

    @property
    def vendor(self) -> str:
        return self.choices[0].vendor

    @property
    def bases(self) -> tuple[Choice, ...]:
        """One choice for each database."""
        return tuple(one for one in self.choices if one.alias == one.base)


def plan(looked: Mapping[str, Any], *, postgis: bool = False, sqlite: bool = False) -> Plan:
    """Choose what takes the place of each alias.

    Replicas share a database: an alias that names another as its mirror for tests, or has the same engine and name.

    Args:
        looked: what `workbench.guest.scout:look` answered.
        postgis: our PostgreSQL has that extension.
        sqlite: it must be SQLite, as for a copy of a file.

    Raises:
        WorkbenchError: the project's models are geographic, and neither PostGIS nor SpatiaLite is at hand.
    """
    databases: Mapping[str, Any] = looked["databases"]
    gis = bool(looked["gis"]) or any(one["gis"] for one in databases.values())
    if gis:
        if postgis and looked["postgresql"] and not sqlite:
            engine, reason = POSTGIS, "private PostgreSQL with PostGIS"
        elif looked["spatialite"]:
            engine, reason = SPATIALITE, "private SpatiaLite: no PostGIS at hand"
        else:
            raise WorkbenchError(
                "the project's models are geographic, and the private server has no PostGIS",
                "set STALWART_POSTGRES_BIN to the bin folder of a PostgreSQL with PostGIS, "
                "or install SpatiaLite (libsqlite3-mod-spatialite)",
            )
    elif sqlite:
        engine, reason = SQLITE_ENGINE, "private SQLite file"
    elif looked["postgresql"]:
        engine, reason = PLAIN_ENGINE, "private PostgreSQL"
    else:
        engine = SQLITE_ENGINE
        reason = "private SQLite file: the project's environment has no driver for PostgreSQL"
    choices: list[Choice] = []
    for alias, one in databases.items():
        # A backend of the project's own (metrics, tenants) stays where it speaks to the same vendor.
        wanted = "sqlite" if engine in (SQLITE_ENGINE, SPATIALITE) else "postgresql"
        own = one["engine"] if one["vendor"] == wanted and not gis else engine
        base = alias
        for other in choices:
            same = one["name"] and (one["engine"], one["name"]) == (
                databases[other.alias]["engine"],
                databases[other.alias]["name"],
            )
            if one["mirror"] == other.alias or same:
                base = other.base
                break
        choices.append(Choice(alias, own, base))
    mirrors = {one.alias: databases[one.alias]["mirror"] for one in choices}
    # A replica that stands before its primary.
    choices = [
        Choice(one.alias, one.engine, mirrors[one.alias])
        if mirrors[one.alias] in mirrors and one.base == one.alias
        else one
        for one in choices
    ]
    return Plan(tuple(choices), reason)


class PrivateDatabases:
    """The databases of one plan; whoever made the server and the folder ends them.

    Args:
        plan: what takes whose place.
        folder: private, for SQLite files.
        server: ours, for PostgreSQL.
    """

    def __init__(self, plan: Plan, folder: Path, server: PostgresServer | None) -> None:
        self.plan = plan
        self._folder = folder
        self._server = server

    def name(self, alias: str = "default") -> str:
        """The database of an alias: its name on our server, or its file."""
        base = next(one.base for one in self.plan.choices if one.alias == alias)
        safe = "".join(letter if letter.isalnum() else "_" for letter in base.lower())
        # By position too: two aliases may differ in signs that a name cannot have.
        number = [one.alias for one in self.plan.bases].index(base)
        name = f"profile_{number}_{safe}"[:60]
        return name if self.plan.vendor == "postgresql" else str(self._folder / f"{name}.sqlite3")

    def create(self) -> None:
        """Make them, empty; those that are there are thrown away."""
        for one in self.plan.bases:
            name = self.name(one.alias)
            if self._server is None:
                for suffix in ("", "-wal", "-shm", "-journal"):
                    Path(name + suffix).unlink(missing_ok=True)
                continue
            self._server.drop_database(name)
            self._server.create_database(name)
            if one.engine == POSTGIS:
                with self._server.connect(name) as connection:
                    connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")

    def settings(self) -> dict[str, Any]:
        """Overlay settings that put them in the place of the project's own; they hold a password."""
        found: dict[str, Any] = {}
        for one in self.plan.choices:
            name = self.name(one.alias)
            if self._server is None:
                # Long waits instead of "database is locked": a page may use several connections.
                entry = {"ENGINE": one.engine, "NAME": name, "OPTIONS": {"timeout": 20}}
            else:
                entry = {**self._server.django_database(name), "ENGINE": one.engine}
            found[f"DATABASES.{one.alias}.*"] = entry
        return found

    def address(self) -> list[tuple[str, int]]:
        """Servers that the project's processes may connect to."""
        return [] if self._server is None else [(self._server.host, self._server.port)]

    def analyze(self) -> None:
        """Let the planner see the rows: plans on a fresh database are guesses."""
        if self._server is not None:
            for one in self.plan.bases:
                with self._server.connect(self.name(one.alias)) as connection:
                    connection.execute("ANALYZE")


def has_postgis(server: PostgresServer) -> bool:
    """Whether PostGIS can be created on a server of ours."""
    with server.connect() as connection:
        try:
            found = connection.execute(
                "SELECT 1 FROM pg_available_extensions WHERE name = 'postgis'"
            ).fetchone()
        except psycopg.Error:
            return False
    return found is not None
