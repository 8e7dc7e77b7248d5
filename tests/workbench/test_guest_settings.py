"""An arm's overlay changes what it names and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import arms
from workbench.guest import settings as guest
from workbench.records import Arm, Wrap


@pytest.mark.parametrize(
    ("dotted", "value", "result"),
    [
        ("DEBUG", True, {"DEBUG": True, "STALWART": {"DATABASE": {"A": 1}}}),
        (
            "STALWART.DATABASE.ENABLED",
            False,
            {"DEBUG": False, "STALWART": {"DATABASE": {"A": 1, "ENABLED": False}}},
        ),
        (
            "STALWART.MEMORY.ENABLED",
            True,
            {"DEBUG": False, "STALWART": {"DATABASE": {"A": 1}, "MEMORY": {"ENABLED": True}}},
        ),
        ("NEW.THING", 1, {"DEBUG": False, "STALWART": {"DATABASE": {"A": 1}}, "NEW": {"THING": 1}}),
    ],
)
def test_a_dotted_name_sets_one_place(dotted: str, value: object, result: dict[str, object]) -> None:
    """Neighbours stay, missing dictionaries are made."""
    settings = {"DEBUG": False, "STALWART": {"DATABASE": {"A": 1}}}
    guest.laid_over(settings, dotted, value)
    assert settings == result


def test_the_projects_own_dictionaries_stay_as_they_are() -> None:
    """An overlay works on copies: the project's module may be read by others."""
    own = {"DATABASE": {"A": 1}}
    settings = {"STALWART": own}
    guest.laid_over(settings, "STALWART.DATABASE.A", 2)
    assert own == {"DATABASE": {"A": 1}}


def test_arms_differ_in_their_switch_only() -> None:
    """Control and treatment name the same parts; the peer has the part off."""
    assert arms.control("DATABASE").settings == {"STALWART.DATABASE.ENABLED": False}
    assert arms.treatment("DATABASE", {"POOL": True}).settings == {
        "STALWART.ENABLED": True,
        "STALWART.DATABASE.ENABLED": True,
        "STALWART.DATABASE.POOL": True,
    }
    assert arms.peer("DATABASE", "x").settings["STALWART.DATABASE.ENABLED"] is False


@pytest.fixture
def overlaid(tmp_path: Path) -> dict[str, str]:
    """A project of two files under an overlay with one wrap; the environment for its processes."""
    (tmp_path / "base_settings.py").write_text(
        "SECRET_KEY = 'x'\nLIST = [1]\nSTALWART = {'ENABLED': True}\nhidden = 1\n"
    )
    (tmp_path / "target_module.py").write_text("def greet():\n    return 'plain'\n")
    (tmp_path / "wrapper_module.py").write_text(
        "def loud(function):\n    return lambda: function().upper()\n"
    )
    arm = Arm("peer", "x", {"STALWART.ENABLED": False}, (Wrap("target_module.greet", "wrapper_module.loud"),))
    arms.write_overlay(tmp_path / "overlay.json", "base_settings", arm, {"SHARED": 1})
    return {**os.environ, "PYTHONPATH": str(tmp_path), "WORKBENCH_OVERLAY": str(tmp_path / "overlay.json")}


def test_the_settings_module_is_base_plus_overlay(overlaid: dict[str, str]) -> None:
    """In a process of its own the module holds the project's settings with the arm's on top."""
    code = (
        "import json, workbench.guest.settings as s; "
        "print(json.dumps([s.STALWART, s.LIST, s.SHARED, s.SECRET_KEY, hasattr(s, 'hidden')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=overlaid, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [{"ENABLED": False}, [1], 1, "x", False]


def test_wraps_are_put_around_the_target(overlaid: dict[str, str]) -> None:
    """A wrap replaces the name in its module by what the wrapper makes of it."""
    code = (
        "from workbench.guest import wraps; wraps.apply(); import target_module; print(target_module.greet())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=overlaid, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "PLAIN"


def test_the_overlay_is_private(tmp_path: Path) -> None:
    """It holds a database password, so nobody else may read it."""
    path = tmp_path / "overlay.json"
    arms.write_overlay(path, "base", arms.control("DATABASE"), {})
    if os.name != "nt":
        assert path.stat().st_mode & 0o077 == 0
