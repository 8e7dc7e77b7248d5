"""The guest runs under the project's Python, 3.9 at the oldest, with the standard library and Django alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import workbench.guest

FILES = sorted(Path(str(workbench.guest.__file__)).parent.glob("*.py"))
#: For the demo's drills alone, which run under our interpreter.
OURS = {"bank.py", "memory.py", "remedies.py", "slow_queries.py", "stocks.py", "tally.py"}
ALLOWED = {"django", "workbench", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_grammar_is_that_of_3_9(path: Path) -> None:
    """No match, no unparenthesised unions at run time: annotations stay text."""
    source = path.read_text(encoding="utf-8")
    parsed = ast.parse(source, feature_version=(3, 9))
    assert not [node for node in ast.walk(parsed) if isinstance(node, ast.Match)]
    annotated = any(
        isinstance(node, ast.AnnAssign | ast.arg) and node.annotation for node in ast.walk(parsed)
    )
    assert not annotated or "from __future__ import annotations" in source or " | " not in source


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name not in OURS], ids=lambda path: path.name
)
def test_nothing_but_django_is_imported(path: Path) -> None:
    """At any depth of a file; of the workbench, the guest's own modules only."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    assert not {name for name in names if name.partition(".")[0] not in ALLOWED}
    assert not {
        name for name in names if name.startswith("workbench") and not name.startswith("workbench.guest")
    }
