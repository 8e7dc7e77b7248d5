"""What an application gets by importing the library, and what it does not."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import stalwart

FOREIGN = {
    "workbench",
    "IPython",
    "nbclient",
    "matplotlib",
    "pandas",
    "numpy",
    "scipy",
    "memray",
    "hypothesis",
    "pytest",
}
# Models, and what works on them, need configured settings as any model does.
NEED_SETTINGS = ("stalwart.database.marker.models", "stalwart.database.marker.management.commands.")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(stalwart.__path__, "stalwart.")
    if not module.name.startswith(NEED_SETTINGS)
)
CODE = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, module],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["stalwart", "stalwart.database", "stalwart.memory", "stalwart.compression",
                                    "stalwart.apps", "stalwart.checks", "stalwart.signals", "stalwart.switches", "stalwart.testing"])  # fmt: skip
def test_nothing_foreign_is_loaded(module) -> None:
    """Importing a part, without configured settings, loads nothing of the workbench or of notebooks."""
    assert not loaded_by(module) & FOREIGN


@pytest.mark.parametrize(
    "module", ["stalwart", "stalwart.conf", "stalwart.events", "stalwart.exceptions", "stalwart.policies.bulkhead",
     "stalwart.policies.failover", "stalwart.policies.operation", "stalwart.policies.registry"]
)  # fmt: skip
def test_the_core_does_without_django(module) -> None:
    """The door, the records and the policies need no Django."""
    assert "django" not in loaded_by(module)


def test_every_module_can_be_imported_first() -> None:
    """No module depends on another one having been imported before it."""
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *reversed(MODULES)], check=True, cwd=Path(__file__).parent
    )


def test_door_is_sorted_lazy_and_complete() -> None:
    """Each name of __all__ is there, in order, shown by dir(), and a wrong one says what there is."""
    assert list(stalwart.__all__) == sorted(stalwart.__all__)
    assert all(getattr(stalwart, name) for name in stalwart.__all__)
    assert set(stalwart.__all__) <= set(dir(stalwart))
    with pytest.raises(AttributeError, match="database_retry"):
        stalwart.database_rety  # noqa: B018  reading it is the test
