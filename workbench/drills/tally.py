"""What the small drills share: a process of the project that counts (`workbench.guest.tally`), and the check of its counts.

They decide no claim. Each shows one way in which a database fails its application, with Stalwart off and on; none of them is
run by `workbench report`, and `workbench drill ID` runs one.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from workbench import arms
from workbench.drills import peers
from workbench.drills.bank.drill import SIZE  # any data would do; so one template serves the bank and these
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment
from workbench.project_process import ProjectProcess
from workbench.records import Arm, Evidence, Fault, Intent, Metric, Outcomes, Trial, Validity, Wrap
from workbench.run import Depth
from workbench.servers.postgres import PostgresServer
from workbench.servers.proxy import Proxy

ROWS = 8
TABLES = (
    "CREATE TABLE tally (id integer PRIMARY KEY, number integer NOT NULL)",
    "CREATE TABLE tally_entry (name text NOT NULL)",
    f"INSERT INTO tally SELECT id, 0 FROM generate_series(1, {ROWS}) id",
    "ALTER TABLE tally OWNER TO app",
    "ALTER TABLE tally_entry OWNER TO app",
)
Answers = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Stage:
    """A trial under way.

    Attributes:
        task: the trial.
        server: the private PostgreSQL.
        dbname: the trial's database.
        process: of the project.
        proxy: between the two; None where the drill has none.
        zero: when it began.
    """

    task: Task
    server: PostgresServer
    dbname: str
    process: ProjectProcess
    proxy: Proxy | None
    zero: float

    @property
    def target(self) -> str:
        return f"postgres:{self.server.port}/{self.dbname}"

    def crowd(self, lists: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Set the threads to work; `answers` gets what came of it."""
        self.process.ask("workbench.guest.tally:crowd", lists=lists)

    def answers(self) -> list[dict[str, Any]]:
        """Wait for the threads."""
        found: list[dict[str, Any]] = self.process.receive(60, "tally")
        return found

    def announce(self, fault: str, heal: str) -> None:
        """Tell the journal before anything is harmed."""
        self.task.note(Intent(self.task.id, fault, self.target, heal))

    def healed(
        self, fault: str, seen: int, unit: str, start: float, detail: Mapping[str, Any] | None = None
    ) -> Evidence:
        """What shows that the fault bit; `start` is a time of `time.monotonic`."""
        end = time.monotonic()
        made = Evidence(
            fault, self.target, 1, seen, unit, start - self.zero, end - self.zero, dict(detail or {})
        )
        self.task.note(Fault(self.task.id, made, healed=True))
        return made


@contextmanager
def stage(
    environment: Environment,
    task: Task,
    *,
    settings: Mapping[str, Any] | None = None,
    session: Mapping[str, str] | None = None,
    proxied: bool = False,
) -> Iterator[Stage]:
    """A fresh database with the tables, and a process of the project under the task's arm.

    Args:
        environment: of the drill.
        task: the trial.
        settings: dotted Django settings for all arms.
        session: PostgreSQL settings that the application's sessions get.
        proxied: put the fault proxy in between.
    """
    server = environment.server
    with environment.database(SIZE) as dbname, ExitStack() as stack:
        with server.connect(dbname) as connection:
            for statement in TABLES:
                connection.execute(statement)
            for name, value in (session or {}).items():
                connection.execute(f"ALTER ROLE app IN DATABASE {dbname} SET {name} = '{value}'")
        proxy = None
        if proxied:
            proxy = stack.enter_context(Proxy((server.host, server.port), name="tally", seed=task.seed))
        arm = replace(task.arm, settings={**task.arm.settings, **(settings or {})})
        process = stack.enter_context(environment.process(arm, dbname, proxy.port if proxy else None))
        yield Stage(task, server, dbname, process, proxy, time.monotonic())


@dataclass(frozen=True)
class Books:
    """What the tables say against what was answered."""

    lost: int
    doubled: int
    ghosts: int
    unbalanced: int
    violations: Mapping[str, str]


