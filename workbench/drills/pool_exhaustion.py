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
HOLD = 1.5  #: seconds for which every connection is busy
QUICK = 0.3  #: seconds within which an answer, also a refusal, frees its thread
SETTINGS = {
    "DATABASES.default.CONN_MAX_AGE": 0,
    "DATABASES.default.OPTIONS.pool": {"min_size": POOL, "max_size": POOL, "timeout": 10},
}


def run(environment: Environment, task: Task) -> Trial:
    with stage(environment, task, settings=SETTINGS) as scene:
        scene.announce("pool-exhausted", "nothing to undo: the long statements end by themselves")
        holders = [[{"name": f"holder-{number}", "form": "plain", "hold": HOLD}] for number in range(POOL)]
        # The visitors come when the server confirms that all connections are busy.
        scene.process.call("workbench.guest.tally:begin", lists=holders)
        start = time.monotonic()
        seen = _busy(scene)
        scene.crowd([[{"name": f"visitor-{number}", "form": "plain"}] for number in range(VISITORS)])
        visitors = scene.answers()
        evidence = scene.healed("pool-exhausted", seen, "busy connections", start, {"pool": POOL})
        held = scene.process.call("workbench.guest.tally:finish")
        answers = [*visitors, *held]
        found = books(scene.server, scene.dbname, answers, {one["name"]: 0 for one in answers})
    return trial(scene, visitors, found, [evidence], _quick(visitors))


def _busy(scene: Stage) -> int:
    """Wait until every connection of the pool runs its long statement; how many the server saw.

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
            if row and row[0] == POOL:
                return POOL
            time.sleep(0.005)
    raise WorkbenchError(
        f"the pool's {POOL} connections were not all busy within 5 s", "run it again on a calmer machine"
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
