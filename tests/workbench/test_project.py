"""A project is found, or one sentence says what is wrong with the name."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import project
from workbench.errors import WorkbenchError

MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project's skeleton on disk."""
    root = tmp_path / "webshop"
    (root / "shop").mkdir(parents=True)
    (root / "manage.py").write_text(MANAGE)
    (root / "shop" / "settings.py").write_text("")
    (root / "shop" / "settings_test.py").write_text("")
    return root


def test_the_demo_is_the_default() -> None:
    """Without a name the demo is measured."""
    assert project.find().demo
    assert project.find(None, project.DEMO_SETTINGS).demo


def test_settings_come_from_manage_py(shop: Path) -> None:
    """The module that manage.py names is taken when the user names none."""
    found = project.find(shop)
    assert (found.name, found.root, found.settings, found.demo) == ("webshop", shop, "shop.settings", False)


def test_named_settings_win(shop: Path) -> None:
    """A module that the user names is taken instead."""
    assert project.find(shop, "shop.settings_test").settings == "shop.settings_test"


@pytest.mark.parametrize(
    ("folder", "settings", "message"),
    [
        ("webshopp", None, r"there is no folder .*\s.*did you mean .*webshop"),
        ("", None, r"holds no manage.py[\s\S]*webshop"),
        ("webshop", "shop.setings", "no settings module shop.setings"),
        ("webshop", "shop/settings.py", "no dotted module name"),
        ("webshop", "os", "no settings module os"),
        (
            "webshop",
            "nothing.settings",
            r"no settings module nothing.settings[\s\S]*did you mean shop.settings",
        ),
    ],
)
def test_a_mistake_is_explained(shop: Path, folder: str, settings: str | None, message: str) -> None:
    """Each way to mistype a project gives one sentence and the next step."""
    with pytest.raises(WorkbenchError, match=message):
        project.find(shop.parent / folder, settings)


def test_settings_without_a_project_are_refused() -> None:
    """--settings alone would silently measure the demo."""
    with pytest.raises(WorkbenchError, match="without a project"):
        project.find(None, "shop.settings")


def test_a_manage_py_without_settings_asks_for_them(shop: Path) -> None:
    """When manage.py names no module the user is told how to."""
    (shop / "manage.py").write_text("print('hello')\n")
    with pytest.raises(WorkbenchError, match="names no settings module"):
        project.find(shop)
