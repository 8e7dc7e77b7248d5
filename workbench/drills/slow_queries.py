"""DB-5: queries that are slow for a known reason, among quick ones; which of them does the library report?

What is slow is not for the library to say. A case is planted by how it is written, and counts only when it really was slow:
each trial runs its cases with Stalwart off first, in a process of its own, and takes the time there. From these times comes
the threshold, by a rule fixed beforehand, since what is slow on one machine is not on another. A planted case counts when it
took clearly more there, a clean one when it took clearly less: what lies between is slow in one run and not in the next, and
no evidence of anything. The server's own log is the second witness.

In the other part everything that the library suggests for the planted cases is tried, and the statement timed before, with it
and after (`workbench.guest.remedies`). Whether it helped is shown; the claim says only that it was measured.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench import arms
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment, Size
from workbench.guest.remedies import RUNS
from workbench.guest.slow_tables import STATEMENTS
from workbench.records import Arm, Evidence, Metric, Trial, Validity
from workbench.run import Depth
from workbench.servers.postgres import PostgresServer

#: Seconds; the threshold is half of what the quickest tenth of the planted cases stays below with Stalwart off, within these.
LEAST, MOST = 0.005, 0.02
#: Times the threshold that a planted case must have taken with Stalwart off, and that a clean one must not.
SLOW, QUICK = 1.5, 0.5
#: The planted cases are dealt out over so many trials, so that each is run once in a default run.
HANDS = 4
#: Share of the planted cases that must have been slow for a trial to be a test.
LEAST_BITTEN = 0.75
LIMIT, TRYING = 120, 600
RUN = "workbench.guest.slow_queries:run"
TRY = "workbench.guest.slow_queries:tried"
#: Of a hand's cases every so many are tried in one trial: a default run tries half of them, a full one all.
SHARE = 2
#: Share of its time that a statement must lose for a suggestion to have helped.
HELPED = 0.2
SIZE = Size(bars=20_000, companies=100, label="slow", also=STATEMENTS)
DETECTION, MEASURED = "detection", "measured"
Cases = Sequence[Mapping[str, Any]]


def parts_of(depth: Depth) -> tuple[tuple[str, ...], Mapping[str, str]]:
    return (DETECTION, MEASURED), {}


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    return arms.control("DATABASE"), arms.treatment("DATABASE")


def run(environment: Environment, task: Task) -> Trial:
    """One hand of the cases; see the module's text for the two parts."""
    return (_measure if task.part == MEASURED else _detect)(environment, task)


def _measure(environment: Environment, task: Task) -> Trial:
    """Try what is suggested for some of the planted cases. Switched off the library suggests nothing, and nothing is tried."""
    dbname = environment.template(SIZE)
    tried: Cases = []
    start = time.monotonic()
    if task.arm.name != "control":
        with environment.process(task.arm, dbname) as process:
            tried = process.call(TRY, TRYING, number=task.block, of=SHARE * HANDS)
    measured = [one for one in tried if not one["why"]]
    saved = {id(one): 1 - one["with"] / min(one["before"], one["after"]) for one in measured}
    kinds = sorted({one["kind"] for one in measured})
    gains = {kind: [saved[id(one)] for one in measured if one["kind"] == kind] for kind in kinds}
    notes = [f"{one['case']}: {one['kind']} was not measured: {one['why']}" for one in tried if one["why"]]
    notes += [
        f"{one['case']}: {one['kind']} helped little: {one['before'] * 1000:.1f} ms before, {one['with'] * 1000:.1f} ms with it, "
        f"{one['after'] * 1000:.1f} ms after"
        for one in measured
        if saved[id(one)] < HELPED
    ]
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        part=task.part,
        metrics={
            "suggestions_unmeasured": _share(len(tried) - len(measured), len(tried)),
            "suggestions_that_helped": _share(sum(one >= HELPED for one in saved.values()), len(measured)),
            **{f"time_saved:{kind}": Metric(statistics.median(some), "share") for kind, some in gains.items()},
        },
        evidence=(
            Evidence(
                "none", f"postgres:{environment.server.port}/{dbname}", len(tried), len(measured),
                "suggestions tried and timed", 0.0, time.monotonic() - start,
            ),
        ),
        validity=Validity(manipulated=bool(measured) or task.arm.name == "control", notes=tuple(notes[:20])),
    )  # fmt: skip


def _share(events: int, exposure: int) -> Metric:
    return Metric(events / exposure if exposure else 0.0, "share", events, exposure)


