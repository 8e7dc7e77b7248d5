"""A copy holds the project's rows, and its original is only read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from workbench import project
from workbench.errors import WorkbenchError
from workbench.profile import copying
from workbench.profile.loading import Data, Loaded
from workbench.servers.postgres import PostgresServer

SETTINGS = """
import json, os
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": json.loads(os.environ["OWN_DATABASE"])}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose database is named by a variable."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "manage.py").write_text('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "conf")\n')
    (folder / "conf.py").write_text(SETTINGS)
    return folder


def digest(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


def written(server: PostgresServer, dbname: str) -> object:
    """How many rows of a database, its catalogue included, were ever written; sessions tell at their end."""
    with server.connect() as connection:
        return connection.execute(
            "SELECT tup_inserted, tup_updated, tup_deleted FROM pg_stat_database WHERE datname = %s", [dbname]
        ).fetchone()


def test_a_sqlite_file_with_its_log_is_copied(root: Path) -> None:
    """Rows that lie in the log alone come along; no file of the original changes and none appears."""
    with contextlib.closing(sqlite3.connect(root / "own.sqlite3")) as own:
        own.execute("PRAGMA journal_mode = WAL")
        own.execute("CREATE TABLE auth_group (id integer PRIMARY KEY, name varchar(150) UNIQUE NOT NULL)")
        own.execute("INSERT INTO auth_group VALUES (7, 'from the original')")
        own.commit()
        before = digest(root)
        found = project.find(
            root, env=['OWN_DATABASE={"ENGINE": "django.db.backends.sqlite3", "NAME": "own.sqlite3"}']
        )
        with Loaded(found, Data(copy=True)) as loaded:
            rows = {row.model: row.rows for row in loaded.facts().models}
            assert rows["auth.Group"] == 1
            assert "copied" in loaded.facts().database
        assert digest(root) == before


def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    """With what to do instead."""
    with pytest.raises(WorkbenchError, match="is not there"):
        copying.copy_sqlite(tmp_path / "none.sqlite3", tmp_path / "copy.sqlite3")
    (tmp_path / "bad.sqlite3").write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with pytest.raises(WorkbenchError, match="is damaged"):
        copying.copy_sqlite(tmp_path / "bad.sqlite3", tmp_path / "copy.sqlite3")


def test_a_postgresql_database_is_dumped_by_a_session_that_cannot_write(
    root: Path, postgres: PostgresServer, database: str
) -> None:
    """The project's own server here is one of ours too; its rows come along, and nothing was written there."""
    with postgres.connect(database) as own:
        own.execute("CREATE TABLE auth_group (id serial PRIMARY KEY, name varchar(150) UNIQUE NOT NULL)")
        own.execute("INSERT INTO auth_group (name) SELECT 'group ' || n FROM generate_series(1, 30) n")
    before = written(postgres, database)
    entry = json.dumps(postgres.django_database(database, user="postgres"))
    with Loaded(project.find(root, env=[f"OWN_DATABASE={entry}"]), Data(copy=True)) as loaded:
        rows = {row.model: row.rows for row in loaded.facts().models}
        assert rows["auth.Group"] == 30
        assert loaded.server is not None
        assert loaded.server.port != postgres.port
    assert written(postgres, database) == before


def test_a_database_that_cannot_be_reached_is_told_without_its_password(root: Path) -> None:
    """The next step is named, and the password is in neither."""
    entry = '{"ENGINE": "django.db.backends.postgresql", "NAME": "x", "HOST": "127.0.0.1", "PORT": 1, "USER": "u", "PASSWORD": "hunter2"}'
    with (
        pytest.raises(WorkbenchError, match="cannot be copied") as caught,
        Loaded(project.find(root, env=[f"OWN_DATABASE={entry}"]), Data(copy=True)),
    ):
        pass
    assert "hunter2" not in str(caught.value)


def test_another_vendor_is_refused(root: Path) -> None:
    """A fixture is the way then."""
    entry = '{"ENGINE": "django.db.backends.mysql", "NAME": "x"}'
    with (
        pytest.raises(WorkbenchError, match="cannot be copied"),
        Loaded(project.find(root, env=[f"OWN_DATABASE={entry}"]), Data(copy=True)),
    ):
        pass
