"""Demoted primary: the server only reads, then a writable one is there for whoever connects anew; who writes again, when?

The server's own read-only mode stands for the demotion: its sessions live on, `SELECT 1` is answered, every write fails with
SQLSTATE 25006. The promotion makes new sessions writable and leaves the old ones as they are, as behind an address that
points to the new primary while old connections stay with the old one. A health check by `SELECT 1` never notices.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workbench.drills.base import Task
from workbench.drills.environment import Environment
from workbench.drills.tally import ROWS, Answers, Stage, arms_with, books, small, stage, trial
from workbench.records import Metric, Trial
from workbench.run import Depth

PARTS: Mapping[str, Mapping[str, Any]] = {
    "persistent": {"DATABASES.default.CONN_MAX_AGE": 60},
    "pooled": {
        "DATABASES.default.CONN_MAX_AGE": 0,
        "DATABASES.default.OPTIONS.pool": {"min_size": 4, "max_size": 4, "timeout": 5},
    },
}
THREADS, PAUSE = 4, 0.02
BEFORE, READ_ONLY, AFTER = 0.3, 0.7, 2.0  #: seconds of each phase
WITNESS = "in a read-only transaction"


def run(environment: Environment, task: Task) -> Trial:
    with stage(environment, task, settings=PARTS[task.part]) as scene:
        since = scene.server.log_size()
        scene.process.ask(
            "workbench.guest.tally:steadily",
            writers=THREADS,
            seconds=BEFORE + READ_ONLY + AFTER,
            pause=PAUSE,
            rows=ROWS,
        )
        time.sleep(BEFORE)
        scene.announce("demoted-primary", "make the server writable again")
        start = time.monotonic()
        with _demoted(scene):
            time.sleep(READ_ONLY)
            _promote(scene)
            promoted = time.monotonic()
            answers = scene.answers()
        seen = scene.server.log(since).count(WITNESS)
        evidence = scene.healed("demoted-primary", seen, "writes refused", start, {"read only": READ_ONLY})
        found = books(scene.server, scene.dbname, answers, {one["name"]: 1 for one in answers})
    return trial(scene, answers, found, [evidence], _recovery(answers, promoted))


def _recovery(answers: Answers, promoted: float) -> dict[str, Metric]:
    """Seconds from the promotion until the last thread had its first write through; "more than" when one never had."""
    late = [one for one in answers if one["ended"] > promoted]
    firsts: dict[int, float] = {}
    for one in sorted(late, key=lambda one: one["ended"]):
        if one["outcome"] == "ok":
            firsts.setdefault(one["thread"], one["ended"] - promoted)
    everybody = len(firsts) == THREADS
    good = sum(one["outcome"] == "ok" for one in late)
    return {
        "ok after": Metric(good, "transactions", good, len(late)),
        "writing again": Metric(len(firsts), "threads", len(firsts), THREADS),
        "back after": Metric(max(firsts.values()) if everybody else AFTER, "s", censored=not everybody),
    }


@contextmanager
def _demoted(scene: Stage) -> Iterator[None]:
    """The whole server read only, for sessions that are open as well; healed on exit."""
    with scene.server.connect() as admin:
        admin.execute("SET default_transaction_read_only = off")  # or we could not undo it
        try:
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            admin.execute("SELECT pg_reload_conf()")
            yield
        finally:
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")


def _promote(scene: Stage) -> None:
    """New sessions of the trial's database may write; those that are open may not."""
    with scene.server.connect() as admin:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"ALTER DATABASE {scene.dbname} SET default_transaction_read_only = off")


def parts(depth: Depth) -> tuple[tuple[str, ...], Mapping[str, str]]:
    return tuple(PARTS), {}


DEMOTED_PRIMARY = small(
    "demoted-primary",
    "Demoted primary: the server only reads, then a writable one is there for whoever connects anew",
    run,
    arms_with(settings={"DATABASES.default.CONN_HEALTH_CHECKS": True}),
    7.0,
    faults=("demoted-primary",),
    parts=parts,
    workload={"threads": THREADS, "read only": READ_ONLY, "after": AFTER},
)