def _detect(environment: Environment, task: Task) -> Trial:
    """First with Stalwart off, for the truth and the threshold, then under the arm."""
    dbname = environment.template(SIZE)
    server = environment.server
    with server.connect("postgres") as admin:
        for name, value in (
            ("log_min_duration_statement", f"'{LEAST * 1000:.0f}ms'"),
            # Two workers on two cores beside Python make times that nobody can repeat.
            ("max_parallel_workers_per_gather", "0"),
        ):
            admin.execute(f"ALTER ROLE app IN DATABASE {dbname} SET {name} = {value}")
    order = {"seed": task.seed, "number": task.block, "of": HANDS}
    start, before = time.monotonic(), len(_logged(server))
    cases = truth = _cases(environment, arms.control("DATABASE"), dbname, order)
    logged, end = _logged(server)[before:], time.monotonic()
    threshold = threshold_of([one["seconds"] for one in truth if one["planted"]])
    if task.arm.name != "control":
        settings = {**task.arm.settings, "STALWART.DATABASE.SLOW_QUERY": threshold}
        cases = _cases(environment, replace(task.arm, settings=settings), dbname, order)
    seconds = {one["name"]: one["seconds"] for one in truth}
    planted = [one for one in cases if one["planted"] and seconds[one["name"]] >= SLOW * threshold]
    clean = [one for one in cases if not one["planted"] and seconds[one["name"]] < QUICK * threshold]
    intended = sum(one["planted"] for one in cases)
    seen = sum(one >= SLOW * threshold for one in logged)
    bitten = Evidence(
        "slow-query",
        f"postgres:{server.port}/{dbname}",
        intended,
        min(seen, intended),
        "statements that the server's log holds as slow",
        0.0,
        end - start,
        {
            "threshold": threshold,
            "slow with Stalwart off": len(planted),
            "quickest planted": round(min((seconds[one["name"]] for one in planted), default=0.0), 4),
            "slowest clean": round(max((seconds[one["name"]] for one in clean), default=0.0), 4),
        },
    )
    enough = min(len(planted), seen) >= LEAST_BITTEN * intended
    validity = Validity(manipulated=enough, notes=_notes(planted, clean))
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        part=task.part,
        metrics={**_shares("planted_found", planted), **_shares("clean_flagged", clean)},
        evidence=(bitten,),
        validity=validity,
        exclusions=validity.codes,
    )


def threshold_of(planted: Sequence[float]) -> float:
    """The threshold of a trial, from the seconds that its planted cases took with Stalwart off."""
    quick = sorted(planted)[len(planted) // 10]
    return round(min(MOST, max(LEAST, quick / 2)), 4)


def _logged(server: PostgresServer) -> list[float]:
    """The seconds of all statements in the server's log."""
    return [float(found) / 1000 for found in re.findall(r"LOG:  duration: ([\d.]+) ms", server.log())]


def _cases(environment: Environment, arm: Arm, dbname: str, order: Mapping[str, int]) -> Cases:
    with environment.process(arm, dbname) as process:
        cases: Cases = process.call(RUN, LIMIT, **order)
    return cases


def _shares(metric: str, cases: Cases) -> dict[str, Metric]:
    """How many of the cases were reported, by kind and in all."""
    kinds = dict.fromkeys(one["kind"] for one in cases)
    groups = {f"{metric}:{kind}": [one for one in cases if one["kind"] == kind] for kind in sorted(kinds)}
    return {
        name: _share(sum(one["reported"] for one in group), len(group))
        for name, group in {metric: cases, **groups}.items()
    }


def _notes(planted: Cases, clean: Cases) -> tuple[str, ...]:
    """Which cases were judged wrongly; with Stalwart off nothing is, and saying so of each would say nothing."""
    wrong = [
        f"{one['name']} ({one['seconds'] * 1000:.0f} ms) was reported" for one in clean if one["reported"]
    ]
    if any(one["reported"] for one in planted):
        wrong += [
            f"{one['name']} ({one['seconds'] * 1000:.0f} ms) was not reported"
            for one in planted
            if not one["reported"]
        ]
    return tuple(wrong[:20])


SLOW_QUERIES = Drill(
    id="slow-queries",
    claims=("DB-5",),
    title="Slow queries planted among quick ones: which are reported, and what the suggestions for them gain",
    run=run,
    blocks={"quick": 0, "default": HANDS, "full": 2 * HANDS},
    arms=arms_of,
    seconds=6.0,
    parts=parts_of,
    workload={
        "threshold": "half of what the quickest tenth of the planted cases takes with Stalwart off",
        "threshold at least": LEAST,
        "threshold at most": MOST,
        "planted counts from": f"{SLOW} × threshold with Stalwart off",
        "clean counts below": f"{QUICK} × threshold with Stalwart off",
        "suggestions tried": f"for every {SHARE * HANDS}th planted case in a trial, {RUNS} runs each before, with it and after",
    },
)
