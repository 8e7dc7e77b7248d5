"""Toxics are checked before they act, and drawn the same way for the same seed."""

from __future__ import annotations

import pytest

from workbench.servers.toxics import KINDS, ToxicError, parse

COMPLETE = {
    "bandwidth": {"rate": 100},
    "limit_data": {"bytes": 10},
    "cut_after_message": {"message": "CommandComplete", "tag": "COMMIT"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_parses_with_its_needed_attributes(kind):
    """Each kind is accepted with the attributes it needs, and shows all of them in Toxiproxy's form."""
    toxic = parse({"type": kind, "attributes": COMPLETE.get(kind, {})})
    assert toxic.as_dict()["name"] == f"{kind}_downstream"
    assert toxic.attributes.keys() == KINDS[kind].keys()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ([], "JSON object"),
        ({"type": "earthquake"}, "earthquake"),
        ({"type": ["latency"]}, "latency"),
        ({}, "None"),
        ({"type": "latency", "stream": "sideways"}, "sideways"),
        ({"type": "latency", "toxicity": 1.5}, "1.5"),
        ({"type": "latency", "toxicity": True}, "True"),
        ({"type": "latency", "toxicity": float("nan")}, "nan"),
        ({"type": "latency", "color": "red"}, "color"),
        ({"type": "latency", "name": "a/b"}, "a/b"),
        ({"type": "latency", "name": 7}, "7"),
        ({"type": "latency", "attributes": [1]}, "[1]"),
        ({"type": "latency", "attributes": {"latency": -1}}, "-1"),
        ({"type": "latency", "attributes": {"latency": "100"}}, "'100'"),
        ({"type": "latency", "attributes": {"latency": float("inf")}}, "inf"),
        ({"type": "latency", "attributes": {"delay": 1}}, "latency, jitter"),
        ({"type": "bandwidth"}, "rate"),
        ({"type": "bandwidth", "attributes": {"rate": 0}}, "0"),
        ({"type": "limit_data", "attributes": {"bytes": 1.5}}, "1.5"),
        ({"type": "limit_data", "attributes": {"bytes": 1, "how": "gently"}}, "gently"),
        ({"type": "blackhole", "attributes": {"mode": "maybe"}}, "maybe"),
        ({"type": "half_close", "attributes": {"delay": 1}}, "none"),
        ({"type": "cut_after_message"}, "message"),
        ({"type": "cut_after_message", "attributes": {"message": "Commit"}}, "CommandComplete"),
        ({"type": "cut_after_message", "attributes": {"message": "Query"}}, "Query"),
        ({"type": "cut_after_message", "stream": "both", "attributes": {"message": "CopyData"}}, "both"),
        ({"type": "cut_after_message", "attributes": {"message": "DataRow", "tag": "X"}}, "tag"),
        (
            {"type": "cut_after_message", "attributes": {"message": "DataRow", "sql_prefix": "X"}},
            "sql_prefix",
        ),
        (
            {"type": "cut_after_message", "attributes": {"message": "CommandComplete", "tag": "x" * 500}},
            "at most",
        ),
        (
            {"type": "cut_after_message", "attributes": {"message": "DataRow", "before_forwarding": 1}},
            "true or false",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(payload, said):
    """Each wrong value is refused with a message that carries the value or what is allowed."""
    with pytest.raises(ToxicError) as refusal:
        parse(payload)
    assert said in str(refusal.value)


def test_toxicity_is_drawn_per_connection_from_the_seed():
    """The same seed hits the same connections; another seed, or another name, hits others; the share is right."""
    toxic = parse({"type": "latency", "toxicity": 0.3})
    other = parse({"type": "latency", "toxicity": 0.3, "name": "other"})
    hits = [toxic.draw(1, n) for n in range(2000)]
    assert hits == [toxic.draw(1, n) for n in range(2000)]
    assert hits != [toxic.draw(2, n) for n in range(2000)]
    assert hits != [other.draw(1, n) for n in range(2000)]
    assert 500 < sum(hits) < 700


def test_toxicity_zero_and_one_are_never_and_always():
    """A toxicity of 0 hits nobody, one of 1 everybody."""
    never, always = (parse({"type": "latency", "toxicity": share}) for share in (0, 1))
    assert not any(never.draw(0, n) for n in range(500))
    assert all(always.draw(0, n) for n in range(500))
