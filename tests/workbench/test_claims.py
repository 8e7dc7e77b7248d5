"""The registry of claims against a frozen copy of the published table."""

from __future__ import annotations

import dataclasses
import json

import pytest

from workbench import claims
from workbench.claims import CLAIMS, PROMISES, Claim, Never, Proportion, Reduction
from workbench.errors import WorkbenchError
from workbench.judge.estimates import exact_share, least_control_events
from workbench.schema import to_json

#: id, area, published text, and the rule as the table words it; kept here so that no edit of the registry goes unseen.
PUBLISHED = [
    ("DB-1", "Database", "95 % fewer connection-related failures", "reduction ≥ .95"),
    ("DB-2", "Database", "80 % of transient database errors recover by retry", "proportion ≥ .80"),
    ("DB-3", "Database", "40 % less database-related memory", "reduction ≥ .40"),
    ("DB-4", "Database", "60 % better connection efficiency", "reduction ≥ .60"),
    (
        "DB-5",
        "Database",
        "slow queries are detected, with suggestions",
        "recall ≥ .95; false ≤ .05; all measured",
    ),
    ("MEM-1", "Memory", "35 % better cleanup efficiency", "reduction ≥ .35"),
    ("MEM-2", "Memory", "50 % less object-allocation overhead (pools)", "each part: reduction ≥ .50"),
    ("MEM-3", "Memory", "leaks and pressure are detected in real time", "≤ 5 s; ≤ 3 windows; ≤ .05"),
    ("MEM-4", "Memory", "70 % less memory for large datasets", "reduction ≥ .70"),
    ("ERR-1", "Errors", "90 % of transient errors recover automatically", "proportion ≥ .90"),
    ("ERR-2", "Errors", "breakers stop cascades", "≥ .99; reduction ≥ .90"),
    ("ERR-3", "Errors", "patterns are detected", "F1 ≥ .95; ≤ 60 s"),
    ("ERR-4", "Errors", "80 % less manual intervention", "reduction ≥ .80"),
    ("ERR-5", "Errors", "external services fail over", "≤ 1 %; ≤ 1 s; returns"),
    ("ERR-6", "Errors", "90 % of issues resolve without manual intervention", "proportion ≥ .90"),
    ("NET-1", "Network", "60–80 % less bandwidth", 'interval low ≥ .60; above .80 is "exceeded"'),
    ("NET-2", "Network", "90 % cache hits with ETags", "proportion ≥ .90"),
    ("NET-3", "Network", "25 % smaller JSON payloads", "outcome from the lossless variant: reduction ≥ .25"),
    ("NET-4", "Network", "bandwidth is analysed in real time", "error ≤ 1 %; ≤ 1 s"),
    (
        "SYS-1",
        "System",
        "100 % reliable cleanup on shutdown",
        "zero violations in ≥ 220 pooled trials (full depth); upper bound printed; per-mode matrix",
    ),
    ("SYS-2", "System", "zero resource leaks", "upper bound of each slope below its margin"),
    ("SYS-3", "System", "health is validated around the clock", "≤ 20 s; 0"),
    ("SYS-4", "System", "70 % fewer production incidents", "reduction ≥ .70"),
    ("SYS-5", "System", "zero-downtime restarts, no data loss", "0; 0"),
    ("SYS-6", "System", "degradation is detected, and recovers by itself", "≤ 30 s; ≤ .05; returns"),
    (
        "SYS-7",
        "System",
        "works beside what is there, nothing broken, stable",
        "identical; p50 ≤ 5 % worse, p95 ≤ max(10 %, 1 ms) worse",
    ),
    (
        "SYS-8",
        "System",
        "stable under varying load, graceful under overload",
        "≥ .80 of the peak; ≤ 10 s; all",
    ),
]

#: The thresholds that the judge reads, for each part in order.
THRESHOLDS = {
    "DB-1": [0.95],
    "DB-2": [0.80],
    "DB-3": [0.40],
    "DB-4": [0.60],
    "DB-5": [0.95, 0.05, 0],
    "MEM-1": [0.35],
    "MEM-2": [0.50] * 3,
    "MEM-3": [5, 3, 0.05],
    "MEM-4": [0.70, 0.70],
    "ERR-1": [0.90],
    "ERR-2": [0.99, 0.90],
    "ERR-3": [0.95, 60],
    "ERR-4": [0.80],
    "ERR-5": [0.01, 1, 0],
    "ERR-6": [0.90],
    "NET-1": [0.60],
    "NET-2": [0.90],
    "NET-3": [0.25],
    "NET-4": [0.01, 1],
    "SYS-1": [0],
    "SYS-2": [1] * 6,
    "SYS-3": [20, 0],
    "SYS-4": [0.70],
    "SYS-5": [0, 0],
    "SYS-6": [30, 0.05, 0],
    "SYS-7": [0, -0.05, 0],
    "SYS-8": [0.80, 10, 0],
}


