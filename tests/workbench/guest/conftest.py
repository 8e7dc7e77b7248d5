"""The guest in a project's process, under the project's own interpreter.

`WORKBENCH_GUEST_PYTHON` names another interpreter, with a Django of its own: the same tests then run under that one. Only a
copy of the guest is put on its path, as for a user's project.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

import workbench

PYTHON = os.environ.get("WORKBENCH_GUEST_PYTHON") or sys.executable
RAILWAY = Path(__file__).parents[2] / "projects" / "railway"


class Guest:
    """A process of a project that answers calls.

    Args:
        folder: for its overlay, its databases and the copy of the guest.
        databases: DATABASES entries.
        settings: over the project's own, dotted.
        variables: of the environment.
        root: of the project; its settings module is trips.settings.
        path: where the project is imported from; its root as a rule.
    """

    def __init__(
        self,
        folder: Path,
        databases: dict[str, Any],
        settings: dict[str, Any] | None = None,
        variables: dict[str, str] | None = None,
        root: Path = RAILWAY,
        path: Path | None = None,
    ) -> None:
        package = folder / "guest" / "workbench"
        if not package.exists():
            source = Path(workbench.__file__).parent
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("")
            shutil.copytree(source / "guest", package / "guest", ignore=shutil.ignore_patterns("__pycache__"))
        overlay = folder / "overlay.json"
        every = {f"DATABASES.{alias}": entry for alias, entry in databases.items()}
        overlay.write_text(
            json.dumps({"base": "trips.settings", "settings": {**every, **(settings or {})}, "wraps": []})
        )
        self._log = (folder / "guest.log").open("w+")
        self._process = subprocess.Popen(
            [PYTHON, "-m", "workbench.guest"],
            cwd=root,
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                "DJANGO_SETTINGS_MODULE": "workbench.guest.settings",
                "WORKBENCH_OVERLAY": str(overlay),
                "WORKBENCH_ATTRIBUTION": "1",
                "PYTHONPATH": os.pathsep.join([str(path or root), str(folder / "guest")]),
                "PYTHONHASHSEED": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
                **(variables or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.started = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def call(self, call: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": call, "with": arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def visit(self, url: str, pass_: str = "warm", **arguments: Any) -> dict[str, Any]:
        view: dict[str, Any] = self.call("workbench.guest.pages:visit", url=url, pass_=pass_, **arguments)
        return view

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise AssertionError(f"the guest died: {self._log.read()[-3000:]}")
        reply = json.loads(line)
        assert "error" not in reply, reply["error"]["trace"]
        return reply["result"]


@pytest.fixture(scope="module")
def railway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The railway on SQLite, filled."""
    folder = tmp_path_factory.mktemp("railway")
    with Guest(folder, sqlite(folder)) as guest:
        guest.call("trips.seed:fill")
        yield guest


@pytest.fixture(scope="session")
def guest_type() -> type[Guest]:
    """For fixtures that start one for longer than a test."""
    return Guest


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Start the railway as a test wants it, on SQLite unless it says otherwise; ended with the test."""
    with contextlib.ExitStack() as stack:

        def begin(databases: dict[str, Any] | None = None, **options: Any) -> Guest:
            return stack.enter_context(Guest(tmp_path, databases or sqlite(tmp_path), **options))

        yield begin


def sqlite(folder: Path) -> dict[str, Any]:
    return {
        alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / f"{alias}.sqlite3")}
        for alias in ("default", "archive")
    }


@pytest.fixture(scope="session")
def line() -> Callable[[str], int]:
    """The number of the line of the railway's views that carries a mark."""
    text = (RAILWAY / "trips" / "views.py").read_text().splitlines()

    def find(mark: str) -> int:
        (number,) = [n for n, content in enumerate(text, 1) if content.endswith(f"# {mark}")]
        return number

    return find
