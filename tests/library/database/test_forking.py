"""A process that forks with its pool open: really forked, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")

PROGRAM = """
import json, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads; that is what is tried here
import django
from django.conf import settings

plan = json.loads(sys.argv[1])
settings.configure(
    DATABASES={"default": plan["database"]}, INSTALLED_APPS=plan["apps"], STALWART=plan.get("stalwart", {})
)
django.setup()
from django.db import connection, connections, transaction

if plan["apps"]:
    from stalwart import events
    told = []
    events.unsubscribe(events.log_event)
    events.subscribe(lambda event: told.append(type(event).__name__))

def ask(sql="SELECT pg_backend_pid()"):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]

def say(**facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())

def beside():
    found = []
    def run():
        try:
            found.append(ask())
        finally:
            connections.close_all()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found

def pids(tries=4):
    found = set()
    for _ in range(tries):
        found.add(ask())
        connection.close()
        found.update(beside())
    return sorted(found)

def parent_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

PRELOADED = """
ask()                                  # as a query in a module that gunicorn preloads
kept = ask()
child = os.fork()
if not child:
    say(who="child", pids=pids(), events=told if plan["apps"] else [])
    sys.exit(0)                        # the long way out, past all that cleans up
code = parent_of(child)
say(who="parent", kept=kept, after=ask(), pids=pids(), code=code)
connection.close_pool()
"""

IN_A_TRANSACTION = """
with transaction.atomic():
    before = ask("SELECT txid_current()")
    child = os.fork()
    if not child:
        connection.close()             # as a careful child does
        os._exit(0)
    code = parent_of(child)
    say(who="parent", same=ask("SELECT txid_current()") == before, code=code)
connection.close()
connection.close_pool()
"""

IN_TURN = """
with transaction.atomic():
    before = ask()
    child = os.fork()
    if not child:
        say(who="child", same=ask() == before)
        os._exit(0)
    code = parent_of(child)
    say(who="parent", same=ask() == before, code=code)
connection.close()
connection.close_pool()
"""

NOT_OPENED = """
connection.pool
child = os.fork()
if not child:
    say(who="child", pids=pids(), events=told)
    os._exit(0)
say(who="parent", pids=pids(), code=parent_of(child))
connection.close_pool()
"""


def run(postgres: Any, database: str, program: str, **plan: Any) -> dict[str, dict[str, Any]]:
    """What each process said."""
    entry = postgres.django_database(database, pool={"min_size": 2, "max_size": 2, "timeout": 5})
    plan = {"database": entry, "apps": ["stalwart"], **plan}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, json.dumps(plan)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {fact["who"]: fact for fact in map(json.loads, done.stdout.splitlines())}


def test_a_child_has_sessions_of_its_own(postgres, database) -> None:
    """Preloaded and forked: the child works on other back ends than its parent, whose own session goes on; one event tells."""
    said = run(postgres, database, PRELOADED)
    parent, child = said["parent"], said["child"]
    assert child["pids"]
    assert not set(child["pids"]) & {*parent["pids"], parent["kept"]}
    assert parent["after"] == parent["kept"]
    assert parent["code"] == 0
    assert child["events"].count("PoolInherited") == 1


@pytest.mark.parametrize(
    "off", [{"apps": []}, {"stalwart": {"DATABASE": {"ENABLED": False}}}], ids=["absent", "off"]
)
def test_without_us_the_two_share_their_sessions(postgres, database, off) -> None:
    """The fault that this is about: parent and child read each other's replies."""
    said = run(postgres, database, PRELOADED.replace("sys.exit(0)", "os._exit(0)"), **off)
    assert set(said["child"]["pids"]) & {*said["parent"]["pids"], said["parent"]["kept"]}


def test_a_childs_close_does_not_end_the_parents_transaction(postgres, database) -> None:
    """The connection of an open transaction is left alone, and giving it back reaches nobody."""
    assert run(postgres, database, IN_A_TRANSACTION)["parent"] == {"who": "parent", "same": True, "code": 0}


def test_an_open_transaction_can_still_be_used_in_turn(postgres, database) -> None:
    """A child that its parent waits for may work inside the parent's transaction, as it can without us."""
    said = run(postgres, database, IN_TURN)
    assert said["child"]["same"]
    assert said["parent"]["same"]


def test_a_pool_that_was_not_opened_yet_is_nobodys_problem(postgres, database) -> None:
    """Both open it, each for itself, and there is no event."""
    said = run(postgres, database, NOT_OPENED)
    assert not set(said["child"]["pids"]) & set(said["parent"]["pids"])
    assert said["child"]["events"] == []