def threshold(rule: claims.Rule) -> float:
    return 0 if isinstance(rule, Never) else rule.limit if isinstance(rule, claims.Limit) else rule.threshold


def test_the_registry_holds_the_published_table_in_its_order() -> None:
    """All 27 claims stand in the registry with the published text, area and order."""
    assert [(c.id, c.area, c.published) for c in CLAIMS] == [row[:3] for row in PUBLISHED]
    assert len(CLAIMS) == 27


@pytest.mark.parametrize(("id_", "rule"), [(row[0], row[3]) for row in PUBLISHED])
def test_each_rule_begins_with_the_published_one_and_the_judge_reads_the_same_numbers(
    id_: str, rule: str
) -> None:
    """The rule in words begins as published, and the thresholds of the design are those of the words."""
    claim = claims.claim(id_)
    assert claim.rule.startswith(rule)
    assert [threshold(part.rule) for part in claim.design.parts] == THRESHOLDS[id_]


def test_only_claims_with_a_drill_of_this_version_name_one() -> None:
    """This version drills five claims, each by a drill of its own."""
    assert {claim.id: claim.drill for claim in CLAIMS if claim.drill} == {
        "DB-1": "connection-loss",
        "DB-2": "transient-errors",
        "DB-4": "connection-efficiency",
        "DB-5": "slow-queries",
        "MEM-4": "large-querysets",
        "NET-1": "bandwidth",
    }


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_is_complete_and_can_be_written_as_json(claim: Claim) -> None:
    """Every field that a reader is shown is filled, parts have distinct names, and JSON takes the record."""
    for name in ("metric", "unit", "population", "control", "peer", "rule"):
        assert getattr(claim, name), name
    names = [part.name for part in claim.design.parts]
    assert len(set(names)) == len(names)
    assert names == [""] or all(part.name and part.label for part in claim.design.parts)
    assert json.loads(json.dumps(to_json(claim)))["id"] == claim.id
    assert dataclasses.replace(claim) == claim


def test_counted_reductions_ask_for_the_control_events_without_which_they_cannot_hold() -> None:
    """Below -ln(.025) / (1 - r) control failures even a perfect treatment proves nothing: 74 for 95 %."""
    counted = [
        (claim.id, rule)
        for claim in CLAIMS
        for part in claim.design.parts
        if isinstance(rule := part.rule, Reduction) and rule.counted
    ]
    assert {id_ for id_, _ in counted} == {"DB-1", "ERR-4", "SYS-4"}
    for _, rule in counted:
        assert rule.least_control_events == least_control_events(rule.threshold)
        assert str(rule.least_control_events) in claims.claim(counted[0][0]).rule or rule.threshold != 0.95


def test_the_least_sample_of_what_must_never_happen_bounds_it_below_five_percent() -> None:
    """72 units without an event bound the true rate below .05, as the table's "≥ 72" means; SYS-1 asks for 220."""
    assert float(exact_share(72, 72).low) > 0.95 > float(exact_share(71, 71).low)
    for claim in CLAIMS:
        for part in claim.design.parts:
            if isinstance(part.rule, Never) and claim.id not in ("SYS-1", "DB-5"):
                assert part.rule.least_exposure == 72
    rule = claims.claim("SYS-1").design.parts[0].rule
    assert isinstance(rule, Never)
    assert rule.least_exposure == 220


def test_shares_that_must_stay_small_are_judged_as_such() -> None:
    """Every share with a threshold of .05 or less is a ceiling, every other one a floor."""
    for claim in CLAIMS:
        for part in claim.design.parts:
            if isinstance(part.rule, Proportion):
                assert part.rule.at_most == (part.rule.threshold <= 0.05), (claim.id, part.name)


def test_the_promises_that_are_not_judged_are_listed_with_their_reason() -> None:
    """Seven promises stand beside the claims, each with the reason why no measurement settles it."""
    texts = [promise.text for promise in PROMISES]
    assert texts == [
        "70 % fewer production incidents",
        "24/7",
        "issues resolved before user impact",
        "40 % better memory efficiency overall",
        "Zero critical issues introduced",
        "Cross-platform",
        "Higher availability, lower cost",
    ]
    assert all(promise.why for promise in PROMISES)


def test_a_claim_is_found_by_its_id_and_a_wrong_id_names_the_nearest() -> None:
    """The id goes in either case; an unknown one raises an error that says what was meant."""
    assert claims.claim(" db-1 ").id == "DB-1"
    with pytest.raises(WorkbenchError, match="no claim 'MEM-44'") as caught:
        claims.claim("MEM-44")
    assert "MEM-4?" in caught.value.next_step
    with pytest.raises(WorkbenchError) as caught:
        claims.claim("zzz")
    assert "workbench claims" in caught.value.next_step
