"""DB-1: connections are lost under load in five ways; who notices?

The demo runs under gunicorn behind the fault proxy, an open-loop generator sends 40 requests a second, and every trial
holds each kind of fault once, in seeded order. A failure is every scheduled request that was not answered correctly
within 5 s of its intended time.

No arm gets a `connect_timeout`: the control is what users run, and for the treatment it is no opt-in of the claim's, so
that a login which a black hole swallows is the overdue replies' business.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workbench import arms
from workbench.drills import books, peers
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment
from workbench.drills.faults import FAULTS, Bite, Target
from workbench.drills.opt_ins import RETRIES, pooled
from workbench.drills.witness import Witness, answers
from workbench.drills.workload import LATE, ORDER_SHARE, RATE, TIMEOUT, mixed, outcomes_of, universe_of
from workbench.records import (
    Arm,
    Evidence,
    Fault,
    Intent,
    Metric,
    Outcomes,
    Phase,
    Series,
    Trial,
    Validity,
    Wrap,
)
from workbench.run import Depth
from workbench.servers.proxy import Proxy
from workbench.traffic import Load, Reply

KINDS = ("backend-terminated", "server-killed", "tcp-reset", "blackhole", "slots-exhausted")
WARM_UP = 1.0
#: Seconds from the end of one fault to the next, beside the outage's own length again. A service that loses nothing holds
#: every request of an outage and answers them afterwards, beside the new ones; on two cores the demo serves about twice what
#: is offered, so that takes about as long as the outage. Without that time the next fault meets a queue that nobody could
#: have emptied, and failures would tell of the machine. What mending takes (a start of the server, logins for all its
#: slots: some tenths) goes off it.
GAP = 1.0
SHORTEST, LONGEST = 0.3, 3.0  #: of an outage, as the claim's population says
SUSTAIN = 0.25  #: seconds between two bites of a fault that does not last by itself

VIEWS = (
    "workbench.demo.stocks.views.stocks.index",
    "workbench.demo.stocks.views.stocks.detail",
    "workbench.demo.stocks.views.stocks.history",
    "workbench.demo.stocks.views.portfolios.detail",
    "workbench.demo.stocks.orders.place_order",
)


@dataclass(frozen=True)
class Outage:
    """One planned fault: seconds from the load's start."""

    kind: str
    start: float
    length: float


def gap_after(length: float) -> float:
    """Seconds without a fault after an outage of that length."""
    return GAP + length


def timetable(seed: int) -> tuple[list[Outage], float]:
    """Each kind once, in seeded order and of seeded length, and when the load ends; the arms of a block share it."""
    chance = random.Random(f"faults/{seed}")
    kinds = list(KINDS)
    chance.shuffle(kinds)
    outages, at = [], WARM_UP
    for kind in kinds:
        length = chance.uniform(SHORTEST, LONGEST)
        outages.append(Outage(kind, at, length))
        at += length + gap_after(length)
    return outages, at


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    both = (arms.control("DATABASE"), arms.treatment("DATABASE", RETRIES, pooled()))
    if depth != "full":
        return both
    name = f"{peers.__name__}.{peers.tenacity_around.__name__}"
    settings = {"DATABASES.default.CONN_HEALTH_CHECKS": True}
    wraps = tuple(Wrap(view, name) for view in VIEWS)
    return (*both, arms.peer("DATABASE", "health checks + tenacity", settings, wraps))


def run(environment: Environment, task: Task) -> Trial:
    """One trial: fresh database, proxy, gunicorn and load generator; the faults; the bank's books afterwards."""
    outages, duration = timetable(task.seed)
    server = environment.server
    with environment.database() as dbname:
        universe = universe_of(server, dbname)
        requests = mixed(universe, duration, task.seed)
        with (
            Proxy((server.host, server.port), name="db", seed=task.seed) as proxy,
            environment.web(task.arm, dbname, proxy.port, ready_path="/health/") as web,
            Load(web.host, web.port, requests, out=task.operations / f"{task.id}.jsonl") as load,
        ):
            target = Target(server, dbname, proxy)
            bites = [_strike(task, target, load.started_at, outage) for outage in outages]
            pids = {os.getpid(), server.pid, proxy.pid, web.pid, load.pid}
            replies = load.wait()
            lateness = load.lateness_p99
            healed = answers(target)
            # All replies are in. Threads that wait for what a black hole has swallowed never end by themselves, and the
            # requests behind them have no client any more: a polite stop would only cost its grace.
            web.kill()
        # So that no COMMIT that was under way is still at work while the books are read.
        server.terminate_backends(dbname)
        told = {reply.id: reply.outcome for reply in replies if reply.kind == "order"}
        violations = books.check(server, dbname, told)
    evidence = tuple(_with_failures(one, replies) for one in bites)
    outcomes = outcomes_of(replies)
    validity = Validity(
        manipulated=all(map(_has_bitten, evidence)),
        healed=healed,
        load_met=lateness is not None and lateness <= LATE,
        isolated=len(pids) == 5,
        lateness_p99=lateness,
    )
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        metrics=_metrics(outcomes),
        outcomes=outcomes,
        phases=_phases(evidence, duration),
        series=_series(replies, duration),
        evidence=evidence,
        validity=validity,
        exclusions=validity.codes,
        violations=violations,
    )


