"""One trial of the bank: an arm under fire for some minutes, and its books."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from workbench import arms
from workbench.demo.stocks.bank import read_tables
from workbench.drills import peers
from workbench.drills.bank.ledger import ACKNOWLEDGED, FAILED, REFUSED, UNKNOWN, Audit, audit
from workbench.drills.bank.rows import (
    REPEATABLE_READ,
    deadlock,
    limit_waiting,
    lock_timeout,
    serialization_failure,
)
from workbench.drills.bank.timetable import Strike, strikes
from workbench.drills.bank.wire import SILENCE, blackhole, commit_never_arrives, commit_reply_lost
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment, Size
from workbench.drills.faults import FAULTS, FaultKind, Target
from workbench.drills.opt_ins import RETRIES
from workbench.drills.witness import Witness, answers
from workbench.errors import WorkbenchError
from workbench.project_process import ProjectProcess
from workbench.records import Arm, Evidence, Fault, Intent, Metric, Outcomes, Trial, Validity, Wrap
from workbench.run import Depth
from workbench.servers.proxy import Proxy

#: Minutes of each arm at each depth.
MINUTES: Mapping[Depth, float] = {"quick": 0.1, "default": 0.25, "full": 10.0}
#: What is asked of every minute; with less the trial does not count. Ten minutes: 10,000 orders, 300 faults.
ORDERS_A_MINUTE, FAULTS_A_MINUTE = 1000, 30
CLERKS = 5  #: threads in each of the two processes
SUSTAIN = 0.25  #: seconds between two bites of a fault that does not last by itself
FINISH_WITHIN = 30.0  #: seconds in which every clerk must have its last answer once the fire is out
SIZE = Size(bars=2_000, portfolios=16)
#: Opt-ins of the treatment: what DB-1 and DB-2 switch on and has a say in an order that no request surrounds.
OPTIONS = {"REPLY_WITHIN": RETRIES["REPLY_WITHIN"]}

OWN = (
    FaultKind("commit-reply-lost", commit_reply_lost, "remove the cut", "COMMIT's reply lost"),
    FaultKind("commit-never-arrives", commit_never_arrives, "remove the cut", "COMMIT never arrives"),
    FaultKind("deadlock", deadlock, "roll our session back", "deadlock"),
    FaultKind("lock-timeout", lock_timeout, "roll our session back", "lock time-out"),
    FaultKind(
        "serialization-failure", serialization_failure, "roll our session back", "serialization failure"
    ),
)
KINDS: Mapping[str, FaultKind] = {
    **FAULTS,
    "blackhole": replace(FAULTS["blackhole"], inject=blackhole),
    **{kind.name: kind for kind in OWN},
}
#: Kinds that last: the others are over when they have bitten.
HELD = frozenset(FAULTS) | {"commit-never-arrives"}

PLACES = (
    "SELECT h.portfolio_id, c.symbol FROM stocks_holding h JOIN stocks_company c ON c.id = h.company_id "
    "WHERE h.quantity > 0 ORDER BY h.id"
)


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    """The peer runs at every depth: what it does to the ledger is the point."""
    name = f"{peers.__name__}.{peers.tenacity_around.__name__}"
    forms = (
        "workbench.demo.stocks.orders.place_order",
        "workbench.guest.bank.retried",
        "workbench.guest.bank.block",
    )
    return (
        arms.control("DATABASE"),
        arms.treatment("DATABASE", OPTIONS),
        arms.peer(
            "DATABASE", "tenacity around the transaction", wraps=tuple(Wrap(form, name) for form in forms)
        ),
    )


@dataclass
class Fire:
    """The faults of one trial as they strike: kind to how many were tried, and how many are confirmed."""

    injected: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    bitten: Counter[str] = field(default_factory=Counter)
    """What was bitten: back ends, connections, orders."""
    units: dict[str, str] = field(default_factory=dict)

    def note(self, evidence: Evidence) -> None:
        self.injected[evidence.fault] += 1
        self.seen[evidence.fault] += evidence.seen > 0
        self.bitten[evidence.fault] += evidence.seen
        self.units[evidence.fault] = evidence.unit

    def evidence(self, target: str, seconds: float) -> tuple[Evidence, ...]:
        """One record for each kind; the single faults stand in the journal's lines of their own."""
        return tuple(
            Evidence(
                kind, target, number, self.seen[kind], "faults", 0.0, seconds,
                {"bitten": self.bitten[kind], "of": self.units[kind]},
            )
            for kind, number in sorted(self.injected.items())
        )  # fmt: skip


