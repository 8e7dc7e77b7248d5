"""Lock convoy: one long transaction holds a row, many wait behind it with a lock time-out shorter than its rest.

`database_retry` comes again until the holder is gone. `resilient_transaction` hands the time-out to its caller, on purpose: a
lock that was not to be had in time is an answer that the body has asked for. The table shows both.
"""

from __future__ import annotations

import time

from workbench.drills.base import Task
from workbench.drills.environment import Environment
from workbench.drills.tally import arms_with, books, small, stage, trial
from workbench.records import Trial

THREADS = 10
HOLD, LOCK_TIMEOUT = 1.2, 0.5  #: seconds
WITNESS = "canceling statement due to lock timeout"


def run(environment: Environment, task: Task) -> Trial:
    lists = [
        [{"name": f"{thread}", "form": ("retried", "block")[thread % 2], "rows": [1]}]
        for thread in range(THREADS)
    ]
    session = {"lock_timeout": f"{LOCK_TIMEOUT * 1000:.0f}ms"}
    with stage(environment, task, session=session) as scene:
        since, start = scene.server.log_size(), time.monotonic()
        with scene.server.connect(scene.dbname, autocommit=False) as holder:
            scene.announce("long-transaction", "roll the long transaction back")
            holder.execute("SELECT 1 FROM tally WHERE id = 1 FOR UPDATE")
            scene.crowd(lists)
            time.sleep(HOLD)
            holder.rollback()
        answers = scene.answers()
        seen = scene.server.log(since).count(WITNESS)
        evidence = scene.healed("long-transaction", seen, "lock time-outs", start, {"held": HOLD})
        found = books(scene.server, scene.dbname, answers, {one["name"]: 1 for one in answers})
    return trial(scene, answers, found, [evidence])


LOCK_CONVOY = small(
    "lock-convoy",
    "Lock convoy: one long transaction holds a row, many wait for it with a time-out",
    run,
    arms_with(),
    4.0,
    faults=("long-transaction",),
    workload={"threads": THREADS, "hold": HOLD, "lock_timeout": LOCK_TIMEOUT},
)
