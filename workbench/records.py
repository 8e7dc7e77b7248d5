"""The plain records between the stages: what drills write, and all that the judge and the report may read.

Each is a frozen dataclass that goes to JSON and comes back unchanged (`workbench.schema`). A journal line is a flat
JSON object `{schema, run, kind, t, ...}`; `kind` names the record.

History of the format:
    1  first version
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1

ArmName = Literal["control", "treatment", "peer", "absent"]
Outcome = Literal["supported", "refuted", "inconclusive", "void", "not-run"]
Json = Any


@dataclass(frozen=True)
class Wrap:
    """A callable of the project that an arm wraps when its process starts.

    Attributes:
        target: dotted name of the callable, as `package.module.function`.
        with_: dotted name of a function that takes the callable and returns the one to use; `with` in JSON.
    """

    target: str
    with_: str


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: an overlay over the project's own settings.

    Attributes:
        name: control, treatment, peer or absent (the project untouched).
        label: what a reader is told, as "Stalwart off".
        settings: dotted Django setting (`STALWART.DATABASE.ENABLED`) to its value.
        wraps: callables wrapped when the trial's process starts.
    """

    name: ArmName
    label: str
    settings: Mapping[str, Json] = field(default_factory=dict)
    wraps: tuple[Wrap, ...] = ()


@dataclass(frozen=True)
class Metric:
    """One measured number of one trial.

    Attributes:
        value: in `unit`.
        unit: as "bytes", "s", "requests", "share".
        events: for counts and shares: how many of `exposure` had the event.
        exposure: how many could have had it.
        censored: the true value is at least this one (a recovery that was cut off by the time limit).
    """

    value: float
    unit: str
    events: int | None = None
    exposure: int | None = None
    censored: bool = False


@dataclass(frozen=True)
class Outcomes:
    """What became of the operations of a trial; their sum is what was scheduled."""

    ok: int = 0
    failed: int = 0
    indeterminate: int = 0
    dropped: int = 0

    @property
    def total(self) -> int:
        return self.ok + self.failed + self.indeterminate + self.dropped


@dataclass(frozen=True)
class Phase:
    """A named stretch of a trial, in seconds from its start; `fault` names the fault that was on."""

    name: str
    start: float
    end: float
    fault: str | None = None


