"""Runs a drill's trials in randomised blocks and writes each to the journal: the plan first, then the data."""

from __future__ import annotations

import hashlib
import random
import shlex
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from workbench.claims import claim
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment
from workbench.errors import WorkbenchError
from workbench.journal import plan_hash
from workbench.progress import Progress, Show
from workbench.records import Arm, Finding, Plan, Trial, Validity
from workbench.run import RunFolder

T = TypeVar("T")

#: Trials that may fail in a row for a reason outside the arm (a server that does not start) before the drill gives up.
PATIENCE = 3


class Serial(Executor):
    """An executor that does each task at once: on one machine, trials that measure time must not run beside each other."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 whoever asks for the result gets it
            future.set_exception(error)
        return future


def plan(drill: Drill, run: RunFolder, environment: Environment, blocks: int | None = None) -> Plan:
    """What the drill is going to do at the run's depth, with the hash that stands in the journal before any data."""
    parts, skipped = drill.parts(run.depth)
    count = drill.blocks[run.depth] if blocks is None else blocks
    made = Plan(
        drill=drill.id,
        claims=drill.claims,
        title=drill.title,
        arms=drill.arms(environment, run.depth),
        blocks=count,
        seed=run.seed,
        faults=drill.faults,
        missing=drill.missing,
        parts=parts,
        skipped=skipped,
        workload=drill.workload,
        rules={name: claim(name).rule for name in drill.claims},
        command=command_of(drill, run, count),
    )
    return replace(made, hash=plan_hash(made))


def command_of(drill: Drill, run: RunFolder, pairs: int) -> str:
    """What a reader types to repeat the drill: project, depth, sample and seed."""
    words = ["workbench", "drill", drill.id, "--pairs", str(pairs), "--seed", str(run.seed), *drill.options]
    if run.depth != "default":
        words.append(f"--{run.depth}")
    if not run.project.demo:
        words += ["--project", run.project.root.name, "--settings", run.project.settings]
    return shlex.join(words)


def seed_of(run_seed: int, drill: str, part: str, block: int) -> int:
    """The seed of a block: the same on every machine, different for each block."""
    digest = hashlib.sha256(f"{run_seed}/{drill}/{part}/{block}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def tasks(made: Plan, run: RunFolder) -> list[tuple[str, Task]]:
    """All trials of a plan in the order of running, each with the words for its progress line."""
    found = []
    for part in made.parts:
        for block in range(made.blocks):
            seed = seed_of(made.seed, made.drill, part, block)
            order: list[Arm] = list(made.arms)
            random.Random(seed).shuffle(order)
            for position, arm in enumerate(order):
                # In the A/A pass both arms have the same name.
                twice = f"{position}" if len({one.name for one in order}) < len(order) else ""
                name = ".".join(filter(None, (made.drill, part, f"{block + 1}", arm.name, twice)))
                text = f"{part + ', ' if part else ''}block {block + 1} of {made.blocks}, {arm.label}"
                found.append(
                    (
                        text,
                        Task(
                            name, made.drill, arm, block, position, seed, part, run.append, run.path / "ops"
                        ),
                    )
                )
    return found


def run_drill(
    drill: Drill,
    run: RunFolder,
    environment: Environment,
    *,
    blocks: int | None = None,
    show: Show | None = None,
    executor: Executor | None = None,
) -> list[Trial]:
    """Run every trial of a drill, journalling as it goes.

    Args:
        drill: which.
        run: where to write, and at which depth.
        environment: servers and processes to use.
        blocks: overrides the depth's number of blocks.
        show: told of each step.
        executor: where trials run; one after the other by default.

    Raises:
        WorkbenchError: `PATIENCE` trials in a row could not be run.
    """
    if drill.demo_only and not run.project.demo:
        for name in drill.claims:
            run.append(Finding(name, "not-run", drill.reason_elsewhere))
        return []
    # A project that does not start is told at once, and not as a trial that failed.
    environment.facts  # noqa: B018 read for its error
    made = plan(drill, run, environment, blocks)
    if not made.blocks:
        run.append(Finding(drill.id, "not-run", f"not at the depth {run.depth}; --full runs it"))
        return []
    run.append(made)
    todo = tasks(made, run)
    progress = Progress(drill.id, len(todo), drill.seconds, run.progress_path, show)
    pool = executor or (Serial() if drill.at_once == 1 else ThreadPoolExecutor(drill.at_once))
    pending: deque[tuple[Task, Future[Trial]]] = deque()
    done: list[Trial] = []
    failures = 0
    last: WorkbenchError | None = None

    def collect() -> None:
        nonlocal failures, last
        task, future = pending.popleft()
        try:
            trial = future.result()
            failures = 0
        except WorkbenchError as error:
            failures, last = failures + 1, error
            if failures == PATIENCE:
                raise
            trial = failed(task, error)
        run.append(trial)
        done.append(trial)
        progress.finish()

    try:
        for text, task in todo:
            progress.begin(text)
            told = replace(task, tell=progress.within)
            pending.append((task, pool.submit(timed, drill, environment, told)))
            if len(pending) == drill.at_once:
                collect()
        while pending:
            collect()
    except BaseException:
        # Trials that still run end with their processes; otherwise a Ctrl-C would wait for them.
        environment.abort()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
    if last is not None and not any(one.counts for one in done):
        raise last  # nothing was measured: the cause is the result
    return done


def timed(drill: Drill, environment: Environment, task: Task) -> Trial:
    """Run one trial, and note when it began and how long it took."""
    started, before = time.time(), time.monotonic()
    trial = drill.run(environment, task)
    return replace(trial, started=started, took=time.monotonic() - before)


def failed(task: Task, error: WorkbenchError) -> Trial:
    """The record of a trial that could not be run: it stays in the journal, and does not count."""
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        part=task.part,
        metrics={},
        validity=Validity(notes=(error.problem[:2000],)),
        exclusions=("trial-failed",),
    )
