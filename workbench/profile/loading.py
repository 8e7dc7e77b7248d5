"""A project, loaded: its processes on private databases with its tables and rows, inside the sandbox."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from workbench.errors import WorkbenchError
from workbench.profile import copying
from workbench.profile.database import Plan, PrivateDatabases, has_postgis, plan
from workbench.profile.records import ProjectFacts, UrlRow
from workbench.project import Project
from workbench.project_process import ProjectProcess
from workbench.records import Arm
from workbench.redaction import redact_text
from workbench.schema import from_json
from workbench.servers.postgres import PostgresServer
from workbench.servers.watchdog import Watchdog

PLAIN = Arm("absent", "the project itself")
COMMAND = "workbench.guest.manage:command"
_LONG = 1800.0  #: seconds that migrations, a seed or a fixture may take


@dataclass(frozen=True)
class Data:
    """Where the rows come from: the first of these that is given; generated ones when none is.

    Attributes:
        copy: the project's own databases are copied.
        seed: management commands, as "manage.py seed --users 20".
        fixtures: files or names for loaddata.
        rows: of each model, when they are generated; 0 leaves the tables as the migrations made them.
    """

    copy: bool = False
    seed: Sequence[str] = ()
    fixtures: Sequence[str] = ()
    rows: int = 50


#: What the demo gets: enough for every page to show something.
DEMO = Data(seed=("seed --bars 2000 --companies 20 --portfolios 8 --verbosity 0",))


class Loaded:
    """A project on private databases; a context manager, entered in the time that its migrations and data take.

    Args:
        project: which.
        data: where its rows come from.
        allow_network: other servers may be reached (mail, caches and tasks stay stubbed).

    Attributes:
        notes: what was assumed, replaced or could not be done, for people.
        server: our PostgreSQL; None on SQLite.
    """

    def __init__(self, project: Project, data: Data | None = None, *, allow_network: bool = False) -> None:
        self.project = project
        self.notes: list[str] = list(project.notes)
        self.server: PostgresServer | None = None
        self._data = data or Data()
        self._allow_network = allow_network
        self._folder: Path | None = None
        self._databases: PrivateDatabases | None = None
        self._description = ""
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        watchdog = Watchdog.current()
        self._folder = watchdog.make_folder("profile")
        try:
            self._prepare()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self.server = self.server, None
        folder, self._folder = self._folder, None
        try:
            if server is not None:
                server.close()
        finally:
            if folder is not None:
                Watchdog.current().remove_folder(folder)

    @property
    def folder(self) -> Path:
        """Private, for files of this profile; it goes with it."""
        assert self._folder is not None, "the project was not loaded"
        return self._folder

    @property
    def databases(self) -> PrivateDatabases:
        assert self._databases is not None, "the project was not loaded"
        return self._databases

    @property
    def description(self) -> str:
        """What stands in for the project's database, and how it was filled, for people."""
        return self._description

    def process(
        self,
        settings: Mapping[str, Any] | None = None,
        arm: Arm = PLAIN,
        *,
        attribution: bool = False,
        edits: Mapping[str, bytes] | None = None,
    ) -> ProjectProcess:
        """A fresh process of the project on the private databases, in the sandbox; use it as a context manager.

        Args:
            settings: dotted, over the project's own.
            arm: likewise, and its name is in the process's log.
            attribution: for pages visited in a pass that tells producers; see `ProjectProcess`.
            edits: what some of its files would hold; likewise.
        """
        shared = {**self.databases.settings(), **(settings or {})}
        return ProjectProcess(
            self.project,
            arm,
            shared,
            self.folder,
            sandbox=self.sandbox(),
            attribution=attribution,
            edits=edits,
        )

    def sandbox(self) -> dict[str, Any]:
        """What `workbench.guest.sandbox.install` gets."""
        own = self._databases
        return {
            "folder": str(self.folder),
            "databases": own.address() if own else [],
            "allow_network": self._allow_network,
        }

    def facts(self, process: ProjectProcess | None = None) -> ProjectFacts:
        """The inventory: models, settings that matter, what was blocked so far; asked of a process of its own by default."""
        with contextlib.ExitStack() as stack:
            asked = process or stack.enter_context(self.process())
            answer = asked.call(
                "workbench.guest.inventory:inventory",
                300,
                name=self.project.name,
                root=str(self.project.root),
                settings_module=self.project.settings,
                interpreter=self.project.source,
                database=self._description,
            )
        facts = from_json(ProjectFacts, answer)
        return replace(
            facts,
            settings_rows=tuple(replace(row, value=redact_text(row.value)) for row in facts.settings_rows),
        )

    def urls(self, process: ProjectProcess | None = None) -> tuple[UrlRow, ...]:
        """The pages, with a URL for each whose arguments could be filled from the data; likewise."""
        with contextlib.ExitStack() as stack:
            asked = process or stack.enter_context(self.process())
            rows = asked.call("workbench.guest.routes:urls", 300)
        return tuple(from_json(UrlRow, row) for row in rows)

    def _prepare(self) -> None:
        looked = self._scout("look")
        own = self._scout("databases", own_database=True) if self._data.copy else {}
        vendors = {copying.vendor(entry) for entry in own.values() if entry.get("ENGINE")}
        if foreign := vendors - {"sqlite", "postgresql"}:
            raise WorkbenchError(
                f"a database of {', '.join(sorted(foreign))} cannot be copied",
                "write a fixture by manage.py dumpdata and give it by --fixture",
            )
        if len(vendors) > 1:
            raise WorkbenchError(
                "the project has databases on SQLite and on PostgreSQL, which cannot be copied together",
                "fill the copies with --seed or --fixture",
            )
        # A copied file stays what it is.
        sqlite = vendors == {"sqlite"}
        if looked["postgresql"] and not sqlite:
            self.server = PostgresServer(settings={"fsync": "off", "max_connections": 60}).__enter__()
        elif vendors == {"postgresql"}:
            raise WorkbenchError(
                "the project's environment has no driver for PostgreSQL, so its copy could not be read",
                "install psycopg there, or fill the copy with --seed or --fixture",
            )
        postgis = self.server is not None and has_postgis(self.server)
        self._choose(plan(looked, postgis=postgis, sqlite=sqlite))
        if own:
            self._copy(own)
        self._migrate(looked, keep=bool(own))
        self._fill(looked)
        self.databases.analyze()

    def _scout(self, call: str, *, own_database: bool = False) -> Any:
        with ProjectProcess(
            self.project,
            PLAIN,
            {},
            self.folder,
            sandbox=self.sandbox(),
            setup=False,
            own_database=own_database,
        ) as process:
            return process.call(f"workbench.guest.scout:{call}")

    def _choose(self, chosen: Plan) -> None:
        self._databases = PrivateDatabases(
            chosen, self.folder, self.server if chosen.vendor == "postgresql" else None
        )
        self._databases.create()
        number = len(chosen.bases)
        self._description = chosen.reason + (f", {number} databases" if number > 1 else "")

    def _copy(self, own: Mapping[str, Mapping[str, Any]]) -> None:
        for one in self.databases.plan.bases:
            entry = own.get(one.alias) or {}
            name = self.databases.name(one.alias)
            if not entry.get("ENGINE"):
                continue
            if self.server is None:
                source = Path(str(entry.get("NAME") or ""))
                copying.copy_sqlite(
                    source if source.is_absolute() else self.project.root / source, Path(name)
                )
                continue
            lost = copying.copy_postgresql(entry, self.server, name, self.folder)
            self.notes += [f"not copied from {one.alias}: {line}" for line in lost]

    def _migrate(self, looked: Mapping[str, Any], *, keep: bool) -> None:
        """The project's migrations; where they fail, the next best way to its tables."""
        try:
            self._run_migrations({})
            return
        except WorkbenchError as error:
            if keep:
                self.notes.append(f"migrations on the copy failed, it is used as it is: {error.problem}")
                return
            problem = error.problem
        own = {one["vendor"] for one in looked["databases"].values()}
        if self.server is not None and own == {"sqlite"}:
            # Migrations that were only ever run on SQLite may speak its dialect.
            self._choose(plan(looked, sqlite=True))
            try:
                self._run_migrations({})
            except WorkbenchError:
                pass
            else:
                self._description = (
                    f"private SQLite file: its migrations fail on PostgreSQL ({problem[:200]})"
                )
                return
            self._choose(plan(looked, postgis=has_postgis(self.server)))
        self.notes.append(f"its migrations failed, so that the tables were made from the models: {problem}")
        self.databases.create()
        with ProjectProcess(
            self.project, PLAIN, self.databases.settings(), self.folder, sandbox=self.sandbox()
        ) as process:
            labels = process.call("workbench.guest.scout:labels")
        self._run_migrations({"MIGRATION_MODULES": dict.fromkeys(labels)}, run_syncdb=True)

    def _run_migrations(self, settings: Mapping[str, Any], **options: Any) -> None:
        with self.process(settings) as process:
            for one in self.databases.plan.bases:
                process.call(
                    COMMAND,
                    _LONG,
                    name="migrate",
                    database=one.alias,
                    verbosity=0,
                    interactive=False,
                    **options,
                )

    def _fill(self, looked: Mapping[str, Any]) -> None:
        with self.process() as process:
            if looked["database_cache"]:
                process.call(COMMAND, name="createcachetable", verbosity=0)
            for model, problem in process.call("workbench.guest.inventory:create_unmanaged", 300).items():
                self.notes.append(f"no table for the unmanaged {model}: {problem}")
            filled = "with the project's own rows, copied"
            if not self._data.copy:
                filled = self._rows(process)
        self._description += f", {filled}"

    def _rows(self, process: ProjectProcess) -> str:
        if self._data.seed or self._data.fixtures:
            for text in self._data.seed:
                name, *arguments = command_of(text)
                process.call(COMMAND, _LONG, name=name, arguments=arguments)
            if self._data.fixtures:
                found = [
                    str(path) if (path := Path(name).absolute()).is_file() else name
                    for name in self._data.fixtures
                ]
                process.call(COMMAND, _LONG, name="loaddata", arguments=found, verbosity=0)
            parts = [*self._data.seed, *(Path(name).name for name in self._data.fixtures)]
            return f"filled by {', '.join(parts)}"
        if not self._data.rows:
            return "as the migrations left it"
        made = process.call("workbench.guest.generate:generate", _LONG, rows=self._data.rows)
        for model, problem in made["failed"].items():
            self.notes.append(f"rows of {model} ({made['rows'].get(model, 0)} made): {problem}")
        total = sum(made["rows"].values())
        return (
            f"filled with {total} generated rows in {sum(bool(one) for one in made['rows'].values())} tables"
        )


def command_of(text: str) -> list[str]:
    """The words of a management command without what starts it: "python manage.py seed -n 3" is seed -n 3.

    Raises:
        WorkbenchError: it is no management command.
    """
    words = shlex.split(text)
    for position, word in enumerate(words[:3]):
        if Path(word).name in ("manage.py", "django-admin"):
            words = words[position + 1 :]
            break
    if not words or words[0].endswith((".py", ".sh")) or words[0].startswith(("-", "python")):
        raise WorkbenchError(
            f"{text!r} is no management command",
            'give one as "manage.py NAME ARGUMENTS", or use a fixture',
        )
    return words