def _strike(task: Task, target: Target, zero: float, outage: Outage) -> Evidence:
    """Wait for the outage's time, inject, hold, heal; the journal knows of it before anything is harmed."""
    kind = FAULTS[outage.kind]
    _until(zero + outage.start)
    task.note(Intent(task.id, kind.name, target.name, kind.heal))
    with Witness(target) as witness:
        start = time.monotonic()
        with kind.inject(target) as bite:
            end = (bite.onset or time.monotonic()) + outage.length
            met = {"session": witness.ask(), "login": witness.knock()}
            _hold(bite, end)
    evidence = bite.evidence(
        kind.name,
        target.name,
        start - zero,
        time.monotonic() - zero,
        {"planned": outage.length, "witness": met},
    )
    task.note(Fault(task.id, evidence, healed=True))
    return evidence


def _hold(bite: Bite, end: float) -> None:
    """Keep the fault up until a moment."""
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(SUSTAIN, left))
        if end - time.monotonic() > 0:
            bite.sustain()


def _has_bitten(evidence: Evidence) -> bool:
    """Whether server or proxy confirm the fault, and the witness's session did not survive it."""
    return evidence.seen > 0 and evidence.detail["witness"]["session"] in ("refused", "silence")


def _until(moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        time.sleep(left)


def _with_failures(evidence: Evidence, replies: Sequence[Reply]) -> Evidence:
    """Add how many requests of the fault's own stretch, and of the gap after it, were not answered correctly."""
    until = evidence.end + gap_after(evidence.detail["planned"]) - 0.1
    during = [reply for reply in replies if evidence.start - 0.1 <= reply.intended < until]
    bad = sum(reply.outcome != "ok" for reply in during)
    detail = {**evidence.detail, "failed": bad, "requests": len(during)}
    return Evidence(
        evidence.fault,
        evidence.target,
        evidence.injected,
        evidence.seen,
        evidence.unit,
        evidence.start,
        evidence.end,
        detail,
    )


def _metrics(outcomes: Outcomes) -> dict[str, Metric]:
    definite = outcomes.failed + outcomes.dropped
    total = outcomes.total

    def share(events: int) -> Metric:
        return Metric(events / total if total else 0.0, "share", events, total)

    return {
        "failures": share(definite + outcomes.indeterminate),
        "failures_if_unknown_succeeded": share(definite),
        "unknown": share(outcomes.indeterminate),
    }


def _phases(evidence: Sequence[Evidence], duration: float) -> tuple[Phase, ...]:
    phases: list[Phase] = []
    at = 0.0
    for one in evidence:
        phases.append(Phase("recovery" if phases else "warm-up", at, one.start))
        phases.append(Phase("fault", one.start, one.end, one.fault))
        at = one.end
    return (*phases, Phase("recovery", at, duration))


def _series(replies: Sequence[Reply], duration: float) -> tuple[Series, ...]:
    good: list[float | None] = []
    offered: list[float | None] = []
    for second in range(int(duration) + 1):
        meant = [reply for reply in replies if second <= reply.intended < second + 1]
        offered.append(float(len(meant)))
        good.append(sum(reply.outcome == "ok" for reply in meant) / len(meant) if meant else None)
    return (
        Series("good", "share", 0.0, 1.0, tuple(good)),
        Series("offered", "requests", 0.0, 1.0, tuple(offered)),
    )


CONNECTION_LOSS = Drill(
    id="connection-loss",
    claims=("DB-1",),
    title="Connections lost under load: back ends terminated, the server killed, TCP resets, a black hole, no slots left",
    run=run,
    blocks={"quick": 2, "default": 8, "full": 12},
    arms=arms_of,
    seconds=18.0,
    faults=KINDS,
    workload={
        "rate": RATE,
        "orders": ORDER_SHARE,
        "timeout": TIMEOUT,
        "outage": [SHORTEST, LONGEST],
        "sustain": SUSTAIN,
        "gap": f"{GAP:g} s and the outage's length again",
        "server": "gunicorn gthread 2 x 4",
        "CONN_MAX_AGE": 60,
        "fsync": "off: only processes are killed",
    },
    reason_elsewhere="on a project of your own the read-only form of this drill comes with a later version",
)
