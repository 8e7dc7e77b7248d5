"""DB-2: errors that pass by themselves, injected one at a time into a running order; does it take effect exactly once?

A second session holds the portfolio's row, so that the order under test waits at a known place; then the error is
brought about by the server itself. The unit is one injected error that the server confirms.

The order is called as a function, with no request around it: of the opt-ins that the claim names the pool and the overdue
replies have a say in it, the request retry and the transparent reads are on and have none.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from workbench import arms
from workbench.drills import books, peers
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment
from workbench.drills.opt_ins import RETRIES, pooled
from workbench.errors import WorkbenchError
from workbench.project_process import ProjectProcess
from workbench.records import Arm, Evidence, Fault, Intent, Metric, Outcomes, Trial, Validity, Wrap
from workbench.run import Depth
from workbench.servers.postgres import PostgresServer

KINDS = ("deadlock", "serialization-failure", "lock-timeout", "lost-connection", "server-restart")
EACH = 2  #: injected errors of each kind in a trial
DEADLINE = 5.0  #: seconds within which the operation must have taken effect
REPEATABLE_READ = 3  #: psycopg's number; without it PostgreSQL has no serialization failure to give
#: Seconds. The order's own session looks for a deadlock late enough for the other side to have closed the circle.
DEADLOCK_TIMEOUT, LOCK_TIMEOUT = 0.2, 0.6

#: What the server's log says of each error; it is the witness that the fault bit.
WITNESS = {
    "deadlock": "deadlock detected",
    "serialization-failure": "could not serialize access",
    "lock-timeout": "canceling statement due to lock timeout",
    "lost-connection": "terminating connection due to administrator command",
    "server-restart": "database system was not properly shut down",
}


@dataclass(frozen=True)
class Scene:
    """One error about to happen: the order waits, this session stands in its way."""

    server: PostgresServer
    dbname: str
    blocker: psycopg.Connection[Any]
    portfolio: int
    company: int

    def waiting(self) -> int:
        """The back end that waits for our lock.

        Raises:
            WorkbenchError: none did within 10 s.
        """
        deadline = time.monotonic() + 10
        with self.server.connect(self.dbname) as watcher:
            while time.monotonic() < deadline:
                row = watcher.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
                    [self.dbname],
                ).fetchone()
                if row:
                    return int(row[0])
                time.sleep(0.005)
        raise WorkbenchError(
            "the order did not come to wait for its lock within 10 s",
            "run the drill again on a calmer machine",
        )

    def lock(self, table: str, condition: str, *values: int) -> None:
        self.blocker.execute(f"SELECT 1 FROM {table} WHERE {condition} FOR UPDATE", values)

    def lock_portfolio(self) -> None:
        self.lock("stocks_portfolio", "id = %s", self.portfolio)

    def lock_holding(self) -> None:
        self.lock("stocks_holding", "portfolio_id = %s AND company_id = %s", self.portfolio, self.company)

    def until_logged(self, text: str, before: int) -> None:
        """Wait until the server's log holds one more line with this text."""
        deadline = time.monotonic() + 10
        while self.server.log().count(text) <= before and time.monotonic() < deadline:
            time.sleep(0.01)


def _deadlock(scene: Scene) -> Iterator[None]:
    scene.lock_holding()
    yield
    scene.waiting()
    scene.lock_portfolio()  # closes the circle; returns when the server has ended the order's transaction
    scene.blocker.rollback()


def _serialization(scene: Scene) -> Iterator[None]:
    scene.blocker.execute("UPDATE stocks_portfolio SET cash = cash WHERE id = %s", [scene.portfolio])
    yield
    scene.waiting()
    scene.blocker.commit()


def _lock_timeout(scene: Scene) -> Iterator[None]:
    before = scene.server.log().count(WITNESS["lock-timeout"])
    scene.lock_portfolio()
    yield
    scene.waiting()
    scene.until_logged(WITNESS["lock-timeout"], before)
    scene.blocker.rollback()


def _lost_connection(scene: Scene) -> Iterator[None]:
    scene.lock_portfolio()
    yield
    scene.blocker.execute("SELECT pg_terminate_backend(%s)", [scene.waiting()])
    scene.blocker.rollback()


def _restart(scene: Scene) -> Iterator[None]:
    scene.lock_portfolio()
    yield
    scene.waiting()
    scene.server.kill()
    try:
        scene.blocker.close()
    finally:
        scene.server.start()
        scene.server.wait_ready()


SCRIPTS: dict[str, Callable[[Scene], Iterator[None]]] = {
    "deadlock": _deadlock,
    "serialization-failure": _serialization,
    "lock-timeout": _lock_timeout,
    "lost-connection": _lost_connection,
    "server-restart": _restart,
}


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    isolation = {"DATABASES.default.OPTIONS.isolation_level": REPEATABLE_READ}
    name = f"{peers.__name__}.{peers.tenacity_around.__name__}"
    wraps = (Wrap("workbench.demo.stocks.orders.place_order", name),)
    made = [arms.control("DATABASE"), arms.treatment("DATABASE", RETRIES, pooled())]
    if depth == "full":
        made.append(arms.peer("DATABASE", "tenacity around atomic", wraps=wraps))
    return tuple(replace(arm, settings={**arm.settings, **isolation}) for arm in made)


