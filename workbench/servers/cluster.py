"""A fresh data directory for a private server: made once per watchdog by initdb, then copied, which is quicker."""

from __future__ import annotations

import secrets
import shutil
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.servers.binaries import Binaries
from workbench.servers.identity import Identity, Way, choose
from workbench.servers.postgres_settings import include_settings
from workbench.servers.watchdog import Watchdog

SUPERUSER = "postgres"
PLAIN_ROLE = "app"


@dataclass(frozen=True)
class Template:
    """An initialised data directory that no server ever runs in.

    Attributes:
        data: the directory.
        identity: as whom programs work in it.
        password: of both roles; random, and the same for all servers of one driver.
    """

    data: Path
    identity: Identity
    password: str = field(repr=False)

    def copy(self, target: Path) -> None:
        """Copy the directory; `target` must not exist yet.

        Raises:
            WorkbenchError: when the disk does not take it.
        """
        try:
            shutil.copytree(self.data, target)
            target.chmod(0o700)
            self.identity.hand_over(target)
        except OSError as problem:
            raise WorkbenchError(
                f"the data directory cannot be copied to {target}: {problem}",
                "make some 100 MB free there, or set TMPDIR to another folder",
            ) from problem


_templates: dict[tuple[Path, Path, Way | None], Template] = {}
_making = threading.Lock()


def template(binaries: Binaries, watchdog: Watchdog, way: Way | None = None) -> Template:
    """The template of this watchdog, made at the first call; it goes with the watchdog's temp root."""
    key = (watchdog.root, binaries.folder, way)
    with _making:
        if key not in _templates:
            _templates[key] = make(binaries, watchdog, way)
        return _templates[key]


def make(binaries: Binaries, watchdog: Watchdog, way: Way | None) -> Template:
    """Run initdb and make the plain role, without starting a server."""
    identity = choose(binaries, watchdog, way=way)
    folder = watchdog.make_folder("template")
    data = folder / "data"
    data.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    # initdb reads the password from a file, the role's comes through a pipe: neither shows in a process list.
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    try:
        identity.hand_over(data)
        identity.hand_over(secret)
        identity.run(
            "initdb",
            f"--pgdata={data}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *locale(binaries),
            "--no-sync",  # and -F below: a template lost with the machine's power is no loss
            "--no-instructions",
            cwd=data,
        )
    finally:
        secret.unlink()
    role = f"CREATE ROLE {PLAIN_ROLE} LOGIN PASSWORD '{password}'\n"
    identity.run("postgres", "--single", "-F", "-D", str(data), "postgres", cwd=data, text=role)
    include_settings(data)
    identity.hand_over(data)
    return Template(data, identity, password)


def locale(binaries: Binaries) -> list[str]:
    """UTF-8 rules for upper and lower case without the system's locales: since 17 the server brings its own."""
    if binaries.major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]
