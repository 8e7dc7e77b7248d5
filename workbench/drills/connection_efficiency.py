"""DB-4: what a request waits for a usable connection, under the same load: a new one each time, a pool, or one kept.

The demo runs under gunicorn with no proxy and no fault. A clock inside the workers (`workbench.guest.acquisitions`, the same
in every arm) sums what each request spends in getting a connection that may be used, its check included; the server says
how many sessions were opened and how many it holds. Throughput is equal by design: an open loop offers the same requests
at the same times, and a trial in which they were not all answered does not count.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import psycopg

from workbench import arms
from workbench.drills import books
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment
from workbench.drills.opt_ins import POOL, pooled
from workbench.drills.workload import LATE, ORDER_SHARE, RATE, mixed, outcomes_of, universe_of
from workbench.guest.acquisitions import DOORS, HEADER, place
from workbench.records import Arm, Metric, Trial, Validity, Wrap
from workbench.run import Depth
from workbench.servers.postgres import PostgresServer
from workbench.servers.sessions import sessions
from workbench.traffic import Load, Reply, Request

#: Seconds of load whose requests count, and before them: a pool fills, and kept connections are opened once.
MEASURED, WARM_UP = 3.0, 1.0
#: Seconds between two looks at the sessions that the server holds.
LOOK = 0.05
CLOCK = tuple(
    Wrap(f"django.db.backends.base.base.BaseDatabaseWrapper.{door}", "workbench.guest.acquisitions.timed")
    for door in DOORS
)


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    anew = {"DATABASES.default.CONN_MAX_AGE": 0, "DATABASES.default.CONN_HEALTH_CHECKS": False}
    kept = {"DATABASES.default.CONN_MAX_AGE": 60, "DATABASES.default.CONN_HEALTH_CHECKS": True}
    control, treatment = arms.control("DATABASE"), arms.treatment("DATABASE", settings=pooled())
    both = (
        replace(
            control,
            label=f"{control.label}, CONN_MAX_AGE=0",
            settings={**control.settings, **anew},
            wraps=CLOCK,
        ),
        replace(treatment, label=f"{treatment.label}, Django's pool", wraps=CLOCK),
    )
    if depth != "full":
        return both
    # Checked like the pool's: a connection that may be dead is not a usable one.
    return (*both, arms.peer("DATABASE", "persistent connections with health checks", kept, CLOCK))


def run(environment: Environment, task: Task) -> Trial:
    """One trial: a fresh database and gunicorn, a warm-up, and the load that counts."""
    server = environment.server
    duration = WARM_UP + MEASURED
    with environment.database() as dbname:
        requests = [_named(one) for one in mixed(universe_of(server, dbname), duration, task.seed)]
        with (
            environment.web(task.arm, dbname, ready_path="/health/") as web,
            Load(web.host, web.port, requests, out=task.operations / f"{task.id}.jsonl") as load,
            sessions_held(server, dbname, load.started_at + WARM_UP) as held,
        ):
            overlay = Path(web.env["WORKBENCH_OVERLAY"])
            pids = {os.getpid(), server.pid, web.pid, load.pid}
            replies = load.wait()
            lateness = load.lateness_p99
        waits = read_waits(overlay)
        opened = _sessions_opened(server, dbname)
        told = {reply.id: reply.outcome for reply in replies if reply.kind == "order"}
        violations = books.check(server, dbname, told)
    counted = [reply for reply in replies if reply.intended >= WARM_UP]
    outcomes = outcomes_of(replies)
    validity = Validity(
        manipulated=_as_meant(task.arm, opened, len(waits)),
        # Equal throughput: the same requests left at the same times, and each of them was served and measured.
        load_met=lateness is not None
        and lateness <= LATE
        and outcomes.ok == outcomes.total
        and all(reply.id in waits for reply in counted),
        isolated=len(pids) == 4,
        lateness_p99=lateness,
    )
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        metrics=_metrics(counted, waits, held, opened),
        outcomes=outcomes,
        validity=validity,
        exclusions=validity.codes,
        violations=violations,
    )


def _named(request: Request) -> Request:
    return replace(request, headers={**request.headers, HEADER: request.id})


def read_waits(overlay: Path) -> dict[str, float]:
    """Seconds that each request waited for usable connections, from the files of all workers."""
    pattern = place(overlay)
    lines = [line for path in pattern.parent.glob(pattern.name) for line in path.read_text().splitlines()]
    return {found["id"]: found["seconds"] for found in map(json.loads, lines)}


@contextmanager
def sessions_held(server: PostgresServer, dbname: str, begin: float) -> Iterator[list[int]]:
    """Count the database's sessions at the server, again and again from a moment on, until the block ends."""
    seen: list[int] = []
    over = threading.Event()

    def look(tool: psycopg.Connection[Any]) -> None:
        over.wait(max(0.0, begin - time.monotonic()))
        while not over.wait(LOOK):
            seen.append(len(sessions(tool, dbname)))

    with server.connect() as tool:
        thread = threading.Thread(target=look, args=(tool,), name="workbench-sessions")
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


def _sessions_opened(server: PostgresServer, dbname: str) -> int:
    """How many client sessions the database has had, as the server's own statistics say."""
    with server.connect() as tool:
        row = tool.execute("SELECT sessions FROM pg_stat_database WHERE datname = %s", [dbname]).fetchone()
    return int(row[0]) if row else 0


def _as_meant(arm: Arm, opened: int, served: int) -> bool:
    """Whether the server saw what the arm stands for: a session for each request, or far fewer.

    Its statistics come a moment late, so that a few of the last sessions may be missing in them.
    """
    return opened >= 0.95 * served if arm.name == "control" else opened < 0.25 * served


def _metrics(
    counted: Sequence[Reply], waits: Mapping[str, float], held: Sequence[int], opened: int
) -> dict[str, Metric]:
    seconds = sorted(waits[reply.id] for reply in counted if reply.id in waits)
    good = sum(reply.outcome == "ok" for reply in counted)
    found = {
        "throughput": Metric(good / MEASURED, "requests/s", good, len(counted)),
    }
    if waits:
        found["sessions_opened"] = Metric(opened / len(waits), "sessions per request")
    if seconds:
        found["acquire_time"] = Metric(fmean(seconds), "s")
        found["acquire_p95"] = Metric(seconds[int(0.95 * (len(seconds) - 1))], "s")
    if held:
        found["connections_held"] = Metric(fmean(held), "connections")
        found["connections_most"] = Metric(max(held), "connections")
    return found


CONNECTION_EFFICIENCY = Drill(
    id="connection-efficiency",
    claims=("DB-4",),
    title="The wait for a usable connection: opened for each request, or taken from a pool",
    run=run,
    blocks={"quick": 2, "default": 8, "full": 12},
    arms=arms_of,
    seconds=6.5,
    workload={
        "rate": RATE,
        "orders": ORDER_SHARE,
        "seconds": MEASURED,
        "warm-up": WARM_UP,
        "server": "gunicorn gthread 2 x 4",
        "pool": dict(POOL),
    },
    reason_elsewhere="on a project of your own this drill comes with a later version",
)
