"""How a claim is judged, as data: typed rules that the judge reads, fixed before any trial.

A rule names metrics of `workbench.records.Trial`, a threshold and the least sample; it holds no code. The phrases
(`fewer`, `more`, ...) are the words in which the judge writes its sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.records import ArmName


@dataclass(frozen=True)
class Reduction:
    """The mean of a metric falls by at least `threshold` between the arms of a pair.

    Attributes:
        metric: name in `Trial.metrics`.
        threshold: .95 is 95 % less; below zero it is a margin (-.05: at most 5 % more).
        fewer, more: "fewer failed requests", "more failed requests".
        counted: the metric is a share with events and exposure, and the score interval is the second witness.
        unknown: for counted metrics: the same metric with indeterminate requests counted as successes. Both countings
            must lead to the same outcome.
        events: for counted metrics, what one event is called: "failures".
        least_pairs: fewer valid pairs are inconclusive.
        least_control_events: for counted metrics: below this the claim cannot be supported.
        same: metrics that must be equal in both arms of a pair; a difference refutes.
        check: a second metric whose reduction is shown beside, and never decides.
        baseline: the arm compared with.
    """

    metric: str
    threshold: float
    fewer: str
    more: str
    counted: bool = False
    unknown: str | None = None
    events: str = ""
    least_pairs: int = 8
    least_control_events: int = 0
    same: tuple[str, ...] = ()
    check: str | None = None
    baseline: ArmName = "control"


@dataclass(frozen=True)
class Proportion:
    """A share of units, pooled over the trials of one arm, lies on the claimed side of `threshold`.

    Attributes:
        metric: carries events and exposure.
        threshold: the share claimed.
        phrase: follows the percentage: "of injected errors recovered".
        unit: what is counted, plural.
        at_most: the share must not exceed the threshold; else it must reach it.
        least_trials: trials with at least one unit; the spread between them makes the interval.
    """

    metric: str
    threshold: float
    phrase: str
    unit: str
    at_most: bool = False
    least_trials: int = 3


@dataclass(frozen=True)
class Payloads:
    """The bytes of all payloads together fall by at least `threshold`; the payloads are the sample.

    Attributes:
        prefix: of the metrics, one for each payload: "bytes:" for "bytes:GET /stocks/".
        threshold: .60 is 60 % less.
        fewer, more: as in `Reduction`.
        upper: the published range's end; an interval above it is "exceeded".
        least_payloads: fewer are inconclusive.
        same: prefix of metrics that must be equal in both arms, one for each payload ("body:"); a difference refutes.
    """

    prefix: str
    threshold: float
    fewer: str
    more: str
    upper: float | None = None
    least_payloads: int = 6
    same: str = ""


@dataclass(frozen=True)
class Limit:
    """The mean of a metric over the trials of one arm stays on one side of a limit.

    Attributes:
        metric: one value for each trial, of any sign; for delays the trial's slowest.
        limit: in the metric's unit.
        phrase: follows the value: "from the onset of pressure to the event".
        unit: of the metric: "s", "share", or a noun.
        at_least: the value must reach the limit; else it must not exceed it.
        least_trials: fewer are inconclusive.
    """

    metric: str
    limit: float
    phrase: str
    unit: str
    at_least: bool = False
    least_trials: int = 8


@dataclass(frozen=True)
class Never:
    """Something does not happen at all: one event refutes.

    Attributes:
        metric: carries events and exposure.
        event: what must not happen, plural: "failed requests".
        unit: what could have had it, plural: "requests".
        least_exposure: below this, none seen is inconclusive; 72 bound the true rate below 5 %.
    """

    metric: str
    event: str
    unit: str
    least_exposure: int = 72
    phrase: str = ""
    """Of those that had none of it, for a reader: "of requests without" by default."""


Rule = Reduction | Proportion | Payloads | Limit | Never


@dataclass(frozen=True)
class PartRule:
    """One part of a claim.

    Attributes:
        rule: how it is judged.
        name: "" when the claim has one part only.
        label: what a reader is told.
        trials: the `Trial.part` that it reads; parts may share their trials.
        each: the rule holds for each part of the drill's plan on its own (one for each server mode).
    """

    rule: Rule
    name: str = ""
    label: str = ""
    trials: str = ""
    each: bool = False


@dataclass(frozen=True)
class Design:
    """The parts of a claim, and its guard rails.

    Attributes:
        parts: all must be supported; one refuted refutes.
        rails: must hold too; they are no parts of the claim and have no row of their own.
    """

    parts: tuple[PartRule, ...]
    rails: tuple[PartRule, ...] = ()


def single(rule: Rule, *, rails: tuple[PartRule, ...] = ()) -> Design:
    """A design of one part."""
    return Design((PartRule(rule),), rails)


@dataclass(frozen=True)
class Claim:
    """A published number, and how it is judged.

    Attributes:
        id: as "DB-1".
        area: Database, Memory, Errors, Network or System.
        published: the text as published.
        metric, unit, population: what is measured, in what, over what.
        control, peer: what the arms without the feature, and with what a user would pick instead, are.
        rule: the rule in words.
        drill: id of the drill that decides it; None while this version has none.
        design: the rule as the judge reads it.
        opt_ins: what the treatment arm switches on beyond the defaults.
    """

    id: str
    area: str
    published: str
    metric: str
    unit: str
    population: str
    control: str
    peer: str
    rule: str
    design: Design = field(repr=False)
    drill: str | None = None
    opt_ins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Promise:
    """Something promised that no measurement here can settle, and why."""

    text: str
    why: str
