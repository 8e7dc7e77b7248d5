"""Trials run in randomised blocks, the plan stands in the journal before any data, and failures are recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stalwart.conf import parse
from workbench import cli, drills, project, trial
from workbench.claims import claim
from workbench.drills import connection_loss, opt_ins, workload
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment
from workbench.drills.faults import FAULTS
from workbench.errors import WorkbenchError
from workbench.project import Project
from workbench.records import Arm, Finding, Metric, Plan, Trial
from workbench.run import RunFolder

ARMS = (Arm("control", "off"), Arm("treatment", "on"))


@pytest.fixture
def environment() -> Any:
    """An environment of which these tests start nothing but its process for facts."""
    with Environment(project.demo(), seed=1) as made:
        yield made


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.new(tmp_path / "run", depth="quick", seed=3)


def instant(run_one: Callable[[Environment, Task], Trial]) -> Drill:
    """A drill whose trials take no time, on the claim NET-1."""
    return Drill(
        "bandwidth",
        ("NET-1",),
        "title",
        run_one,
        {"quick": 3, "default": 3, "full": 3},
        lambda environment, depth: ARMS,
        0.1,
    )


def done(environment: Environment, task: Task) -> Trial:
    return Trial(
        task.id, task.drill, task.block, task.arm.name, task.order, task.seed, {"bytes": Metric(1, "bytes")}
    )


def test_the_plan_comes_first_with_its_hash(run: RunFolder, environment: Environment) -> None:
    """No datum is written before the plan, and the hash covers the plan."""
    trial.run_drill(instant(done), run, environment)
    kinds = [line.kind for line in run.journal().lines]
    assert kinds == ["run", "plan", *["trial"] * 6]
    plan = run.journal().plans[0]
    assert len(plan.hash) == 64
    assert plan.rules == {"NET-1": claim("NET-1").rule}
    again = trial.plan(instant(done), run, environment)
    assert again.hash == plan.hash
    assert trial.plan(instant(done), replace(run, seed=4), environment).hash != plan.hash


def test_the_command_repeats_the_plan(run: RunFolder, environment: Environment, tmp_path: Path) -> None:
    """What the page says to type names the sample, the seed, the depth and the project."""
    words = trial.plan(instant(done), run, environment).command.split()
    assert words == ["workbench", "drill", "bandwidth", "--pairs", "3", "--seed", "3", "--quick"]
    arguments = cli.parser().parse_args(words[1:])
    assert (arguments.id, arguments.pairs, arguments.seed, arguments.depth) == ("bandwidth", 3, 3, "quick")
    elsewhere = replace(run, depth="default", project=Project("shop", tmp_path / "shop", "shop.settings"))
    assert trial.plan(instant(done), elsewhere, environment).command.endswith(
        "--project shop --settings shop.settings"
    )


def test_the_noise_floor_has_two_equal_arms(run: RunFolder, environment: Environment) -> None:
    """At full depth both arms of the A/A pass are the control arm, under ids of their own; else it is not run."""
    full = replace(run, depth="full")
    tasks = [task for _, task in trial.tasks(trial.plan(drills.find("noise-floor"), full, environment), full)]
    assert {task.arm.name for task in tasks} == {"control"}
    assert len({task.id for task in tasks}) == len(tasks) == 16
    assert trial.run_drill(drills.find("noise-floor"), run, environment) == []
    assert run.journal().of(Finding)[-1].subject == "noise-floor"


def test_arms_are_paired_and_their_order_is_random(run: RunFolder, environment: Environment) -> None:
    """Each block holds each arm once, with one seed; over many blocks either arm comes first."""
    plan = trial.plan(instant(done), run, environment, blocks=40)
    tasks = [task for _, task in trial.tasks(plan, run)]
    firsts = {task.arm.name for task in tasks if task.order == 0}
    assert firsts == {"control", "treatment"}
    for block in range(40):
        pair = [task for task in tasks if task.block == block]
        assert {task.arm.name for task in pair} == {"control", "treatment"}
        assert len({task.seed for task in pair}) == 1
    assert len({task.seed for task in tasks}) == 40
    assert len({task.id for task in tasks}) == 80


def test_a_failed_trial_is_recorded_and_does_not_count(run: RunFolder, environment: Environment) -> None:
    """A server that does not start costs its trial; the reason stands in the journal."""

    def sometimes(environment: Environment, task: Task) -> Trial:
        if task.block == 1 and task.arm.name == "control":
            raise WorkbenchError("gunicorn ended\nits log", "look")
        return done(environment, task)

    trials = trial.run_drill(instant(sometimes), run, environment)
    bad = [one for one in trials if not one.counts]
    assert [(one.block, one.arm, one.exclusions) for one in bad] == [(1, "control", ("trial-failed",))]
    assert "gunicorn ended" in bad[0].validity.notes[0]
    assert len(run.journal().trials("bandwidth")) == 6


def test_a_drill_that_cannot_run_gives_up(run: RunFolder, environment: Environment) -> None:
    """Three failures in a row end the drill with the cause."""

    def never(environment: Environment, task: Task) -> Trial:
        raise WorkbenchError("no server", "install one")

    with pytest.raises(WorkbenchError, match="no server"):
        trial.run_drill(instant(never), run, environment)
    assert len(run.journal().trials("bandwidth")) == trial.PATIENCE - 1


def test_a_demo_drill_on_another_project_is_not_run(
    run: RunFolder, environment: Environment, tmp_path: Path
) -> None:
    """A user's project gets the reason instead of a failure."""
    elsewhere = replace(run, project=Project("shop", tmp_path, "shop.settings"))
    assert trial.run_drill(drills.find("DB-1"), elsewhere, environment) == []
    assert [(one.subject, one.code) for one in run.journal().of(Finding)] == [("DB-1", "not-run")]


