"""Events reach their sinks, and a sink's failure reaches nobody."""

from __future__ import annotations

import json
import logging

from django.dispatch import receiver

from stalwart import events, signals
from stalwart.events import ConnectionRestored, OutcomeUnknown, RetryScheduled

EVENT = RetryScheduled("shop.order", 1, 3, 0.05, "conflict", "OperationalError", "40001")


def test_sinks_get_events_until_they_are_undone() -> None:
    """A subscribed callable gets each record; after undo, none; undoing twice does no harm."""
    seen: list[object] = []
    undo = events.subscribe(seen.append)
    events.emit(EVENT)
    undo()
    undo()
    events.emit(EVENT)
    assert seen == [EVENT]


def test_failing_sink_breaks_nobody(caplog) -> None:
    """A sink that raises is logged; the other sinks and the caller go on."""
    seen: list[object] = []

    def broken(_: object) -> None:
        raise RuntimeError("no disk")

    undo = [events.subscribe(broken), events.subscribe(seen.append)]
    try:
        events.emit(EVENT)
    finally:
        for each in undo:
            each()
    assert seen == [EVENT]
    assert "no disk" in caplog.text


def test_events_are_logged_with_their_fields(caplog) -> None:
    """The logger stalwart.events gets each record at its own level, with the fields for structured logs."""
    with caplog.at_level(logging.INFO, "stalwart.events"):
        events.emit(EVENT)
        events.emit(OutcomeUnknown("shop.order", "default", None, "COMMIT"))
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert caplog.records[0].stalwart["code"] == "40001"


def test_events_can_be_written_as_json() -> None:
    """as_dict names the kind and holds plain values."""
    event = ConnectionRestored("f", "default", 3, 1.5)
    assert json.loads(json.dumps(event.as_dict())) == {
        "event": "ConnectionRestored", "operation": "f", "alias": "default", "attempts": 3, "seconds": 1.5,
    }  # fmt: skip


def test_django_signal_is_fed_while_the_app_is_installed() -> None:
    """The app connects the signal, filtered by the record's class; disconnect and connect switch it."""
    seen: list[object] = []

    @receiver(signals.event_happened, sender=RetryScheduled)
    def count(sender: type, event: object, **_: object) -> None:
        seen.append(event)
        raise RuntimeError("a receiver may fail, too")

    events.emit(EVENT)
    events.emit(ConnectionRestored("f", "default", 3, 1.5))
    signals.disconnect()
    events.emit(EVENT)
    signals.connect()
    signals.connect()
    events.emit(EVENT)
    signals.event_happened.disconnect(count, sender=RetryScheduled)
    assert seen == [EVENT, EVENT]
