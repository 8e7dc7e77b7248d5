"""A private PostgreSQL server to be hurt: started on a loopback port in a temp folder, killed, restarted, thrown away.

What is settled here for every server, and why:

* TCP on 127.0.0.1 alone; no Unix socket, no TLS (the carried programs have none).
* A random password with SCRAM for both roles, so that no other user of the machine gets in.
* ``fsync``, ``synchronous_commit`` and ``full_page_writes`` keep PostgreSQL's defaults: a COMMIT waits for the disk as on
  a user's own server, and recovery does the same work. Pass ``{"fsync": "off"}`` where speed counts more: killing
  processes loses nothing then either, because what was written lies with the operating system; only the
  machine's own end would.
* Dynamic shared memory lies in the data directory (``mmap``), since segments in /dev/shm would outlive a SIGKILL.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from workbench.errors import WorkbenchError
from workbench.servers import cluster, ports
from workbench.servers.binaries import find_binaries
from workbench.servers.cluster import PLAIN_ROLE, SUPERUSER, Template
from workbench.servers.identity import Way
from workbench.servers.postgres_settings import with_defaults, write_settings
from workbench.servers.postmaster import PASSING, PORT_TAKEN, Postmaster, forget_shared_memory
from workbench.servers.sessions import sessions, terminate
from workbench.servers.watchdog import Watchdog

Mode = Literal["fast", "immediate"]


class PostgresServer:
    """A server of our own, and only of such a one can a process be killed; a context manager.

    Args:
        settings: PostgreSQL's own settings over the defaults above, for example ``{"max_connections": 20}``;
            True and False become ``on`` and ``off``.
        port: the TCP port; a free one outside the ephemeral range when not given.
        way: for tests, as whom it runs when we are root (see `workbench.servers.identity`).

    Raises:
        WorkbenchError: when no PostgreSQL is found, a setting is ours to make, or the port is taken.
    """

    host = ports.LOOPBACK

    def __init__(
        self,
        *,
        settings: Mapping[str, object] = MappingProxyType({}),
        port: int | None = None,
        way: Way | None = None,
    ) -> None:
        self.settings = with_defaults(settings)
        self._binaries = find_binaries()
        self._given_port = port
        self.port = ports.free_port() if port is None else port
        self._way = way
        self._owner = os.getpid()
        self._watchdog: Watchdog | None = None
        self._template: Template | None = None
        self._folder: Path | None = None
        self._postmaster: Postmaster | None = None

    @property
    def version(self) -> str:
        """The server's version, for example ``18.6``."""
        return self._binaries.version

    @property
    def data_dir(self) -> Path:
        """Its data directory; made by the first `start`."""
        return self._made() / "data"

    @property
    def password(self) -> str:
        """The password of both roles, ``postgres`` (superuser) and ``app``; made by the first `start`."""
        self._made()
        assert self._template is not None
        return self._template.password

    @property
    def pid(self) -> int:
        """The postmaster's process id.

        Raises:
            WorkbenchError: when the server does not run.
        """
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the postmaster lives; it may still be in recovery."""
        return self._postmaster is not None and self._postmaster.alive

    def start(self, timeout: float = 30) -> None:
        """Start and wait until a query is answered; after `kill` too. Nothing happens when it runs already.

        Raises:
            WorkbenchError: when the port is taken, a setting is wrong, or it takes longer than `timeout` seconds.
        """
        if self.running:
            return
        deadline = time.monotonic() + timeout
        if not ports.is_free(self.port):
            raise WorkbenchError(
                f"port {self.port} on {self.host} is taken",
                "end the program that listens there, or leave the port out",
            )
        self._make()
        while True:
            try:
                self._launch()
                self.wait_ready(max(0.1, deadline - time.monotonic()))
            except _EndedError as ended:
                if self._given_port is None and PORT_TAKEN in ended.words and time.monotonic() < deadline:
                    self.port = ports.free_port()  # somebody took it between our look and the server's
                    continue
                if any(words in ended.words for words in PASSING) and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise WorkbenchError(
                    f"PostgreSQL {self.version} did not start: {ended.words}",
                    "mend the setting or free the port that it names; the data directory is thrown away with the server",
                ) from None
            except BaseException:
                self._end("immediate", 5)
                raise
            return

    def stop(self, mode: Mode = "fast", timeout: float = 30) -> None:
        """Shut the server down and wait for its end; the data stays for the next `start`.

        Args:
            mode: ``fast`` ends sessions and writes a checkpoint; ``immediate`` leaves recovery to the next start.
            timeout: seconds after which the whole server is killed.
        """
        self._end(mode, timeout)

    def restart(self, mode: Mode = "fast") -> None:
        """Stop and start on the same port with the same data."""
        self.stop(mode)
        self.start()

    def kill(self) -> list[int]:
        """SIGKILL the whole server, children listed first; `start` brings it back.

        Returns:
            The pids that are dead now, the postmaster's first.
        """
        return self._running().kill()

    def close(self) -> None:
        """End the server and remove its folder. In a forked child nothing happens: the server is its parent's."""
        if os.getpid() != self._owner:
            return
        self._end("immediate", 10)
        if self._folder is not None and self._watchdog is not None:
            forget_shared_memory(self._folder / "data")
            self._watchdog.remove_folder(self._folder)
        self._folder = None

    def wait_ready(self, timeout: float = 30) -> float:
        """Poll until a query is answered.

        Returns:
            The seconds waited.

        Raises:
            WorkbenchError: when the server ends meanwhile, or the seconds are over.
        """
        if (postmaster := self._postmaster) is None:
            raise not_running()
        begun = time.monotonic()
        while True:
            if not postmaster.alive:
                raise _EndedError(postmaster.last_words())
            left = begun + timeout - time.monotonic()
            try:
                with self.connect(connect_timeout=max(1, math.ceil(left))) as connection:
                    connection.execute("select 1")
                return time.monotonic() - begun
            except psycopg.OperationalError as problem:
                words, late = str(problem), isinstance(problem, psycopg.errors.ConnectionTimeout)
            if late:
                # psycopg keeps the socket of a late login in a reference cycle, and while it is open the server waits
                # for the password, up to a minute, and every DROP DATABASE waits for that session.
                gc.collect()
            if time.monotonic() > begun + timeout:
                raise WorkbenchError(
                    f"PostgreSQL on port {self.port} did not answer within {timeout:g} s: {words}",
                    "look at the server's log(); a long recovery needs a longer timeout",
                )
            time.sleep(0.01)

    def connect(
        self,
        dbname: str = "postgres",
        *,
        user: str = SUPERUSER,
        autocommit: bool = True,
        connect_timeout: int = 10,
    ) -> psycopg.Connection[TupleRow]:
        """Open a connection of our own, past any proxy.

        Raises:
            psycopg.OperationalError: when the server refuses or does not answer within `connect_timeout` seconds.
        """
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=dbname,
            user=user,
            password=self.password,
            autocommit=autocommit,
            sslmode="disable",
            connect_timeout=connect_timeout,
            application_name="workbench",
        )

    def create_database(self, name: str, *, template: str | None = None) -> None:
        """Create a database that belongs to ``app``.

        Args:
            name: its name.
            template: a database without sessions, to be copied with its data. Its files are copied rather than logged,
                so that a kill soon afterwards does not replay the copy (75 MB: 0.25 s instead of 0.75 s to recover).
        """
        statement = sql.SQL("CREATE DATABASE {} OWNER {}").format(
            sql.Identifier(name), sql.Identifier(PLAIN_ROLE)
        )
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
            if self._binaries.major >= 15:
                statement += sql.SQL(" STRATEGY FILE_COPY")
        try:
            self._execute(statement)
        except psycopg.errors.ObjectInUse as problem:
            raise WorkbenchError(
                f"the template {template} has sessions: {problem}",
                "close them, or call terminate_backends first",
            ) from problem

    def drop_database(self, name: str) -> None:
        """Drop a database with its sessions; one that is not there is fine."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def backends(self, dbname: str) -> list[int]:
        """The pids of a database's client sessions, without the one that asks."""
        with self.connect() as connection:
            return sorted(session.pid for session in sessions(connection, dbname))

    def terminate_backends(self, dbname: str) -> list[int]:
        """End a database's sessions as an administrator would.

        Returns:
            The pids that were told to end and have ended within five seconds.
        """
        with self.connect() as connection:
            return terminate(connection, dbname)

    def kill_backend(self, pid: int) -> None:
        """SIGKILL one child of this server, upon which PostgreSQL restarts all its sessions.

        Raises:
            WorkbenchError: when the process is not a child of this server.
        """
        for child in self._running().children():
            if child.pid == pid:
                child.kill()
                return
        raise WorkbenchError(f"process {pid} is no child of this server", "take a pid from backends()")

    def django_database(
        self,
        dbname: str,
        *,
        host: str | None = None,
        port: int | None = None,
        user: str = PLAIN_ROLE,
        **options: object,
    ) -> dict[str, Any]:
        """An entry for Django's DATABASES, fit for JSON; it holds the password.

        Args:
            dbname: the database.
            host: a proxy's host instead of the server's.
            port: a proxy's port instead of the server's.
            user: the role.
            options: names in capitals (``CONN_MAX_AGE=60``) go into the entry, others into its OPTIONS.
        """
        entry = {name: value for name, value in options.items() if name.isupper()}
        rest = {name: value for name, value in options.items() if not name.isupper()}
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": dbname,
            "USER": user,
            "PASSWORD": self.password,
            "HOST": host or self.host,
            "PORT": port or self.port,
            **entry,
            "OPTIONS": {"sslmode": "disable", **rest},
        }

    def log(self, since: int = 0) -> str:
        """The server's messages since the first start, or since an earlier `log_size`."""
        path = self._made() / "server.log"
        if not path.exists():
            return ""
        with path.open("rb") as messages:
            messages.seek(since)
            return messages.read().decode(errors="replace")

    def log_size(self) -> int:
        """Bytes of messages so far."""
        path = self._made() / "server.log"
        return path.stat().st_size if path.exists() else 0

    def __enter__(self) -> PostgresServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f"pid={self._postmaster.pid}" if self._postmaster and self.running else "not running"
        return f"<PostgresServer {self.version} port={self.port} {state}>"

    def _running(self) -> Postmaster:
        if self._postmaster is None or not self._postmaster.alive:
            raise not_running()
        return self._postmaster

    def _made(self) -> Path:
        if self._folder is None:
            raise WorkbenchError("the server has no folder", "call start() first")
        return self._folder

    def _make(self) -> None:
        """At the first start: a folder with a copy of the template and our settings."""
        if self._folder is not None:
            return
        self._watchdog = Watchdog.current()
        self._template = cluster.template(self._binaries, self._watchdog, self._way)
        folder = self._watchdog.make_folder("postgres")
        self._template.copy(folder / "data")
        self._folder = folder

    def _launch(self) -> None:
        assert self._template is not None
        assert self._watchdog is not None
        if self._postmaster is not None:
            self._watchdog.release(self._postmaster.pid)
        write_settings(self.data_dir, self.settings, self.host, self.port)
        self._postmaster = Postmaster(
            self._template.identity, self._watchdog, self.data_dir, self._made() / "server.log"
        )

    def _end(self, mode: Mode, timeout: float) -> None:
        if self._postmaster is not None:
            self._postmaster.stop(mode, timeout)

    def _execute(self, statement: sql.Composed) -> None:
        with self.connect() as connection:
            connection.execute(statement)


def not_running() -> WorkbenchError:
    """What is said to whoever wants something of a server that does not run."""
    return WorkbenchError("the server does not run", "call start() first")


class _EndedError(WorkbenchError):
    """The server ended while we waited for it."""

    def __init__(self, words: str) -> None:
        super().__init__(f"the server has ended: {words}", "look at its log() and start it again")
        self.words = words
