"""Copies of a project's own databases, taken without writing a byte to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo

from workbench.errors import WorkbenchError
from workbench.redaction import redact_text
from workbench.servers.binaries import find_binaries
from workbench.servers.cluster import PLAIN_ROLE
from workbench.servers.postgres import PostgresServer

#: Of an entry's OPTIONS, what libpq reads when a connection is opened.
_LIBPQ = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "service",
    "passfile",
    "connect_timeout",
    "options",
)
_SECONDS = 1800


def vendor(entry: Mapping[str, Any]) -> str:
    """Of a DATABASES entry, for a copy: "sqlite", "postgresql" or the engine's own name."""
    engine = str(entry.get("ENGINE") or "")
    for name, words in (
        ("sqlite", ("sqlite", "spatialite")),
        ("postgresql", ("postg", "psql", "psycopg", "tenants")),
    ):
        if any(word in engine for word in words):
            return name
    return engine or "none"


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite file with what its log holds.

    The files are read as files: opening the original as a database could create or change files beside it. A copy that was
    taken while somebody wrote is taken again.

    Raises:
        WorkbenchError: there is no such file, or it changed during each try.
    """
    if not source.is_file():
        raise WorkbenchError(
            f"the project's SQLite file {source} is not there", "fill the copy with --seed or --fixture"
        )
    for _ in range(3):
        for suffix in ("", "-wal", "-journal"):
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        Path(f"{target}-shm").unlink(missing_ok=True)
        before = _state(source)
        for suffix in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")
        if _state(source) == before and _is_whole(target):
            return
    raise WorkbenchError(
        f"{source} changed while it was copied, or is damaged",
        "stop the project's server for a moment, then run this again",
    )


def _state(source: Path) -> list[tuple[int, int]]:
    found = []
    for suffix in ("", "-wal", "-journal"):
        try:
            stat = os.stat(f"{source}{suffix}")  # noqa: PTH116 a suffix of a path, not a path
        except FileNotFoundError:
            found.append((-1, -1))
        else:
            found.append((stat.st_size, stat.st_mtime_ns))
    return found


def _is_whole(target: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(target)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def copy_postgresql(entry: Mapping[str, Any], server: PostgresServer, dbname: str, folder: Path) -> list[str]:
    """Copy a PostgreSQL database into an empty one of ours, by pg_dump in a read-only session.

    Args:
        entry: the project's own DATABASES entry.
        server: ours.
        dbname: the empty database there.
        folder: private; the dump lies there for a moment.

    Returns:
        What could not be restored, as extensions that our server has not.

    Raises:
        WorkbenchError: it cannot be dumped.
    """
    binaries = find_binaries()
    dump = folder / f"{dbname}.dump"
    options = {key: value for key, value in (entry.get("OPTIONS") or {}).items() if key in _LIBPQ and value}
    parts = {
        "host": entry.get("HOST"),
        "port": entry.get("PORT"),
        "dbname": entry.get("NAME"),
        "user": entry.get("USER"),
        **options,
    }
    conninfo = make_conninfo(**{key: str(value) for key, value in parts.items() if value})
    variables = {
        **os.environ,
        "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "workbench copy",
    }
    if entry.get("PASSWORD"):
        variables["PGPASSWORD"] = str(entry["PASSWORD"])
    command = ["--format=custom", "--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions"]
    done = _run(
        [str(binaries.program("pg_dump")), *command, f"--file={dump}", f"--dbname={conninfo}"], variables
    )
    if done.returncode:
        dump.unlink(missing_ok=True)
        raise WorkbenchError(
            f"the project's database cannot be copied: {_last(done.stderr)}",
            "check that it runs and that pg_dump may read it, or fill the copy with --seed or --fixture",
        )
    ours = make_conninfo(
        host=server.host, port=server.port, dbname=dbname, user=PLAIN_ROLE, sslmode="disable"
    )
    restored = _run(
        [str(binaries.program("pg_restore")), "--no-owner", "--no-privileges", f"--dbname={ours}", str(dump)],
        {**os.environ, "PGPASSWORD": server.password},
    )
    dump.unlink(missing_ok=True)
    lines = [redact_text(line) for line in restored.stderr.splitlines() if "error:" in line]
    return lines[:5]


def _run(command: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=dict(variables),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise WorkbenchError(
            f"copying the database took longer than {_SECONDS // 60} minutes",
            "fill the copy with --seed or --fixture",
        ) from None


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return redact_text(lines[-1]) if lines else "pg_dump gave no reason"
