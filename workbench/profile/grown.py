"""A copy of a private database that may be filled with more rows, and is thrown away."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from workbench.profile import copying
from workbench.profile.loading import Loaded
from workbench.profile.trial_index import Place


class Grown:
    """Copies the private database of an alias; a context manager, entered in the time of the copy.

    Args:
        loaded: whose database; its own rows stay as they are.
        alias: of the database.

    Attributes:
        place: the copy.
    """

    def __init__(self, loaded: Loaded, alias: str) -> None:
        self._loaded = loaded
        name = loaded.databases.name(alias)
        if loaded.server is None:
            name = str(Path(name).with_suffix(".grown.sqlite3"))
        else:
            name = f"{name[:50]}_grown"
        self.place = Place(alias, name, loaded.server)

    def __enter__(self) -> Self:
        source = self._loaded.databases.name(self.place.alias)
        server = self.place.server
        if server is None:
            copying.copy_sqlite(Path(source), Path(self.place.name))
            return self
        try:
            server.drop_database(self.place.name)
            server.create_database(self.place.name)
            # By a dump, since a template may have no sessions, and processes of the project have some.
            copying.copy_postgresql(
                server.django_database(source), server, self.place.name, self._loaded.folder
            )
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def settings(self) -> dict[str, Any]:
        """Overlay settings under which every alias of that database uses the copy."""
        source = self._loaded.databases.name(self.place.alias)
        own = self._loaded.databases.settings()
        return {
            dotted: {**entry, "NAME": self.place.name} if entry["NAME"] == source else entry
            for dotted, entry in own.items()
        }

    def analyze(self) -> None:
        """Let the planner see the rows that were added."""
        if self.place.server is not None:
            with self.place.server.connect(self.place.name) as connection:
                connection.execute("ANALYZE")

    def close(self) -> None:
        """Throw the copy away."""
        if self.place.server is not None:
            self.place.server.drop_database(self.place.name)
            return
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                Path(self.place.name + suffix).unlink()
