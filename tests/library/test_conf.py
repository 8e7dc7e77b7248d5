"""The settings: defaults, switches, problems, and changes at run time."""

from __future__ import annotations

import dataclasses
import math

import pytest
from django.test import override_settings

from stalwart import django_conf
from stalwart.conf import Config, parse


@pytest.mark.parametrize("raw", [None, {}, {"DATABASE": {}}])
def test_defaults(raw) -> None:
    """Nothing set means all parts on, with the documented defaults, and no problem."""
    config, problems = parse(raw)
    assert config == Config()
    assert problems == ()
    assert config.database.reconnect_within == 4.0
    assert config.compression.enabled


def test_records_are_frozen() -> None:
    """Nobody changes the settings by accident."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse({})[0].enabled = False


def test_the_switch_of_the_whole_counts_for_each_part() -> None:
    """ENABLED off switches off every part, whatever the parts say; a part's own switch only that part."""
    off = parse({"ENABLED": False, "DATABASE": {"ENABLED": True}})[0]
    parts = [getattr(off, field.name) for field in dataclasses.fields(Config) if field.name != "enabled"]
    assert len(parts) == 6
    assert not any(part.enabled for part in parts)
    one = parse({"MEMORY": {"ENABLED": False}})[0]
    assert (one.enabled, one.memory.enabled, one.database.enabled) == (True, False, True)


@pytest.mark.parametrize(
    ("raw", "where", "hint"),
    [
        ({"DATABSE": {}}, "STALWART['DATABSE']", "'DATABASE'"),
        ({"database": {}}, "STALWART['database']", "'DATABASE'"),
        (
            {"DATABASE": {"RECONECT_WITHIN": 3}},
            "STALWART[\"DATABASE\"]['RECONECT_WITHIN']",
            "'RECONNECT_WITHIN'",
        ),
        ({7: 1}, "STALWART[7]", "It knows"),
    ],
)
def test_unknown_keys(raw, where, hint) -> None:
    """A key that does not exist is a problem that names the nearest one that does."""
    config, (problem,) = parse(raw)
    assert (problem.where, problem.unknown) == (where, True)
    assert hint in problem.hint
    assert config == Config()


@pytest.mark.parametrize(
    "raw",
    [
        {"ENABLED": "yes"},
        {"ENABLED": 1},
        {"DATABASE": []},
        {"DATABASE": {"RECONNECT_WITHIN": "4"}},
        {"DATABASE": {"RECONNECT_WITHIN": -1}},
        {"DATABASE": {"RECONNECT_WITHIN": True}},
        {"DATABASE": {"RECONNECT_WITHIN": math.nan}},
        {"DATABASE": {"RECONNECT_WITHIN": math.inf}},
        {"COMPRESSION": {"ZSTD_LEVEL": 20}},
        {"COMPRESSION": {"GZIP_LEVEL": 6.0}},
        "on",
    ],
    ids=str,
)
def test_values_that_cannot_work(raw) -> None:
    """A bad value is a problem, and its default is used: a typo must not take a site down."""
    config, (problem,) = parse(raw)
    assert config == Config()
    assert not problem.unknown
    assert problem.hint


def test_whole_numbers_of_seconds_are_fine() -> None:
    """An int will do where seconds are meant."""
    assert parse({"DATABASE": {"RECONNECT_WITHIN": 2}})[0].database.reconnect_within == 2


def test_changes_take_effect_at_the_next_read() -> None:
    """Django's override_settings reaches the library at once, in both directions."""
    assert django_conf.current().database.enabled
    with override_settings(STALWART={"DATABASE": {"ENABLED": False}}):
        assert not django_conf.current().database.enabled
    assert django_conf.current().database.enabled
    assert django_conf.current() is django_conf.current()
