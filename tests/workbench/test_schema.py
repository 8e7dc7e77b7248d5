"""Records go to JSON and come back unchanged, and the JSON schema tells what fits."""

from __future__ import annotations

import dataclasses
import json
import typing

import jsonschema
import pytest

from workbench.records import (
    KINDS,
    Arm,
    End,
    Evidence,
    Fault,
    Finding,
    Intent,
    Line,
    Metric,
    Outcomes,
    Phase,
    Plan,
    Record,
    Run,
    Series,
    Trial,
    Validity,
    Verdict,
    Wrap,
)
from workbench.schema import from_json, json_schema, to_json

ARM = Arm("peer", "tenacity", {"STALWART.DATABASE.ENABLED": False}, (Wrap("a.b", "c.d"),))
EVIDENCE = Evidence("tcp-reset", "postgres:1", 3, 3, "connections", 1.0, 2.5, {"failed": 4})
RECORDS: list[Record] = [
    Run("demo", "workbench.demo.settings", "quick", 7, {"python": "3.11"}, "workbench report"),
    Plan("connection-loss", ("DB-1",), "title", (ARM,), 8, 7, parts=("", "x"), skipped={"y": "why"}),
    Intent("t1", "server-killed", "postgres:1", "start it"),
    Fault("t1", EVIDENCE, healed=True),
    Trial(
        "t1",
        "connection-loss",
        0,
        "control",
        1,
        99,
        {"failures": Metric(0.5, "share", 5, 10), "recovery": Metric(4.0, "s", censored=True)},
        outcomes=Outcomes(5, 3, 1, 1),
        phases=(Phase("fault", 1.0, 2.0, "tcp-reset"),),
        series=(Series("good", "share", 0.0, 1.0, (1.0, None)),),
        evidence=(EVIDENCE,),
        validity=Validity(load_met=False, notes=("late",)),
        exclusions=("load-not-met",),
        violations={"lost": "order 7"},
    ),
    Finding("MEM-4", "not-run", "why"),
    End("complete", 12.5),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_json(record: Record) -> None:
    """What is read is what was written, nested records and tuples included."""
    assert from_json(type(record), json.loads(json.dumps(to_json(record)))) == record


def test_every_kind_is_covered_here() -> None:
    """The list above holds a record of each kind, so that none goes untested."""
    assert {type(record) for record in RECORDS} == set(KINDS.values())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_the_schema_accepts_what_is_written(record: Record) -> None:
    """Every record, as a journal line, is valid under the published schema."""
    line = Line("r", 1.0, record)
    flat = {"schema": 1, "run": "r", "kind": line.kind, "t": 1.0, **json.loads(json.dumps(to_json(record)))}
    jsonschema.Draft202012Validator(json_schema()).validate(flat)


def test_the_schema_is_itself_valid() -> None:
    """The schema obeys draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"trial": None, "heal": ...}, "'heal' is missing"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], message: str) -> None:
    """A field too many or too few is an error that names it."""
    data = {**to_json(RECORDS[2]), **change}
    data = {key: value for key, value in data.items() if value is not ...}
    with pytest.raises(ValueError, match=message):
        from_json(Intent, data)


def test_a_keyword_field_loses_its_underscore() -> None:
    """JSON says `with`, as the design has it."""
    assert to_json(ARM)["wraps"] == [{"target": "a.b", "with": "c.d"}]


def test_records_are_frozen() -> None:
    """No stage can change what an earlier one has written."""
    for cls in KINDS.values():
        assert typing.cast("typing.Any", cls).__dataclass_params__.frozen, cls
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECORDS[-1].took = 1  # type: ignore[misc, union-attr]


@pytest.mark.parametrize("outcome", ["supported", "refuted"])
def test_a_judged_verdict_needs_its_interval(outcome: typing.Any) -> None:
    """Supported and refuted cannot be said without estimate, interval and sample."""
    with pytest.raises(ValueError, match="without"):
        Verdict("DB-1", outcome, "code", "reason", estimate=0.9, low=0.8, trials=8)
    with pytest.raises(ValueError, match="trials"):
        Verdict("DB-1", outcome, "code", "reason", estimate=0.9, low=0.8, high=0.95)


def test_a_verdict_needs_its_reason() -> None:
    """No outcome stands without words."""
    with pytest.raises(ValueError, match="reason"):
        Verdict("DB-1", "void", "code", "")


@pytest.mark.parametrize(
    ("validity", "codes"),
    [
        (Validity(), ()),
        (Validity(manipulated=False, isolated=False), ("fault-did-not-bite", "not-isolated")),
        (Validity(healed=False, load_met=False), ("not-healed", "load-not-met")),
    ],
)
def test_validity_gives_its_codes(validity: Validity, codes: tuple[str, ...]) -> None:
    """Each flag that does not hold has its pre-registered code."""
    assert validity.codes == codes
