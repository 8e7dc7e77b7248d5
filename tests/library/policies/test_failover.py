"""Failover: whom it calls while targets fail, hang and heal."""

from __future__ import annotations

import asyncio
import threading

import pytest

from stalwart import events
from stalwart.exceptions import BulkheadFull, CircuitOpen, CommitOutcomeUnknown, ConfigurationError
from stalwart.policies import registry
from stalwart.policies.breaker import CircuitBreaker
from stalwart.policies.failover import Failover
from stalwart.policies.marker import forbid


class Site:
    """Two targets, of which some are down."""

    def __init__(self, clock, **options) -> None:
        self.down: set[str] = set()
        self.calls: list[str] = []
        self.failover = Failover(
            "quotes", {"main": "m", "spare": "s"}, clock=clock, random=lambda: 0.0, **options
        )

    def fetch(self) -> str:
        return self.failover.run(self.call)

    def call(self, target: str) -> str:
        self.calls.append(target)
        if target in self.down:
            raise ConnectionError(target)
        return target


def test_calls_the_primary_while_it_is_healthy(clock) -> None:
    """A fallback gets no call without need."""
    site = Site(clock)
    assert [site.fetch() for _ in range(5)] == ["m"] * 5
    assert site.failover.status().as_dict() == {
        "name": "quotes",
        "active": "main",
        "targets": {"main": "closed", "spare": "closed"},
    }


def test_no_call_fails_while_the_primary_is_down(clock, seen) -> None:
    """A failed call goes on to the next target at once; after two of them the primary is not asked any more."""
    site = Site(clock)
    site.down.add("m")
    assert [site.fetch() for _ in range(100)] == ["s"] * 100
    assert site.calls.count("m") == 2
    assert site.failover.active == "spare"
    changes = [event for event in seen if isinstance(event, events.TargetChanged)]
    assert changes == [events.TargetChanged("quotes", "main", "spare", False)]


def test_returns_after_the_heal(clock, seen) -> None:
    """One call a second tries the primary, its failures reach nobody, and two good ones bring it back."""
    site = Site(clock)
    site.down.add("m")
    for _ in range(40):
        clock.advance(0.25)
        assert site.fetch() == "s"
    assert site.calls.count("m") <= 2 + 5
    site.down.clear()
    answers = []
    for _ in range(24):
        clock.advance(0.25)
        answers.append(site.fetch())
    assert answers[-1] == "m"
    assert site.failover.active == "main"
    assert seen[-1] == events.TargetChanged("quotes", "spare", "main", True)


def test_leaves_a_target_that_hangs_within_a_second(clock) -> None:
    """New callers do not wait for the time-out of the first one; when the hanging call ends well, the primary is back."""
    hangs, hold, answers = threading.Event(), threading.Event(), []
    failover = Failover("quotes", ["m", "s"], clock=clock)

    def call(target: str) -> str:
        if target == "m" and not hangs.is_set():
            hangs.set()
            hold.wait(10)
        return target

    thread = threading.Thread(target=lambda: answers.append(failover.run(call)))
    thread.start()
    assert hangs.wait(10)
    assert failover.run(call) == "m"
    clock.advance(0.75)
    assert failover.run(call) == "s"
    assert failover.status().targets == {"0": "suspect", "1": "closed"}
    hold.set()
    thread.join(10)
    assert answers == ["m"]
    assert failover.run(call) == "m"
    assert failover.active == "0"


def test_a_suspect_is_better_than_nothing(clock) -> None:
    """When the fallbacks are down, callers still try the slow primary."""
    site = Site(clock)
    site.down.add("s")

    def slow(target: str) -> str:
        clock.advance(5)
        return site.fetch()

    for _ in range(4):
        assert site.failover.run(slow) == "m"


def test_without_suspicion(clock) -> None:
    """Where long calls are in order, it can be switched off."""
    site = Site(clock, suspect_after=None)
    site.failover.run(lambda target: (clock.advance(100), site.fetch()))
    assert site.calls == ["m"]


def test_all_down(clock) -> None:
    """The last target's own error is raised; once all are out of use, a refusal that says until when."""
    site = Site(clock)
    site.down |= {"m", "s"}
    for _ in range(2):
        with pytest.raises(ConnectionError, match="s"):
            site.fetch()
    with pytest.raises(CircuitOpen) as caught:
        site.fetch()
    assert (caught.value.name, caught.value.retry_after) == ("quotes", 1.0)
    assert len(site.calls) == 4
    clock.advance(1.0)
    site.down.clear()
    assert site.fetch() == "m"


