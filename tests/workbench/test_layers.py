"""Guards of the layout that the import contracts do not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_only_the_edge_imports_ipython() -> None:
    """IPython stays at the edge: in `workbench/jupyter.py`, and in the magics."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "workbench").rglob("*.py")
        if re.search(r"^\s*(from|import) IPython", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert [path for path in found if not path.startswith("workbench/magics/")] == ["workbench/jupyter.py"]


@pytest.mark.parametrize("name", ["IPython", "matplotlib", "pandas", "scipy", "django", "nbclient"])
def test_importing_the_workbench_is_cheap(name: str) -> None:
    """`import workbench` loads none of the large packages: verbs load what they need."""
    code = f"import sys, workbench; sys.exit({name!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_judging_needs_no_django() -> None:
    """A journal can be judged where no Django is set up, years later."""
    code = "import sys, workbench.judge, workbench.report; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_notebook_has_its_parameters_first() -> None:
    """The first code cell is tagged and holds every parameter; a notebook has at most twenty cells and defines nothing."""
    import nbformat

    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert code[0].metadata.get("tags") == ["parameters"], path.name
        assert len(cells) <= 20, path.name
        assert not any(
            re.search(r"^\s*(def|class|for|while) ", cell.source, re.MULTILINE) for cell in code
        ), path.name
