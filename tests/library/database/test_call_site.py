"""The place that a statement comes from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stalwart.database.call_site import _DEEPEST, _kind, call_site


def test_the_nearest_frame_of_the_application_counts() -> None:
    """Module, qualified name and line of the caller, not of its caller."""

    class View:
        def get(self) -> str | None:
            return call_site(sys._getframe())

    found = View().get()
    assert found is not None
    place, _, line = found.rpartition(":")
    assert place.endswith("test_call_site.test_the_nearest_frame_of_the_application_counts.<locals>.View.get")
    assert int(line) > 1


def test_a_path_is_not_told(tmp_path: Path) -> None:
    """Folders would tell of the machine."""
    found = call_site(sys._getframe())
    assert found is not None
    assert "/" not in found


@pytest.mark.parametrize("name", ["django.db.models.query", "stalwart.database.queries", "asgiref.sync", "json.decoder", "psycopg"])  # fmt: skip
def test_machinery_is_passed_over(name: str) -> None:
    """Django, this library, Python and what is installed are not the application."""
    __import__(name)
    path = sys.modules[name].__file__
    assert path is not None
    assert _kind(path) == "machinery"


def test_other_frames_are_the_application() -> None:
    """A project's file, a notebook's cell, a script and a prompt are."""
    assert {_kind(name) for name in ("/srv/shop/views.py", "C:\\shop\\views.py", "/tmp/ipykernel_1/2.py", "<stdin>")} == {
        "application"
    }  # fmt: skip


def test_an_installed_app_counts_where_nothing_else_does(tmp_path: Path) -> None:
    """An app of INSTALLED_APPS in site-packages is named when the project has no frame, a package is not."""
    folder = tmp_path / "site-packages"
    for name in ("some_app", "some_package"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(
            "import sys\nfrom stalwart.database.call_site import call_site\ndef ask():\n    return call_site(sys._getframe())\n"
        )
    # A script's own frames are the application's; in a pool's thread all outer frames are Python's.
    runner = tmp_path / "run.py"
    runner.write_text(
        "import sys\nfrom concurrent.futures import ThreadPoolExecutor\nfrom django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['some_app'])\nimport django\ndjango.setup()\n"
        "import some_app, some_package\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    print(pool.submit(some_app.ask).result(), pool.submit(some_package.ask).result())\n"
    )
    done = subprocess.run(
        [sys.executable, str(runner)],
        env={"PYTHONPATH": f"{folder}:{':'.join(sys.path)}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["some_app.ask:4", "None"]


def test_no_frame_and_a_deep_stack_have_no_place() -> None:
    """A stack that is machinery as far as it is looked at ends the search."""
    assert call_site(None) is None
    code = "import sys\ndef deep(n, ask):\n    return deep(n - 1, ask) if n else ask(sys._getframe())"
    scope: dict = {"__name__": "frozen"}
    exec(compile(code, "<frozen deep>", "exec"), scope)
    assert scope["deep"](_DEEPEST, call_site) is None
