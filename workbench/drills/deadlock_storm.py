"""Deadlock storm: many transactions lock the same few rows in random order; how many come through, and only once?"""

from __future__ import annotations

import random
import time

from workbench.drills.base import Task
from workbench.drills.environment import Environment
from workbench.drills.tally import arms_with, books, small, stage, trial
from workbench.records import Trial

THREADS, EACH = 6, 8
ROWS = 3  #: so few that two transactions nearly always meet
THINK = 0.01  #: seconds between a transaction's two rows
WITNESS = "deadlock detected"


def run(environment: Environment, task: Task) -> Trial:
    chance = random.Random(task.seed)
    lists = [
        [
            {
                "name": f"{thread}-{number}",
                "form": ("retried", "block")[number % 2],
                "rows": chance.sample(range(1, ROWS + 1), 2),
                "think": THINK,
            }
            for number in range(EACH)
        ]
        for thread in range(THREADS)
    ]
    with stage(environment, task, session={"deadlock_timeout": "50ms"}) as scene:
        since, start = scene.server.log_size(), time.monotonic()
        scene.announce("deadlock", "nothing to undo: the server ends one of each circle")
        scene.crowd(lists)
        answers = scene.answers()
        seen = scene.server.log(since).count(WITNESS)
        evidence = scene.healed("deadlock", seen, "deadlocks", start)
        found = books(scene.server, scene.dbname, answers, {one["name"]: 2 for one in answers})
    return trial(scene, answers, found, [evidence])


DEADLOCK_STORM = small(
    "deadlock-storm",
    "Deadlock storm: many transactions lock the same few rows in random order",
    run,
    arms_with(),
    4.0,
    faults=("deadlock",),
    workload={"threads": THREADS, "each": EACH, "rows": ROWS, "think": THINK},
)
