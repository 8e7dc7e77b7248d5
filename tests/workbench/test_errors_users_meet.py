"""Every mistake and missing piece that a user will meet: one sentence, the next step, exit code 2, nothing left behind."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'


@pytest.fixture
def shop(tmp_path: Path) -> Callable[[str], Path]:
    """A project whose settings module holds the given text."""

    def make(settings: str) -> Path:
        root = tmp_path / "webshop"
        (root / "shop").mkdir(parents=True)
        (root / "manage.py").write_text(MANAGE)
        (root / "shop" / "settings.py").write_text(settings)
        return root

    return make


def told(code: int, err: str, problem: str, step: str, *, wanted: int = 2) -> None:
    """The error is one problem with one next step, and no traceback."""
    assert code == wanted, err
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert any(problem in line for line in lines), err
    assert step in err
    assert lines[-1].startswith("  next: "), err


@pytest.mark.parametrize(
    ("arguments", "problem", "step"),
    [
        (["report", "--project", "nowhere"], "there is no folder", "manage.py"),
        (["report", "--project", "."], "holds no manage.py", "name the folder that does"),
        (["report", "--settings", "shop.settings"], "without a project", "--project DIR"),
        (["report", "--out", "file/below"], "cannot write to", "--out DIR"),
        (["drill", "conection-loss"], "there is no drill 'conection-loss'", "did you mean connection-loss?"),
        (["drill", "DB-3"], "no drill decides DB-3 in this version", "workbench claims"),
        (["drill", "NET-1", "--pairs", "0"], "0 pairs cannot be run", "1 or more"),
        (["profile", "--project", "nowhere"], "there is no folder", "manage.py"),
        (["profile", "--fail-on", "n-plus-on"], "no kind of finding 'n-plus-on'", "did you mean n-plus-one?"),
        (["profile", "--header", "hush-this-value"], "a --header is no header", '"Name: value"'),
        (["profile", "--urls", "nowhere.txt"], "cannot read the URLs of nowhere.txt", "on each line"),
        (["profile", "--urls", "file"], "holds no URL", "on each line"),
        (["profile", "--baseline", "known.json"], "cannot read the baseline", "--write-baseline known.json"),
        (["profile", "--write-baseline", "no/known.json"], "cannot write the baseline", "that is there"),
        (["profile", "--seed", "7"], "--seed 7 is no management command", "manage.py NAME"),
        (["profile", "--rows", "3", "--copy-database"], "rows come from one place", "keep one of"),
        (["profile", "--page-seconds", "0"], "a page cannot have 0 seconds", "from 1 to 600"),
        (["profile", "--env", "hush"], "--env 'hush' is no variable", "NAME=VALUE"),
        (["judge", "nowhere.jsonl"], "cannot read the journal nowhere.jsonl", "journal.jsonl"),
        (["judge", "file"], "holds no journal line", "journal.jsonl"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistyped_argument_is_explained(world: Any, arguments: list[str], problem: str, step: str) -> None:
    """A wrong folder, name or number costs one sentence."""
    (world.temp.parent / "file").write_text("")
    code, _, err = world.workbench(*arguments)
    # `judge` exits by the worst verdict, where 2 is "inconclusive"; an error is 3.
    told(code, err, problem, step, wanted=3 if arguments[0] == "judge" else 2)
    assert not (world.temp.parent / "reports").exists()  # a notebook would join an empty run as the newest
    assert "hush-this-value" not in err
    assert world.is_clean(), (world.living(), world.lying())


def test_a_mistyped_command_shows_the_commands(world: Any) -> None:
    """`workbench reprot` lists what there is."""
    code, _, err = world.workbench("reprot")
    assert code == 2
    assert "report" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["workbench", "stalwart"])
def test_a_package_that_hides_ours_is_named(world: Any, shop: Callable[[str], Path], name: str) -> None:
    """A project with a top-level package of our name is refused before anything fails strangely."""
    root = shop("")
    (root / name).mkdir()
    (root / name / "__init__.py").write_text("")
    code, _, err = world.workbench("drill", "bandwidth", "--project", str(root), "--out", "run")
    told(code, err, f"top-level package {name}", "next: ")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        (
            "from django.core.exceptions import ImproperlyConfigured\nraise ImproperlyConfigured('no key')\n",
            "no key",
        ),
        ("import os\nos._exit(7)\n", "its process ended during start"),
    ],
)
def test_settings_that_do_not_load_are_explained(
    world: Any, shop: Callable[[str], Path], settings: str, problem: str
) -> None:
    """A settings module that raises, or ends the process, is told as such and leaves nothing behind."""
    code, _, err = world.workbench("drill", "bandwidth", "--project", str(shop(settings)), "--out", "run")
    told(code, err, problem, "next: ")
    assert world.is_clean(), (world.living(), world.lying())


def test_missing_postgres_binaries_are_explained(world: Any) -> None:
    """A folder without a server is named, with what to do."""
    code, _, err = world.workbench(
        "drill", "bandwidth", "--out", "run", STALWART_POSTGRES_BIN=str(world.temp.parent)
    )
    told(code, err, "STALWART_POSTGRES_BIN", "next: ")
    assert world.is_clean(), (world.living(), world.lying())


def test_a_missing_kernel_is_explained(world: Any, blocked: Callable[..., str]) -> None:
    """Without ipykernel the notebooks cannot run, and the message says how to get it."""
    place = blocked("ipykernel", "ipykernel_launcher")
    code, _, err = world.workbench("report", "--out", "run", PYTHONPATH=place)
    told(code, err, "ipykernel", 'pip install -c constraints.txt -e ".[workbench]"')
    assert world.is_clean(), (world.living(), world.lying())


@pytest.mark.parametrize("package", ["filelock", "scipy", "jinja2", "nbclient"])
def test_a_missing_extra_is_explained(world: Any, blocked: Callable[..., str], package: str) -> None:
    """With the library alone the command says which extra to install."""
    code, _, err = world.workbench("report", "--out", "run", PYTHONPATH=blocked(package))
    told(code, err, package, 'pip install -c constraints.txt -e ".[workbench]"')


def test_debug_shows_the_traceback(world: Any) -> None:
    """Whoever asks for it sees where the error came from."""
    code, _, err = world.workbench("judge", "nowhere.jsonl", "--debug")
    assert code == 3
    assert "Traceback" in err


def test_a_temp_folder_without_access_is_explained(world: Any) -> None:
    """A TMPDIR that does not exist is named instead of another folder being taken silently."""
    code, _, err = world.workbench("drill", "bandwidth", "--out", "run", TMPDIR=str(world.temp / "gone"))
    told(code, err, "gone", "next: ")


def test_a_taken_port_is_explained(world: Any) -> None:
    """A server that is asked for a port which somebody holds says which, and leaves nothing."""
    code = (
        "import socket\n"
        "from workbench.errors import WorkbenchError\n"
        "from workbench.servers.postgres import PostgresServer\n"
        "with socket.socket() as taken:\n"
        "    taken.bind(('127.0.0.1', 0)); taken.listen()\n"
        "    port = taken.getsockname()[1]\n"
        "    try:\n"
        "        PostgresServer(port=port).__enter__()\n"
        "    except WorkbenchError as error:\n"
        "        print(port, error)\n"
    )
    done, out, err = world.run(sys.executable, "-c", code)
    assert done == 0, err
    assert out.split()[0] in out.split(maxsplit=1)[1]
    assert "next: " in out
    assert world.is_clean(), (world.living(), world.lying())


@pytest.fixture(scope="module")
def setup_venv() -> ModuleType:
    """The set-up script as a module."""
    spec = importlib.util.spec_from_file_location("setup_venv", ROOT / "scripts" / "setup_venv.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (
            "error: command 'gcc' failed: No such file or directory\nERROR: Failed building wheel for memray",
            "C compiler",
        ),
        (
            "ERROR: No matching distribution found for memray==1.20.0",
            "no ready-built package of memray==1.20.0",
        ),
        ("WARNING: Retrying (Retry(total=4)) after connection broken", "could not be reached"),
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "the disk is full"),
        ("something else", "its last lines stand above"),
    ],
)
def test_pips_words_are_explained(setup_venv: ModuleType, output: str, problem: str) -> None:
    """What pip prints when a compiler, a package, the network or the disk is missing becomes one sentence."""
    assert problem in setup_venv.explain(output)[0]


def test_a_setup_without_packages_ends_in_one_sentence(world: Any, tmp_path: Path) -> None:
    """`make venv` where no package can be had: exit code 2, the sentence last, no traceback."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup_venv.py", checkout / "scripts")
    code, _, err = world.run(
        sys.executable,
        "scripts/setup_venv.py",
        cwd=checkout,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(world.temp),
    )
    told(code, err, "no ready-built package of", "next: ")
