"""What a drill works with: the project, a private PostgreSQL with prepared databases, and processes under an arm."""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from workbench import arms, library_copy
from workbench.errors import WorkbenchError
from workbench.project import Project
from workbench.project_process import ProjectProcess, environment
from workbench.records import Arm
from workbench.servers.postgres import PostgresServer
from workbench.servers.quotes import QuotesServer
from workbench.servers.watchdog import Watchdog
from workbench.servers.web import GunicornServer

#: The arm under which data are prepared and facts are read: the project as it is.
PLAIN = Arm("absent", "the project itself")
COMMAND = "workbench.guest.manage:command"
COMPRESSION = "stalwart.compression.CompressionMiddleware"


@dataclass(frozen=True)
class Size:
    """How much data the demo gets; drills whose fault is the point take little, memory drills take much."""

    bars: int
    companies: int = 20
    portfolios: int = 8
    seed: int | None = None
    """Of the data; None takes the run's."""
    times: int = 1
    """The seeded bars are repeated this often under earlier dates: large tables come quicker than from the generator."""
    label: str = ""
    """Tells data apart that `also` has changed."""
    also: tuple[str, ...] = ()
    """Statements that the server's superuser runs after that, for a drill with wishes of its own."""

    @property
    def name(self) -> str:
        size = f"{self.bars}_{self.companies}_{self.portfolios}_{self.seed or 'run'}_{self.times}"
        return "_".join(filter(None, ("demo", size, self.label)))


SMALL = Size(bars=2_000)


