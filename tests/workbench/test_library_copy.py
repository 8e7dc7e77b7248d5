"""Drills on a project under its own interpreter: the library comes from a private folder, and nothing of the environment changes."""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from workbench import arms, library_copy, project
from workbench.drills.environment import Environment
from workbench.errors import WorkbenchError
from workbench.servers.watchdog import Watchdog

pytestmark = pytest.mark.skipif(os.name == "nt", reason="gunicorn, and a virtual environment made of links")
SHOP = Path(__file__).parents[1] / "projects" / "shop"


@pytest.fixture
def shop(tmp_path: Path, make_environment: Callable[..., Path]) -> Path:
    """A project with a virtual environment of its own, in which there is Django alone."""
    place = shutil.copytree(SHOP, tmp_path / "shop")
    make_environment(place / ".venv")
    return place


def contents(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


def program_of(pid: int) -> str:
    return psutil.Process(pid).cmdline()[0]


def test_a_projects_own_interpreter_runs_it_with_the_library(shop: Path) -> None:
    """What its environment lacks comes from a folder of ours; its pages come compressed, and the environment is as it was."""
    before = contents(shop)
    found = project.find(shop)
    assert found.interpreter == shop / ".venv" / "bin" / "python"
    with Environment(found, 1) as environment, environment.database() as dbname:
        arm = arms.treatment("COMPRESSION")
        with environment.process(arm, dbname) as process:
            assert program_of(process.pid) == str(found.interpreter)
            (path, *_) = process.call("workbench.guest.probe:plain_paths")
        with environment.web(arm, dbname, ready_path=None, workers=1) as web:
            assert program_of(web.pid) == str(found.interpreter)
            asked = urllib.request.Request(web.url + path, headers={"Accept-Encoding": "zstd"})
            with urllib.request.urlopen(asked, timeout=20) as response:
                assert response.headers["Content-Encoding"] == "zstd"
        place = library_copy.folder(found.interpreter)
        assert not (place / "django").exists()
    assert contents(shop) == before


def test_a_project_that_is_too_old_is_told(tmp_path: Path) -> None:
    """Its Django is named, and what can be done with it all the same."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho '[[3, 9], [4, 2], []]'\n")
    program.chmod(0o755)
    with pytest.raises(
        WorkbenchError, match=r"Python 3\.9, and the library needs 3\.11.*\n.*workbench profile"
    ):
        library_copy.folder(program)


def test_what_cannot_be_fetched_is_told(
    tmp_path: Path, make_environment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network the missing packages are named, and no folder stays behind."""
    program = make_environment(tmp_path / "venv")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    before = set(Watchdog.current().root.iterdir())
    with pytest.raises(WorkbenchError, match=r"gunicorn.* could not be fetched"):
        library_copy.folder(program)
    assert set(Watchdog.current().root.iterdir()) == before