@pytest.mark.parametrize(
    ("name", "found"), [("DB-1", "connection-loss"), ("mem-4", "large-querysets"), ("bandwidth", "bandwidth")]
)
def test_drills_are_found_by_claim_too(name: str, found: str) -> None:
    """`workbench drill DB-1` and `workbench drill connection-loss` are the same."""
    assert drills.find(name).id == found


def test_every_drill_decides_claims_that_name_it() -> None:
    """Registry and drills point at each other."""
    for drill in drills.DRILLS.values():
        for name in drill.claims:
            assert claim(name).drill == drill.id
        assert set(drill.blocks) == {"quick", "default", "full"}


def test_the_timetable_holds_each_fault_once() -> None:
    """Every trial has every kind, in seeded order, with outages of 0.3 to 3 s, and time to recover between them."""
    orders = set()
    for seed in range(200):
        outages, end = connection_loss.timetable(seed)
        assert sorted(one.kind for one in outages) == sorted(connection_loss.KINDS)
        assert all(0.3 <= one.length <= 3.0 for one in outages)
        calm = [one.start + 2 * one.length + connection_loss.GAP for one in outages]
        assert [*(one.start for one in outages[1:]), end] == [pytest.approx(at) for at in calm]
        orders.add(tuple(one.kind for one in outages))
    assert len(orders) > 90  # of 120
    assert connection_loss.timetable(7) == connection_loss.timetable(7)


def test_the_workload_is_the_claims_population() -> None:
    """40 requests a second, a quarter of them orders with ids of their own, the same for both arms."""
    universe = workload.Universe(["AAAA", "BBBB"], [1, 2])
    requests = workload.mixed(universe, 100.0, seed=5)
    orders = [one for one in requests if one.kind == "order"]
    assert 3600 < len(requests) < 4400
    assert 0.21 < len(orders) / len(requests) < 0.29
    assert len({one.id for one in requests}) == len(requests)
    assert requests == workload.mixed(universe, 100.0, seed=5)
    assert {one.timeout for one in requests} == {5.0}


def test_the_faults_of_a_claim_stand_in_the_plan(run: RunFolder, environment: Environment) -> None:
    """All five kinds that DB-1 names are injected; what a drill does not inject is said before the data."""
    plan: Plan = trial.plan(drills.find("DB-1"), run, environment)
    assert set(plan.faults) == set(connection_loss.KINDS) <= set(FAULTS)
    assert len(set(plan.faults)) == 5
    assert plan.missing == ()
    partial = replace(drills.find("DB-1"), missing=("flood",))
    assert trial.plan(partial, run, environment).missing == ("flood",)


@pytest.mark.parametrize("name", ["DB-1", "DB-2"])
def test_the_opt_ins_are_the_treatments_alone(run: RunFolder, environment: Environment, name: str) -> None:
    """The drill switches on what its claim names, by settings that exist; the other arms have nothing of it."""
    arms = {arm.name: arm for arm in trial.plan(drills.find(name), run, environment).arms}
    keys = {arm: {key for key in arms[arm].settings if "isolation" not in key} for arm in arms}
    assert keys["control"] == {"STALWART.DATABASE.ENABLED"}
    settings = arms["treatment"].settings
    assert {f"STALWART.DATABASE.{option}" for option in opt_ins.RETRIES} <= keys["treatment"]
    assert set(claim(name).opt_ins) == {"request retry", "transparent reads", "overdue replies", "pool"}
    _, problems = parse({"DATABASE": dict(opt_ins.RETRIES)})
    assert problems == ()
    pool = settings["DATABASES.default.OPTIONS.pool"]
    assert pool["max_size"] == 4  # the threads of one worker
    assert settings["DATABASES.default.CONN_MAX_AGE"] == 0


def test_the_arms_of_an_isolation_level_share_it(run: RunFolder, environment: Environment) -> None:
    """DB-2 runs every arm at repeatable read; the peer, too, which the full depth adds."""
    full = replace(run, depth="full")
    levels = [
        arm.settings.get("DATABASES.default.OPTIONS.isolation_level")
        for arm in trial.plan(drills.find("DB-2"), full, environment).arms
    ]
    assert levels == [3, 3, 3]
