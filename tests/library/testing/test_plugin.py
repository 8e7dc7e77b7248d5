"""What the library's import costs those who test no faults, and what the fixtures say of themselves."""

from __future__ import annotations

import inspect
import subprocess
import sys

from stalwart import testing
from stalwart.testing import plugin


def test_production_does_not_load_the_faults() -> None:
    """Neither the door nor a part imports them."""
    code = (
        "import sys, stalwart, stalwart.database, stalwart.memory, stalwart.compression, stalwart.apps, stalwart.switches\n"
        "stalwart.resilient_transaction, stalwart.database_retry\n"
        "assert not [name for name in sys.modules if name.startswith('stalwart.testing')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_fault_is_a_fixture_with_a_word_about_it() -> None:
    """`pytest --fixtures` shows them; nothing is offered in one way only, but for the classes."""
    classes = {name for name in testing.__all__ if isinstance(getattr(testing, name), type)}
    assert set(plugin.__all__) == set(testing.__all__) - classes
    for name in plugin.__all__:
        assert inspect.getdoc(inspect.unwrap(getattr(plugin, name)))
