"""MEM-4: a pass over a large table, all at once or in chunks; each in a fresh process, measured by memray."""

from __future__ import annotations

from collections.abc import Mapping

from workbench import arms
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment, Size
from workbench.records import Arm, Metric, Trial
from workbench.run import Depth

MODEL = "stocks.DailyBar"
ROWS = {"rows-100000": 100_000, "rows-1000000": 1_000_000}
SEEDED = 100_000
#: Seconds that one pass may take, measured or not.
LIMIT = 300
MEASURE = "workbench.guest.memory:measure"


def parts_of(depth: Depth) -> tuple[tuple[str, ...], Mapping[str, str]]:
    if depth == "quick":
        return ("rows-100000",), {"rows-1000000": "10⁶ rows need the default depth (workbench report)"}
    return tuple(ROWS), {}


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    both = (arms.control("MEMORY"), arms.treatment("MEMORY"))
    return (*both, arms.peer("MEMORY", ".iterator()")) if depth == "full" else both


def run(environment: Environment, task: Task) -> Trial:
    """One pass under memray; at 10⁵ rows also one without in another process, for the kernel's own mark.

    Control and treatment run the same line, `chunk_queryset(queryset)`: with the part off it is a plain pass.
    """
    rows = ROWS[task.part]
    dbname = environment.template(Size(bars=SEEDED, companies=100, times=rows // SEEDED))
    how = "iterator" if task.arm.name == "peer" else "chunks"
    capture = environment.folder / f"{task.id}.memray"
    with environment.process(task.arm, dbname) as process:
        measured = process.call(MEASURE, LIMIT, model=MODEL, rows=rows, how=how, capture=str(capture))
    capture.unlink(missing_ok=True)
    metrics = {
        "peak_memory": Metric(measured["peak_memory"], "bytes"),
        "rows": Metric(measured["rows"], "rows"),
        "checksum": Metric(measured["checksum"], "crc"),
    }
    if rows == SEEDED:
        with environment.process(task.arm, dbname) as process:
            checked = process.call(MEASURE, LIMIT, model=MODEL, rows=rows, how=how)
        if checked["rss_growth"] is not None:
            metrics["rss_growth"] = Metric(checked["rss_growth"], "bytes")
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        part=task.part,
        metrics=metrics,
    )


LARGE_QUERYSETS = Drill(
    id="large-querysets",
    claims=("MEM-4",),
    title="A pass over 10⁵ and 10⁶ rows: all at once, or in chunks",
    run=run,
    blocks={"quick": 3, "default": 3, "full": 5},
    arms=arms_of,
    seconds=10.0,
    at_once=2,  # memory does not depend on the machine's load; what does (seconds) is not measured
    parts=parts_of,
    workload={
        "model": MODEL,
        "rows": list(ROWS.values()),
        "at_once": 2,
        "resident memory checked at": SEEDED,
    },
    reason_elsewhere="on a project of your own this drill comes with a later version",
)