@dataclass(frozen=True)
class Series:
    """A quantity over time: `values[i]` belongs to the `step` seconds that begin at `start + i * step`."""

    name: str
    unit: str
    start: float
    step: float
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Evidence:
    """What shows that a fault bit: counted at the server or the proxy, not by the code under test.

    Attributes:
        fault: its kind, as "backend-terminated".
        target: what was harmed, as "postgres:20123".
        injected: how often the fault was asked for.
        seen: how often the server or proxy confirms it.
        unit: what is counted, as "back ends".
        start, end: seconds from the trial's start.
        detail: further facts, small.
    """

    fault: str
    target: str
    injected: int
    seen: int
    unit: str
    start: float
    end: float
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Validity:
    """Whether a trial may count. The codes are fixed before any data exist.

    Attributes:
        manipulated: every planned fault is confirmed by its evidence.
        healed: what was harmed was healthy again before the trial ended.
        load_met: the offered load was the planned one.
        isolated: servers, proxy and load generator were processes of their own.
        lateness_p99: seconds between the planned and the real departure of requests, 99th percentile.
        notes: anything a reader should know.
    """

    manipulated: bool = True
    healed: bool = True
    load_met: bool = True
    isolated: bool = True
    lateness_p99: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The pre-registered codes by which this trial is excluded; empty when it counts."""
        checks = {
            "fault-did-not-bite": self.manipulated,
            "not-healed": self.healed,
            "load-not-met": self.load_met,
            "not-isolated": self.isolated,
        }
        return tuple(code for code, holds in checks.items() if not holds)


@dataclass(frozen=True)
class Trial:
    """One arm, once: the unit that the judge counts.

    Attributes:
        id: unique in the journal.
        drill: the drill's id.
        block: number of the block; the trials of a block share their seed and are compared with each other.
        arm: the arm's name.
        order: position within the block, from 0.
        seed: of arrivals, faults and data.
        part: which part of a claim it belongs to, as "rows-100000"; "" where a claim has one part only.
        metrics: name to metric.
        outcomes, phases, series, evidence, validity: see their records.
        exclusions: codes by which the trial does not count.
        violations: broken invariants, each with its first example.
        started: seconds since the epoch.
        took: seconds.
    """

    id: str
    drill: str
    block: int
    arm: ArmName
    order: int
    seed: int
    metrics: Mapping[str, Metric]
    part: str = ""
    outcomes: Outcomes = field(default_factory=Outcomes)
    phases: tuple[Phase, ...] = ()
    series: tuple[Series, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    validity: Validity = field(default_factory=Validity)
    exclusions: tuple[str, ...] = ()
    violations: Mapping[str, str] = field(default_factory=dict)
    started: float = 0.0
    took: float = 0.0

    @property
    def counts(self) -> bool:
        return not self.exclusions


@dataclass(frozen=True)
class Plan:
    """What a drill is going to do, written before its first trial.

    Attributes:
        drill: the drill's id.
        claims: ids of the claims that it decides.
        title: what a reader is told.
        faults: kinds of fault that every trial holds.
        missing: kinds that the claim's population names and this version does not inject yet.
        blocks: planned number of blocks, for each part.
        parts: the parts of the claim, as ("rows-100000", "rows-1000000").
        skipped: parts not run at this depth, with the reason.
        arms: in the order of the page.
        seed: of the run.
        workload: its figures, as rate and duration.
        rules: the rule of each claim as it stands in the registry.
        command: what repeats the drill.
        hash: sha256 over all of the above.
    """

    drill: str
    claims: tuple[str, ...]
    title: str
    arms: tuple[Arm, ...]
    blocks: int
    seed: int
    faults: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    parts: tuple[str, ...] = ("",)
    skipped: Mapping[str, str] = field(default_factory=dict)
    workload: Mapping[str, Json] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    hash: str = ""


@dataclass(frozen=True)
class Run:
    """The head of a journal: what was measured, where, and how."""

    project: str
    settings: str
    depth: Literal["quick", "default", "full"]
    seed: int
    environment: Mapping[str, Json]
    command: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Intent:
    """Written before a fault is injected, so that a journal cut short tells what may still be broken."""

    trial: str
    fault: str
    target: str
    heal: str


@dataclass(frozen=True)
class Fault:
    """Written after a fault was healed."""

    trial: str
    evidence: Evidence
    healed: bool


@dataclass(frozen=True)
class Finding:
    """Something learnt that is no trial: a claim not run and why, a warning, a table beside a claim."""

    subject: str
    code: str
    text: str
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """The last line of a run."""

    status: Literal["complete", "interrupted", "failed"]
    took: float
    text: str = ""


Record = Run | Plan | Intent | Fault | Trial | Finding | End

#: The journal's `kind` of each record.
KINDS: dict[str, type[Any]] = {
    "run": Run,
    "plan": Plan,
    "intent": Intent,
    "fault": Fault,
    "trial": Trial,
    "finding": Finding,
    "end": End,
}


@dataclass(frozen=True)
class Line:
    """A record as it stands in the journal: `run` is the run's id, `t` seconds since the epoch."""

    run: str
    t: float
    record: Record
    schema: int = SCHEMA

    @property
    def kind(self) -> str:
        return next(kind for kind, cls in KINDS.items() if type(self.record) is cls)


@dataclass(frozen=True)
class Part:
    """One part of a verdict, judged on its own."""

    name: str
    outcome: Outcome
    code: str
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float | None
    trials: int
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the measurements say of one claim. A judged outcome cannot be built without its interval.

    Attributes:
        claim: its id.
        outcome: supported, refuted, inconclusive, void or not-run.
        code: short and stable, as "interval-above", "too-few-trials", "fault-missing".
        estimate, low, high: in the claim's own unit (a reduction of .97 is 97 % less).
        level: of the two-sided interval.
        threshold: what was claimed.
        trials: how many counted (pairs, for paired claims).
        needed: trials (pairs) that would decide, where that can be told.
        reason: one or two sentences for a reader.
        parts: each part's own verdict.
    """

    claim: str
    outcome: Outcome
    code: str
    reason: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    threshold: float | None = None
    trials: int = 0
    needed: int | None = None
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError(f"verdict on {self.claim}: a verdict needs its reason")
        if self.outcome in ("supported", "refuted"):
            missing = [name for name in ("estimate", "low", "high") if getattr(self, name) is None]
            if missing or self.trials < 1:
                raise ValueError(f"verdict on {self.claim}: {self.outcome} without {missing or 'trials'}")