@dataclass(frozen=True)
class Bank:
    """Runs one trial.

    Args:
        minutes: how long each arm is under fire; a first round in which every kind strikes once is always finished.
        kinds: names of the faults.
    """

    minutes: float
    kinds: tuple[str, ...] = tuple(KINDS)

    def __call__(self, environment: Environment, task: Task) -> Trial:
        with environment.database(SIZE) as dbname:
            limit_waiting(environment.server, dbname)
            fire, begun, interrupted, healed = Fire(), time.monotonic(), False, False
            with _clerks(environment, task, dbname) as (processes, files, target):
                try:
                    self._strike_on(task, target, processes, fire)
                except KeyboardInterrupt:
                    interrupted = True
                    for process in processes:
                        process.kill()
                took = time.monotonic() - begun
                stuck = 0 if interrupted else sum(_stop(process) for process in processes)
                healed = not interrupted and answers(target)
            told = [answer for file in files for answer in _told(file)]
            try:
                environment.server.start()  # the interruption may have come while it was down
                trial = self._trial(environment, task, dbname, fire, told, took, stuck, healed, interrupted)
            except (psycopg.Error, WorkbenchError):
                if interrupted:
                    raise KeyboardInterrupt from None
                raise
        if interrupted:
            task.note(trial)  # what was found so far; nobody else will write it
            raise KeyboardInterrupt
        return trial

    def _strike_on(self, task: Task, target: Target, processes: Sequence[ProjectProcess], fire: Fire) -> None:
        zero = time.monotonic()
        end = zero + self.minutes * 60
        for strike in strikes(task.seed, self.kinds):
            now = time.monotonic()
            if now >= end and strike.round > 0:
                return
            told: Counter[str] = Counter()
            for process in processes:
                told.update(process.call("workbench.guest.bank:counts"))
            task.tell(
                f"{task.arm.label}, {now - zero:.0f} of {self.minutes * 60:.0f} s: {told.total()} orders, "
                f"{told[FAILED]} failed, {told[UNKNOWN]} unknown, {fire.seen.total()} faults"
            )
            time.sleep(strike.gap)
            fire.note(_strike(task, target, zero, strike))

    def _trial(
        self,
        environment: Environment,
        task: Task,
        dbname: str,
        fire: Fire,
        told: Sequence[Mapping[str, Any]],
        took: float,
        stuck: int,
        healed: bool,
        interrupted: bool,
    ) -> Trial:
        server = environment.server
        # The books are read when nobody writes: a session without its client may still be in the middle of a COMMIT.
        server.terminate_backends(dbname)
        with server.connect(dbname) as connection:
            books = audit(read_tables(connection), {one["id"]: one["outcome"] for one in told})
        outcomes = Counter(one["outcome"] for one in told)
        asked_orders, asked_faults = (self.minutes * each for each in (ORDERS_A_MINUTE, FAULTS_A_MINUTE))
        validity = Validity(
            manipulated=all(fire.seen[kind] for kind in self.kinds) and fire.seen.total() >= asked_faults,
            healed=healed,
            load_met=len(told) >= asked_orders,
            notes=(f"{stuck} clerks had no answer {FINISH_WITHIN:.0f} s after the fire",) if stuck else (),
        )
        return Trial(
            id=task.id,
            drill=task.drill,
            block=task.block,
            arm=task.arm.name,
            order=task.order,
            seed=task.seed,
            metrics=_metrics(told, outcomes, fire, books, stuck),
            outcomes=Outcomes(
                ok=outcomes[ACKNOWLEDGED],
                failed=outcomes[FAILED] + outcomes[REFUSED],
                indeterminate=outcomes[UNKNOWN],
            ),
            evidence=fire.evidence(f"postgres:{server.port}/{dbname}", took),
            validity=validity,
            exclusions=("interrupted",) if interrupted else validity.codes,
            violations=books.violations,
        )


@contextmanager
def _clerks(
    environment: Environment, task: Task, dbname: str
) -> Iterator[tuple[list[ProjectProcess], list[Path], Target]]:
    """Two processes with clerks at work behind a proxy."""
    server = environment.server
    with server.connect(dbname) as connection:
        places = connection.execute(PLACES).fetchall()
    task.operations.mkdir(parents=True, exist_ok=True)
    with Proxy((server.host, server.port), name="bank", seed=task.seed) as proxy, ExitStack() as stack:
        processes, files = [], []
        for name, options in (
            ("rc", {"application_name": "bank"}),
            ("rr", {"application_name": REPEATABLE_READ, "isolation_level": 3}),
        ):
            # A connect that is not answered must end some time, in every arm.
            options = {**options, "connect_timeout": 2}
            settings = {f"DATABASES.default.OPTIONS.{option}": value for option, value in options.items()}
            arm = replace(task.arm, settings={**task.arm.settings, **settings})
            process = stack.enter_context(environment.process(arm, dbname, proxy.port))
            file = task.operations / f"{task.id}.{name}.jsonl"
            file.unlink(missing_ok=True)
            process.call(
                "workbench.guest.bank:start",
                name=f"{task.seed:x}-{name}",
                threads=CLERKS,
                seed=task.seed,
                places=places,
                out=str(file),
            )
            processes.append(process)
            files.append(file)
        yield processes, files, Target(server, dbname, proxy)


