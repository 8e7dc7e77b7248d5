"""The switch, and its connection to Django's settings."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from django.test import override_settings

import stalwart
from stalwart.exceptions import CircuitOpen
from stalwart.policies.switch import ERRORS, Switch


def test_without_a_source_it_is_on() -> None:
    """Policies alone, without any settings, are on."""
    switch = Switch("part")
    assert switch.on is True
    switch.forget()
    assert switch.on is True


def test_the_answer_is_kept_until_forgotten() -> None:
    """The source is asked once; on while it does not know yet."""
    answers, switch = iter([None, False, True]), Switch("part")
    switch.connect(lambda: next(answers))
    assert (switch.on, switch.ask(), switch.on) == (None, True, None)
    assert (switch.ask(), switch.ask(), switch.on) == (False, False, False)
    switch.forget()
    assert (switch.on, switch.ask(), switch.on) == (None, True, True)
    switch.connect(None)
    assert switch.on is True


@pytest.mark.parametrize("off", [{"ERRORS": {"ENABLED": False}}, {"ENABLED": False}], ids=str)
def test_off_means_straight_through(off) -> None:
    """Switched off, operations, circuits and failovers call straight through; on again, they work, at the next call."""
    calls = []

    @stalwart.resilient_operation(name="switch", sleep=lambda _: None, fallback=lambda: "fallback")
    def fails():
        calls.append(1)
        raise OSError

    @stalwart.resilient_operation(name="switch")
    async def fails_async():
        calls.append(1)
        raise OSError

    @stalwart.resilient_operation(name="switch", timeout=9.0)
    def limited():
        return "done"

    circuit = stalwart.CircuitBreaker("switch")
    failover = stalwart.Failover("switch", [fails, lambda: "spare"])
    with override_settings(STALWART=off):
        circuit.force_open()
        for call in (fails, lambda: asyncio.run(fails_async()), lambda: circuit.call(fails), failover):
            with pytest.raises(OSError):
                call()
        assert limited() == "done"
        assert circuit(lambda: "done")() == "done"
        assert len(calls) == 4
    assert fails() == "fallback"
    for call in (limited, lambda: circuit.call(fails), lambda: asyncio.run(fails_async())):
        with pytest.raises(CircuitOpen):
            call()
    circuit.reset()
    assert fails() == "fallback"
    assert len(calls) == 8


def test_settings_are_not_loaded_by_it() -> None:
    """Without configured settings an operation works, and hears of them as soon as somebody configures them."""
    code = """
import stalwart
calls = []
@stalwart.resilient_operation(sleep=lambda _: None)
def fails():
    calls.append(1)
    raise OSError
def call():
    try:
        fails()
    except OSError:
        pass
    return len(calls)
assert call() == 4
from django.conf import settings
assert not settings.configured
settings.configure(STALWART={"ERRORS": {"ENABLED": False}})
assert call() == 5
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_door_connects_the_switch() -> None:
    """What is imported from the door is the policies' own, with the switch connected."""
    from stalwart.policies.operation import resilient_operation

    assert stalwart.resilient_operation is resilient_operation
    assert ERRORS.ask()
    assert ERRORS.on is True
    with override_settings(STALWART={"ERRORS": {"ENABLED": False}}):
        assert ERRORS.on is None
        assert not ERRORS.ask()
