"""The sandbox refuses what would reach the world, lets through what is ours, and counts both ways of asking."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.servers.postgres import PostgresServer

BEFORE = "import json, sys\nfrom workbench.guest import sandbox\nsandbox.install(json.loads(sys.argv[1]))\n"


def run(code: str, folder: Path, **options: Any) -> dict[str, int]:
    """What was counted in a process of its own: an audit hook cannot be taken away again."""
    given = {"folder": str(folder), "databases": [], "allow_network": False, **options}
    after = "\nprint(json.dumps(sandbox.blocked()))\n"
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + code + after, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


REFUSED = "\ntry:\n    {}\nexcept ConnectionRefusedError as error:\n    assert 'sandbox' in str(error)\nelse:\n    raise SystemExit('it got through')\n"


@pytest.mark.parametrize(
    ("attempt", "label"),
    [
        ("socket.create_connection(('127.0.0.1', 6379), 1)", "Redis 127.0.0.1:6379"),
        ("socket.create_connection(('example.com', 443), 1)", "HTTPS example.com:443"),
        ("socket.gethostbyname('example.com')", "network example.com"),
        (
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 8125))",
            "statsd 192.0.2.1:8125",
        ),
        ("socket.socket().connect_ex(('192.0.2.1', 80))", "HTTP 192.0.2.1:80"),
        ("socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')", "socket /var/run/docker.sock"),
        ("smtplib.SMTP('127.0.0.1', 25)", "mail server 127.0.0.1:25"),
        ("sqlite3.connect('file:/srv/app/own.sqlite3?mode=ro', uri=True)", "SQLite own.sqlite3"),
        ("psycopg.connect('host=127.0.0.1 port=5432 dbname=x')", "database 127.0.0.1:5432"),
        ("psycopg.connect(dbname='x')", "database (local socket):default"),
    ],
)
def test_an_attempt_is_refused_and_counted(tmp_path: Path, attempt: str, label: str) -> None:
    """Whichever way it goes out, also through a driver written in C."""
    code = "import socket, smtplib, sqlite3, psycopg" + REFUSED.format(attempt)
    assert run(code, tmp_path) == {label: 1}


def test_what_is_ours_is_let_through(tmp_path: Path, postgres: PostgresServer) -> None:
    """Our server, files below the private folder, databases in memory, a name for this machine."""
    code = (
        "import socket, sqlite3, psycopg\n"
        f"psycopg.connect(host='127.0.0.1', port={postgres.port}, user='postgres', password={postgres.password!r}, dbname='postgres', sslmode='disable').close()\n"
        f"sqlite3.connect({str(tmp_path / 'x.sqlite3')!r}).close()\n"
        "sqlite3.connect(':memory:').close()\n"
        "socket.getaddrinfo('localhost', 80)\n"
    )
    assert run(code, tmp_path, databases=[["127.0.0.1", postgres.port]]) == {}


def test_the_network_may_be_allowed_and_databases_are_not(tmp_path: Path) -> None:
    """--allow-network opens sockets; a database that is not ours stays closed."""
    code = (
        "import socket, psycopg\nassert socket.socket().connect_ex(('127.0.0.1', 1)) != 0\n"
        + REFUSED.format("psycopg.connect('host=127.0.0.1 port=5432')")
    )
    assert run(code, tmp_path, allow_network=True) == {"database 127.0.0.1:5432": 1}


SETTINGS = """
from django.conf import settings
from workbench.guest import safe_settings
values = json.loads(sys.argv[2])
safe_settings.lay(values)
settings.configure(**values)
import django
django.setup()
"""


def laid(code: str, folder: Path, values: dict[str, Any]) -> dict[str, int]:
    """What was counted in a process under settings that were made safe."""
    given = {"folder": str(folder), "databases": [], "allow_network": False}
    after = "\nprint(json.dumps(sandbox.blocked()))\n"
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + SETTINGS + code + after, json.dumps(given), json.dumps(values)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def test_a_cache_on_a_server_lives_in_memory(tmp_path: Path) -> None:
    """With what django-redis adds; each use is counted. A local one stays as it is."""
    code = (
        "from django.core.cache import cache, caches\n"
        "cache.set('user:1', 1); cache.set('user:2', 2, nx=True); cache.set('other', 3)\n"
        "assert cache.get('user:1') == 1 and sorted(cache.keys('user:*')) == ['user:1', 'user:2']\n"
        "assert cache.delete_pattern('user:*') == 2 and cache.get('user:1') is None and cache.ttl('other') is None\n"
        "with cache.lock('x'): pass\n"
        "assert type(caches['near']).__module__ == 'django.core.cache.backends.locmem'\n"
        "assert caches['near'].get('other') is None\n"
    )
    caches = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://cache:6379",
            "KEY_PREFIX": "shop",
        },
        "near": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    }
    assert laid(code, tmp_path, {"CACHES": caches})["cache default (RedisCache)"] == 5


def test_files_are_read_from_the_projects_media_and_written_beside(tmp_path: Path) -> None:
    """A file of the project's can be opened, one of the same name saved, and the original stays."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "a.txt").write_text("original")
    private = tmp_path / "private"
    private.mkdir()
    code = (
        "from django.core.files.base import ContentFile\nfrom django.core.files.storage import default_storage as files\n"
        "assert files.open('a.txt').read() == b'original' and files.size('a.txt') == 8 and files.exists('a.txt')\n"
        "name = files.save('a.txt', ContentFile(b'new'))\n"
        "assert name != 'a.txt' and files.open(name).read() == b'new'\n"
        "files.delete('a.txt')\n"
        "from django.conf import settings\nassert settings.MEDIA_ROOT != sys.argv[2]\n"
    )
    assert laid(code, private, {"MEDIA_ROOT": str(own)})["file written"] == 1
    assert [path.name for path in own.iterdir()] == ["a.txt"]
    assert (own / "a.txt").read_text() == "original"


def test_the_projects_own_values_are_not_changed(tmp_path: Path) -> None:
    """Dictionaries on the way are copied: the module may be read by others."""
    code = (
        "own = {'CACHES': {'default': {'BACKEND': 'x.RedisCache'}}, 'LOGGING': {'handlers': {'f': {'class': 'logging.FileHandler'}}}}\n"
        "kept = json.dumps(own)\n"
        "inner = {name: value for name, value in own.items()}\n"
        "safe_settings.lay(inner)\n"
        "assert json.dumps(own) == kept and inner['LOGGING']['handlers']['f'] == {'class': 'logging.NullHandler'}\n"
    )
    laid(code, tmp_path, {})