def run(environment: Environment, task: Task) -> Trial:
    """One trial: `EACH` errors of each kind, one after the other, in one process of the project."""
    server = environment.server
    seen: Counter[str] = Counter()
    recovered: Counter[str] = Counter()
    answers: dict[str, str] = {}
    evidence: list[Evidence] = []
    zero = time.monotonic()
    with environment.database() as dbname:
        with server.connect("postgres") as admin:
            for name, value in (("deadlock_timeout", DEADLOCK_TIMEOUT), ("lock_timeout", LOCK_TIMEOUT)):
                admin.execute(f"ALTER ROLE app IN DATABASE {dbname} SET {name} = '{int(value * 1000)}ms'")
        with environment.process(task.arm, dbname) as process:
            for kind in KINDS:
                for number in range(EACH):
                    one = f"{task.seed:x}-{kind}-{number}"
                    start = time.monotonic()
                    answer, bitten = _inject(environment, task, process, dbname, kind, one)
                    answers[one] = answer["outcome"]
                    with server.connect(dbname) as check:
                        written = _written(check, one)
                    seen[kind] += bitten
                    good = answer["outcome"] == "ok" and answer["seconds"] <= DEADLINE and written == 1
                    recovered[kind] += good and bitten
                    detail = {
                        "answer": answer["outcome"],
                        "error": answer["error"],
                        "seconds": round(answer["seconds"], 3),
                    }
                    one_piece = Evidence(
                        kind,
                        f"postgres:{server.port}/{dbname}",
                        1,
                        int(bitten),
                        "errors",
                        start - zero,
                        time.monotonic() - zero,
                        detail,
                    )
                    evidence.append(one_piece)
                    task.note(Fault(task.id, one_piece, healed=True))
        violations = books.check(server, dbname, answers)
    counts = Counter(answers.values())
    validity = Validity(manipulated=all(seen[kind] > 0 for kind in KINDS))
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        metrics=_metrics(recovered, seen),
        outcomes=Outcomes(ok=counts["ok"], failed=counts["failed"], indeterminate=counts[books.UNKNOWN]),
        evidence=tuple(evidence),
        validity=validity,
        exclusions=validity.codes,
        violations=violations,
    )


def _inject(
    environment: Environment, task: Task, process: ProjectProcess, dbname: str, kind: str, name: str
) -> tuple[dict[str, Any], bool]:
    """Start an order, bring the error about while it waits, and return its answer and whether the server confirms the error."""
    server = environment.server
    before = server.log().count(WITNESS[kind])
    with _scene(server, dbname) as scene:
        symbol = scene.blocker.execute(
            "SELECT symbol FROM stocks_company WHERE id = %s", [scene.company]
        ).fetchone()
        assert symbol is not None
        scene.blocker.rollback()
        script = SCRIPTS[kind](scene)
        next(script)
        task.note(
            Intent(
                task.id,
                kind,
                f"postgres:{server.port}/{dbname}",
                "end the session that stands in the way; start the server",
            )
        )
        order = {"id": name, "portfolio": scene.portfolio, "symbol": symbol[0], "side": "buy", "quantity": 1}
        process.ask("workbench.guest.stocks:place", order=order)
        next(script, None)
    answer = process.receive(60, "place")
    return answer, server.log().count(WITNESS[kind]) > before


@contextmanager
def _scene(server: PostgresServer, dbname: str) -> Iterator[Scene]:
    blocker = server.connect(dbname, autocommit=False)
    try:
        # As long as it takes: not this session, but the order's, is to be the deadlock's victim.
        blocker.execute("SET deadlock_timeout = '30s'")
        row = blocker.execute(
            "SELECT portfolio_id, company_id FROM stocks_holding ORDER BY id LIMIT 1"
        ).fetchone()
        if row is None:
            raise WorkbenchError(
                "the demo's data hold no holding", "run it again; the seed command makes some"
            )
        blocker.commit()
        yield Scene(server, dbname, blocker, row[0], row[1])
    finally:
        blocker.close()


def _written(connection: psycopg.Connection[Any], name: str) -> int:
    row = connection.execute("SELECT count(*) FROM stocks_ledgerentry WHERE id = %s", [name]).fetchone()
    return int(row[0]) if row else 0


def _metrics(recovered: Counter[str], seen: Counter[str]) -> dict[str, Metric]:
    def share(events: int, exposure: int) -> Metric:
        return Metric(events / exposure if exposure else 0.0, "share", events, exposure)

    by_kind = {f"recovered:{kind}": share(recovered[kind], seen[kind]) for kind in KINDS}
    return {"recovered": share(recovered.total(), seen.total()), **by_kind}


TRANSIENT_ERRORS = Drill(
    id="transient-errors",
    claims=("DB-2",),
    title="Errors that pass by themselves, injected into a running order",
    run=run,
    blocks={"quick": 1, "default": 3, "full": 8},
    arms=arms_of,
    seconds=8.0,
    faults=KINDS,
    workload={"each": EACH, "deadline": DEADLINE, "isolation": "repeatable read"},
)
