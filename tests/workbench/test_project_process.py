"""A process of a project under another interpreter has the guest, and nothing else of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench import guest_copy
from workbench.errors import WorkbenchError
from workbench.project import Project, demo
from workbench.project_process import NOWHERE, ProjectProcess, environment
from workbench.records import Arm

ARM = Arm("absent", "plain")
SETTINGS = "SECRET_KEY = 'x'\nINSTALLED_APPS = []\nimport tools\n"
TOOLS = """
import importlib.util, os, sys

def look():
    return {
        "path": sys.path,
        "prefix": sys.prefix,
        "environ": dict(os.environ),
        "found": {name: importlib.util.find_spec(name) is not None for name in ("stalwart", "psycopg", "pytest", "workbench.errors")},
        "cwd": os.getcwd(),
        "guest": sys.modules["workbench.guest"].__file__,
    }
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, make_environment: Callable[..., Path]) -> Path:
    """The interpreter of another environment."""
    return make_environment(tmp_path_factory.mktemp("other") / "venv")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of two files."""
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="a virtual environment made of links")
def test_nothing_of_ours_leaks_into_the_projects_process(
    other: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither our packages nor our variables are there; the guest comes last on the path and answers."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    project = Project("x", root, "settings", interpreter=other, environment={"OWN": "kept"})
    with ProjectProcess(project, ARM, {}, tmp_path) as process:
        seen = process.call("tools:look")
    assert seen["found"] == dict.fromkeys(seen["found"], False)
    assert seen["prefix"] == str(other.parent.parent)
    assert not [path for path in seen["path"] if path.startswith(sys.prefix)]
    assert seen["environ"]["PYTHONPATH"] == os.pathsep.join([str(root), str(guest_copy.folder())])
    assert seen["environ"]["VIRTUAL_ENV"] == str(other.parent.parent)
    assert seen["environ"]["OWN"] == "kept"
    assert seen["environ"]["PATH"].startswith(str(other.parent))
    assert str(Path(sys.prefix) / "bin") not in seen["environ"]["PATH"].split(os.pathsep)
    assert seen["cwd"] == str(root)
    assert seen["guest"].startswith(str(guest_copy.folder()))


def test_our_own_demo_runs_under_our_interpreter(tmp_path: Path) -> None:
    """Nothing is copied for it."""
    with ProjectProcess(demo(), ARM, {"DATABASES": {}}, tmp_path) as process:
        assert process.started["python"] == sys.version.split()[0]


def test_a_database_url_leads_nowhere(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it stands in the shell or in .env; only a process that reads settings for a copy keeps it."""
    monkeypatch.setenv("DATABASE_URL", "postgres://real")
    assert environment(Project("x", root, "settings"), tmp_path)["DATABASE_URL"] == NOWHERE
    project = Project("x", root, "settings", environment={"DATABASE_URL": "postgres://other"})
    assert environment(project, tmp_path)["DATABASE_URL"] == NOWHERE
    assert environment(project, tmp_path, own_database=True)["DATABASE_URL"] == "postgres://other"


def test_a_missing_variable_is_told(tmp_path: Path, root: Path) -> None:
    """The next step names --env."""
    (root / "settings.py").write_text("import os\nSECRET_KEY = os.environ['SHOP_KEY']\n")
    with (
        pytest.raises(WorkbenchError, match="--env NAME=VALUE"),
        ProjectProcess(Project("x", root, "settings"), ARM, {}, tmp_path),
    ):
        pass