def _strike(task: Task, target: Target, zero: float, strike: Strike) -> Evidence:
    """Inject, hold, heal; the journal knows of it before anything is harmed."""
    kind = KINDS[strike.kind]
    task.note(Intent(task.id, kind.name, target.name, kind.heal))
    facts: dict[str, Any] = {"planned": round(strike.length, 3)}
    with ExitStack() as stack:
        # Clerks that hang already meet nothing; whether these faults bite must not depend on the arm.
        witness = stack.enter_context(Witness(target)) if kind.name in FAULTS else None
        start = time.monotonic()
        with kind.inject(target) as bite:
            end = start + (strike.length if kind.name in HELD else 0.0)
            if witness is not None:
                facts["witness"] = {"session": witness.ask(), "login": witness.knock()}
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(SUSTAIN, left))
                if end - time.monotonic() > 0:
                    bite.sustain()
    evidence = bite.evidence(kind.name, target.name, start - zero, time.monotonic() - zero, facts)
    task.note(Fault(task.id, evidence, healed=True))
    return evidence


def _stop(process: ProjectProcess) -> int:
    """Let a process's clerks finish; how many hang."""
    return int(process.call("workbench.guest.bank:stop", timeout=FINISH_WITHIN + 10, within=FINISH_WITHIN))


def _told(file: Path) -> Iterator[dict[str, Any]]:
    """What the clerks were told. Of an order without an answer nothing is known, so nothing is asked of it."""
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def _metrics(
    told: Sequence[Mapping[str, Any]], outcomes: Counter[str], fire: Fire, books: Audit, stuck: int
) -> dict[str, Metric]:
    total = len(told)

    def orders(number: int, of: int | None = None) -> Metric:
        return Metric(number, "orders", number, total if of is None else of)

    found = {
        "orders": Metric(total, "orders"),
        "faults": Metric(fire.seen.total(), "faults", fire.seen.total(), fire.injected.total()),
        "ok": orders(outcomes[ACKNOWLEDGED]),
        "refused": orders(outcomes[REFUSED]),
        "failed": orders(outcomes[FAILED]),
        "unknown": orders(outcomes[UNKNOWN]),
        "hung": Metric(stuck, "orders"),
        "lost": orders(books.lost),
        "doubled": orders(books.doubled),
        "ghosts": orders(books.ghosts),
        "sums": Metric(books.sums, "sums"),
        "unknown there": orders(books.unknown_present, outcomes[UNKNOWN]),
    }
    reasons = Counter(one["error"] for one in told if one["outcome"] == FAILED)
    for reason, number in reasons.most_common():
        found[f"failed by:{reason}"] = orders(number, outcomes[FAILED])
    for form in sorted({one["form"] for one in told}):
        own = Counter(one["outcome"] for one in told if one["form"] == form)
        for outcome, word in ((ACKNOWLEDGED, "ok"), (UNKNOWN, "unknown")):
            found[f"{word}:{form}"] = orders(own[outcome], own.total())
    for kind, number in sorted(fire.injected.items()):
        found[f"faults:{kind}"] = Metric(fire.seen[kind], "faults", fire.seen[kind], number)
    return found


def bank(minutes: float, kinds: Sequence[str] = tuple(KINDS)) -> Drill:
    """The drill with so many minutes for each arm.

    Raises:
        WorkbenchError: no time, or an unknown kind of fault.
    """
    if not 0 < minutes <= 24 * 60:
        raise WorkbenchError(f"{minutes:g} minutes cannot be run", "give more than 0 and at most a day")
    if unknown := set(kinds) - set(KINDS):
        raise WorkbenchError(f"there is no fault {min(unknown)!r}", f"the bank knows {', '.join(KINDS)}")
    return Drill(
        id="bank",
        claims=(),
        title="The bank under fire: orders by many at once, faults of every kind at random; the ledger is read",
        run=Bank(minutes, tuple(kinds)),
        blocks={"quick": 1, "default": 1, "full": 1},
        arms=arms_of,
        seconds=minutes * 60 + 8,
        faults=tuple(kinds),
        options=("--minutes", f"{minutes:g}"),
        workload={
            "minutes": minutes,
            "clerks": 2 * CLERKS,
            "guards": ["DB-1", "DB-2"],
            "least orders": round(minutes * ORDERS_A_MINUTE),
            "least faults": round(minutes * FAULTS_A_MINUTE),
            "isolation": "read committed and repeatable read",
            "silence after a black hole": SILENCE,
            "fsync": "off: only processes are killed",
        },
    )


BANK = bank(MINUTES["default"])
