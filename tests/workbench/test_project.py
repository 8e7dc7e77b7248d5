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
    (root / "shop" / "inner").mkdir()
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
        ("webshop/shop/inner", None, "holds no manage.py"),
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


def test_one_level_below_or_above_will_do(shop: Path) -> None:
    """The folder above manage.py, the package beside it and the file itself lead to it, and the reader is told."""
    above = project.find(shop.parent)
    assert above.root == shop
    assert "one level down" in above.notes[0]
    beside = project.find(shop / "shop")
    assert beside.root == shop
    assert "one level up" in beside.notes[0]
    assert project.find(shop / "manage.py").notes == ()


def test_two_projects_below_must_be_told_apart(shop: Path) -> None:
    """None is guessed."""
    (shop.parent / "other").mkdir()
    (shop.parent / "other" / "manage.py").write_text(MANAGE)
    with pytest.raises(WorkbenchError, match=r"each of .*other.*webshop"):
        project.find(shop.parent)


def test_settings_without_a_manage_py(shop: Path) -> None:
    """Who names the module needs no manage.py."""
    (shop / "manage.py").unlink()
    assert project.find(shop, "shop.settings").root == shop


def test_a_src_layout(shop: Path) -> None:
    """Settings below src, and folders that manage.py puts on the path, are on the project's path."""
    (shop / "src").mkdir()
    (shop / "shop").rename(shop / "src" / "shop")
    (shop / "vendored").mkdir()
    (shop / "manage.py").write_text('sys.path.append(str(here / "vendored"))\n' + MANAGE)
    assert set(project.find(shop).paths) == {shop / "src", shop / "vendored"}


def test_an_env_file_is_read(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variables reach the project, the real environment wins over them, --env over both; its settings module counts."""
    monkeypatch.setenv("FROM_SHELL", "shell")
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    (shop / ".env").write_text(
        "DJANGO_SETTINGS_MODULE=shop.settings_test\nFROM_SHELL=file\nSECRET=file\nOTHER=x\n"
    )
    found = project.find(shop, env=["SECRET=given", "EMPTY="])
    assert found.settings == "shop.settings_test"
    assert found.environment["SECRET"] == "given"
    assert found.environment["EMPTY"] == ""
    assert "FROM_SHELL" not in found.environment
    assert "given" not in repr(found)


def test_a_malformed_variable_is_refused_without_its_value(shop: Path) -> None:
    """What was meant as a secret is not printed."""
    with pytest.raises(WorkbenchError, match="--env NAME=VALUE") as caught:
        project.find(shop, env=["MY-SECRET=hunter2"])
    assert "hunter2" not in str(caught.value)


def test_settings_of_an_installed_package(shop: Path) -> None:
    """A settings module may come with a package of the project's environment; one that does not exist is still refused."""
    assert project.find(shop, "django.conf.global_settings").settings == "django.conf.global_settings"
    with pytest.raises(WorkbenchError, match="no settings module"):
        project.find(shop, "not_installed_anywhere.settings")


def test_a_run_folder_leads_back_to_the_project(shop: Path) -> None:
    """Variables are read anew, so that no secret lies in a run's files."""
    (shop / ".env").write_text("SECRET=file\n")
    place = {"name": "webshop", "root": str(shop), "settings": "shop.settings", "demo": False}
    found = project.reopen(place)
    assert found == project.find(shop)
    assert found.environment == {"SECRET": "file"}
