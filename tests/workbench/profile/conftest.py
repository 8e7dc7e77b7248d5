"""The awkward project, loaded once: what real projects do, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import project
from workbench.profile.loading import Data, Loaded

ORCHARD = Path(__file__).resolve().parents[2] / "projects" / "orchard"
AWKWARD = Path(__file__).resolve().parents[2] / "projects" / "awkward"

#: A visit whose body a test can read; runs in the project's process.
VISIT = """
from workbench.guest import pages

def visit(url, **headers):
    view, body, _ = pages.observed(url, "warm", headers)
    return {**view, "body": body.decode(errors="replace")[:50_000]}
"""


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder; what a project is made of must stay as it is."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="session")
def visiting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings for `find` that put a module with `visit` on a project's path."""
    folder = tmp_path_factory.mktemp("visiting")
    (folder / "read_page.py").write_text(VISIT)
    return {"env": [f"PYTHONPATH={folder}"]}


@pytest.fixture(scope="session")
def awkward(visiting: dict[str, Any]) -> Iterator[Loaded]:
    """The awkward project on PostgreSQL, under our own interpreter."""
    before = tree(AWKWARD)
    with Loaded(project.find(AWKWARD, **visiting), Data(rows=12)) as loaded:
        loaded.untouched = lambda: tree(AWKWARD) == before  # type: ignore[attr-defined]
        yield loaded


@pytest.fixture(scope="session")
def orchard_project() -> Iterator[Loaded]:
    """The orchard with its rows: pages on which a change that looks right is not."""
    before = tree(ORCHARD)
    with Loaded(project.find(ORCHARD, settings="trees.settings"), Data(rows=0)) as loaded:
        with loaded.process() as process:
            process.call("trees.seed:fill")
        yield loaded
    assert tree(ORCHARD) == before
