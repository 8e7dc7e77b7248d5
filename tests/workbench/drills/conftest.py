"""What the drills' tests share: one environment for all of them, and servers to be harmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import project
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment
from workbench.drills.faults import Target
from workbench.records import Trial
from workbench.servers.postgres import PostgresServer
from workbench.servers.proxy import Proxy


@pytest.fixture(scope="session")
def environment() -> Iterator[Environment]:
    with Environment(project.demo(), seed=1) as made:
        yield made


@pytest.fixture
def noted() -> list[Any]:
    """What the drill wrote to the journal."""
    return []


@pytest.fixture
def run_arm(environment: Environment, tmp_path: Path, noted: list[Any]) -> Callable[..., Trial]:
    """Run one trial of a drill under the arm of a name."""

    def run(drill: Drill, name: str, part: str = "", seed: int = 7) -> Trial:
        arm = next(one for one in drill.arms(environment, "full") if one.name == name)
        task = Task(f"{drill.id}.{part}.{name}", drill.id, arm, 0, 0, seed, part, noted.append, tmp_path)
        return drill.run(environment, task)

    return run


@pytest.fixture
def target(postgres: PostgresServer, database: str) -> Iterator[Target]:
    """A database of the session's server behind a proxy of its own."""
    with Proxy((postgres.host, postgres.port), name="db") as proxy:
        yield Target(postgres, database, proxy)
