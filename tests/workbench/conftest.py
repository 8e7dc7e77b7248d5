"""What the workbench's tests share: a world of its own for real processes, whose leftovers can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest


@dataclass
class World:
    """A private temp folder for processes of one test, and everything that still lives or lies there.

    Attributes:
        temp: what TMPDIR says in the processes.
        environment: for the processes.
    """

    temp: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: str, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """Start a process in a session of its own, as a terminal would, with its output captured."""
        process = subprocess.Popen(
            command,
            cwd=cwd or self.temp.parent,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(
        self, *command: str, timeout: float = 120, cwd: Path | None = None, **variables: str
    ) -> tuple[int, str, str]:
        """Run a process to its end: exit code, standard output, standard error."""
        process = self.start(*command, cwd=cwd, **variables)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    def workbench(self, *arguments: str, timeout: float = 120, **variables: str) -> tuple[int, str, str]:
        """Run the command line."""
        return self.run(sys.executable, "-m", "workbench", *arguments, timeout=timeout, **variables)

    def living(self) -> list[str]:
        """Processes of this world that still run: those that carry its temp folder in their environment or command line."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                words = [*process.cmdline(), process.environ().get("TMPDIR", "")]
                if any(str(self.temp) in word for word in words):
                    found.append(f"{process.pid} {' '.join(process.cmdline())[:160]}")
            except psutil.Error:
                continue
        return found

    def lying(self) -> list[str]:
        """Files and folders that are left in the temp folder."""
        return sorted(path.name for path in self.temp.iterdir())

    def is_clean(self) -> bool:
        return not self.living() and not self.lying()


@pytest.fixture
def world(tmp_path: Path) -> object:
    """A world for real processes; what a test leaves running is ended, so that one failure does not cause others."""
    temp = tmp_path / "temp"
    temp.mkdir()
    dropped = ("WORKBENCH_RUN", "DJANGO_SETTINGS_MODULE", "STALWART_POSTGRES_BIN", "COVERAGE_PROCESS_START")
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    made = World(temp, {**inherited, "TMPDIR": str(temp)})
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    deadline = time.monotonic() + 20
    while made.living() and time.monotonic() < deadline:
        time.sleep(0.05)
    for line in made.living():
        psutil.Process(int(line.split()[0])).kill()


@pytest.fixture
def blocked(tmp_path: Path) -> Callable[..., str]:
    """A PYTHONPATH entry under which the named packages cannot be imported, as if they were not installed."""

    def block(*names: str) -> str:
        place = tmp_path / "blocked"
        place.mkdir(exist_ok=True)
        (place / "sitecustomize.py").write_text(
            "import sys\n"
            "class Blocked:\n"
            f"    names = {names!r}\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.partition('.')[0] in self.names:\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
            "sys.meta_path.insert(0, Blocked())\n"
        )
        return str(place)

    return block


@pytest.fixture(scope="session")
def make_environment() -> Callable[..., Path]:
    """Makes virtual environments as a project may have one, without a network: they see our Django, and nothing else of ours."""
    import asgiref
    import django
    import sqlparse

    def make(folder: Path, *, with_django: bool = True) -> Path:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        site = next(folder.glob("lib/python*/site-packages"))
        for package in (django, asgiref, sqlparse) if with_django else ():
            place = Path(str(package.__file__)).parent
            (site / place.name).symlink_to(place, target_is_directory=True)
        return folder / "bin" / "python"

    return make
