"""Lost COMMIT reply: the connection is cut when the server has committed, or just before; the client sees the same error.

Right is exactly once in both cases. Repeating whatever failed is right in the second and doubles in the first; repeating
nothing is right in neither. "Unknown" is honest: the caller is told that nobody knows.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from workbench.drills.bank.wire import REPLY, REQUEST
from workbench.drills.base import Task
from workbench.drills.environment import Environment
from workbench.drills.tally import arms_with, books, small, stage, trial
from workbench.records import Evidence, Metric, Trial
from workbench.servers.eventlog import EventTail

#: The server learns at once that its client is gone, else a repeat would wait for the locks of the first try.
CASES: dict[str, dict[str, Any]] = {
    "commit-reply-lost": REPLY,
    "commit-never-arrives": {**REQUEST, "partition": False},
}
FORMS = ("retried", "block")
EACH = 3


def run(environment: Environment, task: Task) -> Trial:
    answers: list[dict[str, Any]] = []
    evidence: list[Evidence] = []
    with stage(environment, task, proxied=True) as scene:
        assert scene.proxy is not None
        for case, how in CASES.items():
            for form in FORMS:
                for number in range(EACH):
                    name = f"{case}/{form}/{number}"
                    tail, start = EventTail(scene.proxy.log), time.monotonic()
                    scene.announce(case, "remove the cut")
                    with scene.proxy.toxic("cut_after_message", name="commit", count=1, **how):
                        scene.crowd([[{"name": name, "form": form, "rows": [1]}]])
                        answers += scene.answers()
                    cuts = sum(event["event"] == "cut" for event in tail.events())
                    evidence.append(scene.healed(case, cuts, "COMMITs", start, {"form": form}))
        with scene.server.connect(scene.dbname) as connection:
            effects = Counter(name for (name,) in connection.execute("SELECT name FROM tally_entry"))
        found = books(scene.server, scene.dbname, answers, {one["name"]: 1 for one in answers})
    return trial(scene, answers, found, evidence, _by_case(answers, effects))


def _by_case(answers: list[dict[str, Any]], effects: Counter[str]) -> dict[str, Metric]:
    """How often the client was told "done" and it was done once, for each case and form."""
    made = {}
    for case in CASES:
        for form in FORMS:
            own = [one for one in answers if one["name"].startswith(f"{case}/{form}/")]
            once = sum(one["outcome"] == "ok" and effects[one["name"]] == 1 for one in own)
            twice = sum(effects[one["name"]] > 1 for one in own)
            unknown = sum(one["outcome"] == "indeterminate" for one in own)
            for word, number in (("exactly once", once), ("twice", twice), ("told unknown", unknown)):
                made[f"{word}:{case}, {form}"] = Metric(number, "transactions", number, len(own))
    return made


LOST_COMMIT_REPLY = small(
    "lost-commit-reply",
    "Lost COMMIT reply: the connection is cut after the server has committed, or just before",
    run,
    arms_with(always=True),
    4.0,
    faults=tuple(CASES),
    workload={"each": EACH, "forms": list(FORMS)},
)
