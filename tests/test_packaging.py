"""The packages hold what they promise, pins are portable, and the lists of dependencies agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = PROJECT["optional-dependencies"]


def names(requirements: list[str]) -> dict[str, str]:
    """Requirement name, normalised, to the whole requirement without its marker."""
    found = {}
    for requirement in requirements:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert match
        found[match[0].lower().replace("_", "-")] = requirement.partition(";")[0].strip()
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git would hold, so that a stray ignore rule shows."""
    source = tmp_path_factory.mktemp("source")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_holds_both_packages_and_the_notebooks(wheel: Path) -> None:
    """A wheel built from the checkout carries the library, the workbench and its notebooks, and nothing else."""
    held = zipfile.ZipFile(wheel).namelist()
    for name in ("stalwart/__init__.py", "stalwart/py.typed", "workbench/cli.py", "workbench/py.typed"):
        assert name in held
    committed = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(Path(name).name for name in held if name.startswith("workbench/_notebooks/")) == committed
    tops = {name.partition("/")[0] for name in held}
    assert tops == {"stalwart", "workbench", f"django_stalwart-{PROJECT['version']}.dist-info"}


def test_wheel_carries_every_file_that_is_not_code(wheel: Path) -> None:
    """Templates, styles and frozen data that the code opens are in the wheel."""
    held = set(zipfile.ZipFile(wheel).namelist())
    for package, base in (("stalwart", ROOT / "lib"), ("workbench", ROOT)):
        for path in (base / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                assert path.relative_to(base).as_posix() in held


@pytest.mark.parametrize("package", ["stalwart", "workbench"])
def test_wheel_imports_from_any_directory(wheel: Path, package: str, tmp_path: Path) -> None:
    """Unpacked, each package imports from another folder and from nowhere but the wheel."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = f"import {package}; print({package}.__file__)"
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path / "site"))


@pytest.mark.parametrize("package", ["stalwart", "workbench"])
def test_editable_install_imports_from_any_directory(package: str, tmp_path: Path) -> None:
    """From a folder that is not the checkout both packages are found."""
    code = f"import {package}; print({package}.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("__init__.py")


def test_an_app_gets_no_notebook_packages() -> None:
    """The library's own dependencies are the few that an app should carry."""
    assert set(names(PROJECT["dependencies"])) == {"django", "psutil", "prometheus-client", "backports.zstd"}


def test_conda_ranges_are_those_of_the_project() -> None:
    """environment.yml names the six packages of conda-forge with the ranges that pyproject.toml gives."""
    lines = [line.strip().removeprefix("- ") for line in (ROOT / "environment.yml").read_text().splitlines()]
    ours = {**names(PROJECT["dependencies"]), **names(OPTIONAL["workbench"])}
    wanted = ("jupyterlab", "pandas", "matplotlib", "psutil", "django", "memory-profiler")
    held = names([line for line in lines if re.match(r"[a-z_]+>=", line)])
    assert set(held) == {"python", *wanted}
    for name in wanted:
        assert held[name].replace("_", "-") == ours[name]
    assert held["python"] == f"python{PROJECT['requires-python']}"


def test_constraints_pin_versions_only() -> None:
    """Every line of constraints.txt is `name==version` with at most a marker: no hash, no address."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[A-Za-z0-9.+!]+( ; .+)?", line), line


def test_constraints_cover_every_dependency() -> None:
    """No dependency that the project declares is left unpinned."""
    pinned = {
        line.partition("==")[0].replace(".", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    declared = [*PROJECT["dependencies"], *(item for extra in OPTIONAL.values() for item in extra)]
    wanted = {name.replace(".", "-") for name in names(declared)} - {"django-stalwart"}
    assert wanted <= pinned


def test_notebooks_are_committed_without_outputs() -> None:
    """A diff of a notebook shows only what a person wrote."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), f"{path.name}: a cell holds output; clear it before committing"
            assert cell.get("execution_count") is None, path.name


def test_no_test_folder_shadows_a_package() -> None:
    """An `__init__.py` in tests/ would let `import workbench` find the tests."""
    named_like_ours = {"tests", "library", "stalwart", "workbench"}
    assert not [path for path in (ROOT / "tests").rglob("__init__.py") if path.parent.name in named_like_ours]


def test_git_ignores_no_source_file() -> None:
    """The ignore rules swallow nothing of the packages (the stock template swallows lib/)."""
    done = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "lib", "workbench", "notebooks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    swallowed = [
        name
        for name in done.stdout.splitlines()
        if "__pycache__" not in name and ".ipynb_checkpoints" not in name
    ]
    assert swallowed == []