def test_calls_that_must_not_be_made_twice(clock) -> None:
    """With `repeat=False` the error is raised, and only later calls go elsewhere."""
    site = Site(clock, repeat=False)
    site.down.add("m")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            site.fetch()
    assert site.failover.active == "spare"
    assert site.fetch() == "s"
    assert site.calls == ["m", "m", "s"]


@pytest.mark.parametrize("options", [{}, {"on": Exception}], ids=str)
def test_an_unknown_outcome_goes_nowhere_else(clock, options) -> None:
    """A second target would write a second time."""
    failover, calls = Failover("quotes", ["m", "s"], clock=clock, **options), []

    def write(target):
        calls.append(target)
        raise OSError from CommitOutcomeUnknown("default")

    with pytest.raises(OSError):
        failover.run(write)
    assert calls == ["m"]


def test_what_was_done_all_the_same_goes_nowhere_else(clock) -> None:
    """An error that bears the word of a layer below, or to which a part of the library objects."""
    failover, calls = Failover("quotes", ["m", "s"], clock=clock), []

    def write(target):
        calls.append(target)
        error = OSError()
        if target == "m":
            forbid(error, "the invoice is sent")
        raise error

    with pytest.raises(OSError) as caught:
        failover.run(write)
    assert calls == ["m"]
    assert "the invoice is sent" in caught.value.__notes__[0]
    undo = registry.objections.register("test", lambda error: "it may have written")
    try:
        with pytest.raises(OSError):
            failover.run(lambda target: write("s"))
    finally:
        undo()
    assert calls == ["m", "s"]


def test_mistakes_go_nowhere_else_and_refusals_do(clock) -> None:
    """A TypeError would come again; a full bulkhead means that nothing was called yet."""
    failover = Failover("quotes", ["m", "s"], clock=clock, repeat=False)

    def refuse(target):
        if target == "m":
            raise BulkheadFull("m", 1)
        return target

    with pytest.raises(TypeError):
        failover.run(lambda: None)
    assert failover.run(refuse) == "s"
    assert failover.status().targets == {"0": "closed", "1": "closed"}


def test_interrupted_calls_leave_nothing_behind(clock) -> None:
    """Ctrl-C in a probe frees its place, and the target is not suspected for ever."""
    site = Site(clock)

    def interrupt(target):
        raise KeyboardInterrupt

    site.down.add("m")
    site.fetch(), site.fetch()
    clock.advance(1)
    with pytest.raises(KeyboardInterrupt):
        site.failover.run(interrupt)
    clock.advance(100)
    site.down.clear()
    assert [site.fetch() for _ in range(2)] == ["m", "m"]
    assert site.failover.status().targets == {"main": "closed", "spare": "closed"}


def test_targets_that_are_functions(clock) -> None:
    """They are called with the arguments, functions and coroutine functions alike; other targets say what to do."""

    def main(symbol):
        raise ConnectionError

    async def main_async(symbol):
        raise ConnectionError

    async def spare_async(symbol):
        return symbol

    assert Failover("a", [main, str.lower], clock=clock)("AAPL") == "aapl"
    assert asyncio.run(Failover("b", [main_async, spare_async], clock=clock)("AAPL")) == "AAPL"
    with pytest.raises(TypeError, match="use run"):
        Failover("c", ["https://a.example"])()


def test_its_circuits_can_be_seen_and_forced(clock) -> None:
    """An operator can take a target out by its circuit's name."""
    site = Site(clock)
    CircuitBreaker("quotes:main").force_open()
    assert site.fetch() == "s"
    CircuitBreaker("quotes:main").reset()
    assert site.fetch() == "m"


@pytest.mark.parametrize(
    ("targets", "options"), [([], {}), ({}, {}), (["m"], {"suspect_after": 0}), (["m"], {"retry_after": 0})]
)
def test_arguments_without_sense_are_refused(targets, options) -> None:
    """No target, or times that make no sense."""
    with pytest.raises(ConfigurationError):
        Failover("quotes", targets, **options)
