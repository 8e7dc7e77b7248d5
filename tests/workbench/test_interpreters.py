"""The project's own Python is found where the usual tools keep it; one that cannot serve is left, and said so."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench import interpreters
from workbench.errors import WorkbenchError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="virtual environments made of links")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_environment: Callable[..., Path]) -> Path:
    """A repository whose own environment lies above manage.py."""
    root = tmp_path_factory.mktemp("repository")
    make_environment(root / "venv")
    make_environment(root / "empty", with_django=False)
    (root / "backend").mkdir()
    return root


def fake(path: Path, answer: str) -> Path:
    """A program that prints one line whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_an_environment_above_manage_py_is_found(place: Path) -> None:
    """The folder of the repository counts as the project's."""
    found = interpreters.find(place / "backend", environ={})
    assert (found.program, found.source) == (place / "venv" / "bin" / "python", "its own venv")


def test_the_active_environment_comes_first(place: Path) -> None:
    """VIRTUAL_ENV wins over a folder, and one without Django is left with a note."""
    found = interpreters.find(place / "backend", environ={"VIRTUAL_ENV": str(place / "empty")})
    assert found.source == "its own venv"
    assert "has no Django" in found.notes[0]
    found = interpreters.find(place, environ={"VIRTUAL_ENV": str(place / "venv")})
    assert found.source == "the active virtual environment"


def test_ours_being_active_says_nothing(place: Path) -> None:
    """The workbench's own environment is active in its notebooks, whatever project is looked at."""
    found = interpreters.find(place, environ={"VIRTUAL_ENV": sys.prefix})
    assert found.source == "its own venv"


def test_without_any_ours_is_taken(tmp_path: Path) -> None:
    """A project without an environment runs under the workbench's interpreter."""
    assert interpreters.find(tmp_path, environ={}).program is None


def test_what_a_tool_says_is_taken(place: Path, tmp_path: Path) -> None:
    """Where poetry's lock file lies, poetry is asked, without our own environment in its way."""
    (tmp_path / "poetry.lock").write_text("")
    fake(tmp_path / "tools" / "poetry", str(place / "venv"))
    found = interpreters.find(tmp_path, environ={"PATH": f"{tmp_path / 'tools'}:/bin:/usr/bin"})
    assert (found.program, found.source) == (place / "venv" / "bin" / "python", "poetry's environment")


def test_condas_environment_of_that_name(place: Path, tmp_path: Path) -> None:
    """The name in environment.yml leads to one of conda's environments."""
    (tmp_path / "environment.yml").write_text("name: venv\ndependencies: [python]\n")
    conda = fake(tmp_path / "conda", f'{{"envs": ["{place / "venv"}"]}}')
    assert interpreters.find(tmp_path, environ={"CONDA_EXE": str(conda)}).source == "conda's environment"


@pytest.mark.parametrize("name", ["venv", "venv/bin/python"])
def test_a_named_one_is_taken(place: Path, name: str) -> None:
    """--python takes an interpreter or an environment's folder."""
    assert interpreters.find(place, place / name).program == place / "venv" / "bin" / "python"


def test_naming_ours_means_ours(place: Path) -> None:
    """No copy of the guest is needed then."""
    assert interpreters.find(place, sys.executable).program is None


def test_what_cannot_serve_is_refused(place: Path, tmp_path: Path) -> None:
    """Each reason has its sentence."""
    with pytest.raises(WorkbenchError, match="there is no Python at"):
        interpreters.find(place, place / "nowhere")
    with pytest.raises(WorkbenchError, match="has no Django"):
        interpreters.find(place, place / "empty")
    with pytest.raises(WorkbenchError, match="does not run as a Python"):
        interpreters.find(place, fake(tmp_path / "python", "hello"))
    with pytest.raises(WorkbenchError, match=r"is Python 3\.8"):
        interpreters.find(place, fake(tmp_path / "python", '[[3, 8], "4.2"]'))
    with pytest.raises(WorkbenchError, match=r"Django 3\.2"):
        interpreters.find(place, fake(tmp_path / "python", '[[3, 9], "3.2.1"]'))