def books(server: PostgresServer, dbname: str, answers: Answers, rows: Mapping[str, int]) -> Books:
    """Read the tables once nobody writes any more.

    Args:
        server: the private PostgreSQL.
        dbname: the trial's database.
        answers: of all jobs.
        rows: a job's name to the number of rows that it counts on.
    """
    server.terminate_backends(dbname)
    with server.connect(dbname) as connection:
        entries = Counter(name for (name,) in connection.execute("SELECT name FROM tally_entry"))
        row = connection.execute("SELECT sum(number) FROM tally").fetchone()
    assert row is not None
    return examine(answers, entries, int(row[0]), rows)


def examine(answers: Answers, entries: Counter[str], number: int, rows: Mapping[str, int]) -> Books:
    """The check itself; pure. `number` is the sum of all counts."""
    told = {one["name"]: one["outcome"] for one in answers}
    cases = {
        "lost": [name for name, outcome in told.items() if outcome == "ok" and not entries[name]],
        "doubled": [name for name, effects in entries.items() if effects > 1],
        "ghost": [name for name, outcome in told.items() if outcome == "failed" and entries[name]],
    }
    expected = sum(rows[name] * effects for name, effects in entries.items())
    violations = {
        kind: f"{len(names)} times; first: {names[0]}, told {told.get(names[0])}, there {entries[names[0]]} times"
        for kind, names in cases.items()
        if names
    }
    if number != expected:
        violations["sums"] = f"the counts sum up to {number}, the entries say {expected}"
    return Books(
        len(cases["lost"]),
        len(cases["doubled"]),
        len(cases["ghost"]),
        abs(number - expected),
        violations,
    )


def trial(
    scene: Stage,
    answers: Answers,
    found: Books,
    evidence: Sequence[Evidence],
    extra: Mapping[str, Metric] | None = None,
) -> Trial:
    """The record of a trial: counts of answers, what the books say, times to answer."""
    task, counts = scene.task, Counter(one["outcome"] for one in answers)
    seconds = sorted(one["seconds"] for one in answers)
    total = len(answers)

    def share(number: int) -> Metric:
        return Metric(number, "transactions", number, total)

    validity = Validity(manipulated=all(one.seen > 0 for one in evidence))
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        part=task.part,
        metrics={
            "transactions": Metric(total, "transactions"),
            "bitten": Metric(sum(one.seen for one in evidence), "faults"),
            "ok": share(counts["ok"]),
            "failed": share(counts["failed"]),
            "unknown": share(counts["indeterminate"]),
            "lost": share(found.lost),
            "doubled": share(found.doubled),
            "ghosts": share(found.ghosts),
            "median": Metric(statistics.median(seconds), "s"),
            "p95": Metric(seconds[max(0, round(0.95 * total) - 1)], "s"),
            **(extra or {}),
            **_by_form(answers),
        },
        outcomes=Outcomes(ok=counts["ok"], failed=counts["failed"], indeterminate=counts["indeterminate"]),
        evidence=tuple(evidence),
        validity=validity,
        exclusions=validity.codes,
        violations=found.violations,
    )


def _by_form(answers: Answers) -> dict[str, Metric]:
    """How many went well of each way of writing a transaction."""
    made = {}
    for form in dict.fromkeys(one["form"] for one in answers):
        own = [one["outcome"] == "ok" for one in answers if one["form"] == form]
        made[f"ok:{form}"] = Metric(sum(own), "transactions", sum(own), len(own))
    return made


def arms_with(
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    always: bool = False,
) -> Callable[[Environment, Depth], tuple[Arm, ...]]:
    """Stalwart off and on, and tenacity around the transaction.

    Args:
        options: opt-ins of the treatment.
        settings: further ones of the peer.
        always: the peer runs at every depth, not at the full one only.
    """
    name = f"{peers.__name__}.{peers.tenacity_around.__name__}"
    wraps = tuple(Wrap(f"workbench.guest.tally.{form}", name) for form in ("plain", "retried", "block"))

    def made(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
        both = (arms.control("DATABASE"), arms.treatment("DATABASE", options))
        if depth != "full" and not always:
            return both
        return (*both, arms.peer("DATABASE", "tenacity around the transaction", settings, wraps))

    return made


def small(
    name: str,
    title: str,
    run: Callable[[Environment, Task], Trial],
    made: Callable[[Environment, Depth], tuple[Arm, ...]],
    seconds: float,
    **options: Any,
) -> Drill:
    """A drill of this family: few trials, no claim."""
    return Drill(name, (), title, run, {"quick": 1, "default": 3, "full": 8}, made, seconds, **options)
