"""Pool exhaustion: every pooled connection is busy, and more requests come; how long do they hang before they are answered?

Django's pool lets everybody wait, up to its time-out. A bulkhead (`POOL_WAITING`) lets a few wait and refuses the rest at once,
so that the threads are free for requests that need no database.
"""

from __future__ import annotations

import time

from workbench.drills.base import Task
from workbench.drills.environment import Environment
from workbench.drills.tally import Answers, Stage, arms_with, books, small, stage, trial
from workbench.errors import WorkbenchError
from workbench.records import Metric, Trial

POOL, WAITING, VISITORS = 4, 2, 12
HOLD = 2.0  #: seconds for which every connection is busy
QUICK = 0.3  #: seconds within which an answer, also a refusal, frees its thread
SETTINGS = {
    "DATABASES.default.CONN_MAX_AGE": 0,
    "DATABASES.default.OPTIONS.pool": {"min_size": POOL, "max_size": POOL, "timeout": 10},
}


def run(environment: Environment, task: Task) -> Trial:
    with stage(environment, task, settings=SETTINGS) as scene:
        scene.announce("pool-exhausted", "nothing to undo: the long statements end by themselves")
        start = time.monotonic()
        # One after the other: a pool that has not opened its connections yet would let some of them wait already.
        for number in range(POOL):
            job = {"name": f"holder-{number}", "form": "plain", "hold": HOLD}
            scene.process.call("workbench.guest.tally:begin", lists=[[job]])
            seen = _busy(scene, number + 1)
        scene.crowd([[{"name": f"visitor-{number}", "form": "plain"}] for number in range(VISITORS)])
        visitors = scene.answers()
        evidence = scene.healed("pool-exhausted", seen, "busy connections", start, {"pool": POOL})
        held = [scene.process.call("workbench.guest.tally:finish") for _ in range(POOL)]
        answers = [*visitors, *(answer for each in held for answer in each)]
        found = books(scene.server, scene.dbname, answers, {one["name"]: 0 for one in answers})
    return trial(scene, visitors, found, [evidence], _quick(visitors))


def _busy(scene: Stage, wanted: int) -> int:
    """Wait until so many connections of the pool run their long statement; how many the server saw.

    Raises:
        WorkbenchError: they did not within 5 s.
    """
    deadline = time.monotonic() + 5
    with scene.server.connect() as watcher:
        while time.monotonic() < deadline:
            row = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' "
                "AND query LIKE '%%pg_sleep%%'",
                [scene.dbname],
            ).fetchone()
            if row and row[0] == wanted:
                return wanted
            time.sleep(0.005)
    raise WorkbenchError(
        f"{wanted} of the pool's {POOL} connections were not busy within 5 s",
        "run it again on a calmer machine",
    )


def _quick(answers: Answers) -> dict[str, Metric]:
    quick = sum(one["seconds"] <= QUICK for one in answers)
    return {f"within {QUICK:g} s": Metric(quick, "transactions", quick, len(answers))}


POOL_EXHAUSTION = small(
    "pool-exhaustion",
    "Pool exhaustion: every pooled connection is busy, and more requests come",
    run,
    arms_with({"POOL_WAITING": WAITING}),
    5.0,
    faults=("pool-exhausted",),
    workload={"pool": POOL, "waiting": WAITING, "visitors": VISITORS, "hold": HOLD},
)
