"""The clock on a project's connections: what is counted, for which request, and what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from workbench import arms
from workbench.drills.connection_efficiency import CLOCK, read_waits
from workbench.records import Arm
from workbench.servers.postgres import PostgresServer
from workbench.servers.proxy import Proxy

DELAY = 0.05  #: seconds that every answer of the server takes: a login needs three, a query or a check one

NESTED = 0.3  #: seconds that a door within another one takes

PROJECT = f"""
import time
from django.db import connection
from django.http import HttpResponse
from django.urls import path

SECRET_KEY, ALLOWED_HOSTS, ROOT_URLCONF = "x", ["*"], __name__
USE_TZ = True

def asks(request):
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    return HttpResponse("asked")

def nested(request):
    from workbench.guest.acquisitions import timed
    inner = timed(lambda: time.sleep({NESTED}))
    timed(lambda: inner())()
    return HttpResponse("nested")

urlpatterns = [
    path("asks/", asks), path("nested/", nested), path("idle/", lambda request: HttpResponse("idle"))
]
"""

DRIVER = """
import django
django.setup()
from django.db import close_old_connections, connection
from django.test import Client
from workbench.guest import wraps
wraps.apply()

def get(path, **headers):
    Client().get(path, headers=headers)

get("/asks/", X_Workbench_Id="opened")
get("/asks/", X_Workbench_Id="kept")
close_old_connections()
get("/asks/", X_Workbench_Id="checked")
connection.close()
get("/asks/")
connection.close()
get("/nested/", X_Workbench_Id="nested")
get("/idle/", X_Workbench_Id="idle")
get("/asks/", X_Workbench_Id="opened again")
"""


@pytest.fixture
def waits(tmp_path: Path, postgres: PostgresServer, database: str) -> Mapping[str, float]:
    """What the clock has written of the driver's requests, to a server behind a slow line."""
    (tmp_path / "slow_project.py").write_text(PROJECT)
    with Proxy((postgres.host, postgres.port), name="db") as proxy:
        proxy.add("latency", stream="downstream", latency=1000 * DELAY)
        entry: dict[str, Any] = postgres.django_database(
            database, port=proxy.port, CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True
        )
        overlay = tmp_path / "overlay-x.json"
        arms.write_overlay(
            overlay, "slow_project", Arm("control", "x", wraps=CLOCK), {"DATABASES": {"default": entry}}
        )
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "WORKBENCH_OVERLAY": str(overlay),
            "DJANGO_SETTINGS_MODULE": "workbench.guest.settings",
        }
        subprocess.run([sys.executable, "-c", DRIVER], env=environment, check=True, timeout=60)
    return read_waits(overlay)


def test_the_wait_for_a_connection_is_told_from_the_work_on_it(waits: Mapping[str, float]) -> None:
    """Logins and checks count, queries do not; who needs no connection waits for none, and nameless requests are left out.

    A door within a door counts once: opening a connection goes through both again.
    """
    assert set(waits) == {"opened", "kept", "checked", "idle", "opened again", "nested"}
    assert waits["opened"] >= 3 * DELAY
    assert waits["opened again"] >= 3 * DELAY
    assert waits["kept"] < DELAY  # though its two queries took twice as long
    assert DELAY <= waits["checked"] < waits["opened"]
    assert waits["idle"] == 0.0
    assert NESTED <= waits["nested"] < 2 * NESTED


def test_files_of_all_workers_are_read_and_of_no_other_server(tmp_path: Path) -> None:
    """One file for each process under an overlay; overlays whose names begin alike are not mixed up."""
    for name, pid, request in (("overlay-1", 11, "a"), ("overlay-1", 12, "b"), ("overlay-12", 13, "c")):
        line = json.dumps({"id": request, "seconds": 0.5})
        (tmp_path / f"{name}-acquired-{pid}.jsonl").write_text(f"{line}\n")
    assert read_waits(tmp_path / "overlay-1.json") == {"a": 0.5, "b": 0.5}
