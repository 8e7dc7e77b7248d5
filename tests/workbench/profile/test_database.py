"""What takes the place of a project's databases is chosen from what the project has and can use."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.profile.database import PLAIN_ENGINE, POSTGIS, SPATIALITE, SQLITE_ENGINE, plan


def alias(engine: str = PLAIN_ENGINE, name: str = "", **more: Any) -> dict[str, Any]:
    vendor = "sqlite" if "sqlite" in engine else "postgresql"
    return {
        "engine": engine,
        "name": name,
        "mirror": None,
        "vendor": vendor,
        "gis": ".gis." in engine,
        **more,
    }


def looked(databases: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"databases": databases, "postgresql": True, "spatialite": False, "gis": False, **more}


def test_postgresql_takes_every_place_where_it_can() -> None:
    """Also that of SQLite: plans and indexes are judged on what production has."""
    chosen = plan(looked({"default": alias(SQLITE_ENGINE, "db.sqlite3")}))
    assert [(one.engine, one.base) for one in chosen.choices] == [(PLAIN_ENGINE, "default")]


def test_without_a_driver_it_is_sqlite_and_says_why() -> None:
    """The user's environment is not changed."""
    chosen = plan(looked({"default": alias(vendor="")}, postgresql=False))
    assert chosen.vendor == "sqlite"
    assert "no driver" in chosen.reason


def test_a_copied_file_stays_sqlite() -> None:
    """Its rows are in a file."""
    assert plan(looked({"default": alias(SQLITE_ENGINE)}), sqlite=True).vendor == "sqlite"


def test_a_backend_of_the_projects_own_stays() -> None:
    """Where it speaks to the same vendor; one for another vendor is replaced."""
    chosen = plan(
        looked({"default": alias("metrics.postgresql"), "old": alias("mysql.backend", vendor="mysql")})
    )
    assert [one.engine for one in chosen.choices] == ["metrics.postgresql", PLAIN_ENGINE]


@pytest.mark.parametrize(
    "databases",
    [
        {"default": alias(name="shop"), "replica": alias(name="shop"), "log": alias(name="log")},
        {"default": alias(), "replica": alias(mirror="default"), "log": alias(name="log")},
        {"replica": alias(mirror="default"), "default": alias(), "log": alias(name="log")},
    ],
)
def test_replicas_share_a_database(databases: dict[str, Any]) -> None:
    """By the mirror that they name for tests, or by the same name on another host; in any order."""
    bases = {one.alias: one.base for one in plan(looked(databases)).choices}
    assert bases == {"default": "default", "replica": "default", "log": "log"}


def test_geographic_models_need_a_geographic_database() -> None:
    """PostGIS where ours has it, SpatiaLite where the project has it, else a clear refusal."""
    gis = looked({"default": alias(POSTGIS)}, gis=True)
    assert plan(gis, postgis=True).choices[0].engine == POSTGIS
    assert plan({**gis, "spatialite": True}).choices[0].engine == SPATIALITE
    with pytest.raises(WorkbenchError, match="no PostGIS"):
        plan(gis)