class Environment:
    """Everything that a drill needs, started when first asked for; a context manager that ends all of it.

    Args:
        project: what is measured.
        seed: of the demo's data.
    """

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        if project.interpreter is not None:
            # After its own folders: what the project has is used.
            self.project = replace(project, paths=(*project.paths, library_copy.folder(project.interpreter)))
        self.seed = seed
        self.folder: Path = Watchdog.current().make_folder("drill")
        self._server: PostgresServer | None = None
        self._quotes: QuotesServer | None = None
        self._templates: set[str] = set()
        self._facts: dict[str, Any] | None = None
        self._numbers = itertools.count()
        self._lock = threading.RLock()  # two trials may ask for the same template
        self._processes: weakref.WeakSet[ProjectProcess] = weakref.WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        quotes, self._quotes = self._quotes, None
        server, self._server = self._server, None
        try:
            if quotes is not None:
                quotes.__exit__(kind, error, trace)
        finally:
            if server is not None:
                server.__exit__(kind, error, trace)
            Watchdog.current().remove_folder(self.folder)

    @property
    def server(self) -> PostgresServer:
        """The private PostgreSQL of this environment."""
        with self._lock:
            return self._started()

    def _started(self) -> PostgresServer:
        if self._server is None:
            # Enough slots for the threads of all workers, for the sessions that a fault leaves behind and for the tools, and
            # not more: a drill that takes every slot should not need long for it. Without fsync a killed process loses nothing
            # that it had handed to the kernel, and recovery takes what PostgreSQL needs, not what this disk needs:
            # outages then last as long as the plan says.
            server = PostgresServer(settings={"max_connections": 40, "fsync": False})
            self._server = server.__enter__()
        return self._server

    @property
    def facts(self) -> dict[str, Any]:
        """What the project's settings say, read once (names only, no values that may be secret)."""
        if self._facts is None:
            # Already here in our own database: an app that queries at start must not reach the project's.
            entry = {"DATABASES.*": self.server.django_database("postgres")}
            with ProjectProcess(self.project, PLAIN, entry, self.folder) as process:
                self._facts = process.call("workbench.guest.probe:facts")
        return self._facts

    def template(self, size: Size = SMALL) -> str:
        """A database with the project's tables (and, for the demo, its data) to copy for each trial."""
        name = size.name if self.project.demo else "project"
        with self._lock:
            if name not in self._templates:
                self._prepare(name, size)
                self._templates.add(name)
        return name

    def _prepare(self, name: str, size: Size) -> None:
        self.server.create_database(name)
        try:
            # Without routers every table comes into being, whichever alias the project keeps it under.
            plain = PLAIN if self.project.demo else replace(PLAIN, settings={"DATABASE_ROUTERS": []})
            with self.process(plain, name) as process:
                process.call(COMMAND, 300, name="migrate", verbosity=0, interactive=False)
                if self.project.demo:
                    process.call(COMMAND, 300, name="seed", **self._seeding(size))
                    if size.times > 1:
                        process.call("workbench.guest.stocks:multiply", 300, times=size.times)
            if self.project.demo and size.also:
                with self.server.connect(name) as admin:
                    for statement in size.also:
                        admin.execute(statement)
        except Exception:
            # Half made, it must not be taken for a template by a second try.
            with contextlib.suppress(psycopg.Error, WorkbenchError):
                self.server.drop_database(name)
            raise

    def _seeding(self, size: Size) -> dict[str, Any]:
        return {
            "bars": size.bars,
            "companies": size.companies,
            "portfolios": size.portfolios,
            "seed": self.seed if size.seed is None else size.seed,
            "verbosity": 0,
        }

    @contextmanager
    def database(self, size: Size = SMALL) -> Iterator[str]:
        """A fresh copy of the template, dropped afterwards."""
        template = self.template(size)
        name = f"trial_{next(self._numbers)}"
        self.server.create_database(name, template=template)
        try:
            yield name
        except psycopg.Error as error:
            raise WorkbenchError(
                f"the private PostgreSQL failed during a trial: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}",
                "run it again; look for an out-of-memory kill (dmesg)",
            ) from error
        except Exception:
            # The trial's own error is the one to tell; a server that is in trouble may refuse the clean-up as well.
            with contextlib.suppress(psycopg.Error, WorkbenchError):
                self.server.drop_database(name)
            raise
        # After a Ctrl-C nothing is dropped: the whole server is about to go.
        self.server.drop_database(name)

    def shared(self, dbname: str, port: int | None = None) -> dict[str, Any]:
        """Settings that every arm of a trial has: our database in the place of the project's, loopback hosts."""
        entry = self.server.django_database(dbname, port=port)
        settings: dict[str, Any] = {"ALLOWED_HOSTS": ["127.0.0.1", "localhost"]}
        if self.project.demo:
            settings["DATABASES"] = {"default": {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": False, **entry}}
            if self._quotes is not None:
                settings["QUOTES_URL"] = self._quotes.url
            return settings
        settings["DATABASES.*"] = entry
        facts = self.facts
        # The library is put in for all arms alike; only its switches differ between them.
        if "stalwart" not in facts["installed_apps"]:
            settings["INSTALLED_APPS"] = ["stalwart", *facts["installed_apps"]]
        if COMPRESSION not in facts["middleware"]:
            settings["MIDDLEWARE"] = [COMPRESSION, *facts["middleware"]]
        # A GET may send mail, fill a cache or write a file; none of that may reach what the project really uses.
        settings["EMAIL_BACKEND"] = "django.core.mail.backends.locmem.EmailBackend"
        settings["MEDIA_ROOT"] = str(self.folder / "media")
        settings["CACHES"] = {
            alias: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": alias}
            for alias in {"default", *facts["caches"]}
        }
        # A project behind TLS would answer each plain request with a redirect.
        settings["SECURE_SSL_REDIRECT"] = False
        return settings

    def middleware(self) -> list[str]:
        """The MIDDLEWARE that all arms share."""
        listed: list[str] = list(self.facts["middleware"])
        return listed if COMPRESSION in listed else [COMPRESSION, *listed]

    def process(self, arm: Arm, dbname: str, port: int | None = None) -> ProjectProcess:
        """A fresh process of the project under an arm; use it as a context manager."""
        process = ProjectProcess(self.project, arm, self.shared(dbname, port), self.folder)
        self._processes.add(process)
        return process

    def abort(self) -> None:
        """Kill every process of the project that answers calls, so that whoever waits for one goes on."""
        for process in list(self._processes):
            process.kill()

    def web(self, arm: Arm, dbname: str, port: int | None = None, **options: Any) -> GunicornServer:
        """The project under gunicorn (gthread, 2 workers of 4 threads) and an arm; use it as a context manager."""
        overlay = self.folder / f"overlay-web-{arm.name}-{next(self._numbers)}.json"
        arms.write_overlay(overlay, self.project.settings, arm, self.shared(dbname, port))
        return GunicornServer(
            "workbench.guest.wsgi:application",
            cwd=self.project.root,
            env=environment(self.project, overlay),
            interpreter=self.project.interpreter,
            log=self.folder / f"gunicorn-{arm.name}-{next(self._numbers)}.log",
            **options,
        )

    def quotes(self) -> QuotesServer:
        """The demo's external quote service."""
        if self._quotes is None:
            self._quotes = QuotesServer().__enter__()
        return self._quotes
