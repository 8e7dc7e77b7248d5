"""The Django signal for what happened in Stalwart.

    from stalwart.signals import event_happened

    @receiver(event_happened)
    def count(sender, event, **kwargs): ...      # sender is the record's class: `sender=RetryScheduled` filters

It is fed while `"stalwart"` is in INSTALLED_APPS, and `disconnect()` ends it. Receivers that raise are logged by Django
and do not break the caller.
"""

from __future__ import annotations

from collections.abc import Callable

from django.dispatch import Signal

from stalwart import events

event_happened = Signal()

_undo: Callable[[], None] | None = None


def send(event: events.Event) -> None:
    """The sink that turns a record into the signal."""
    event_happened.send_robust(sender=type(event), event=event)


def connect() -> None:
    """Feed the signal; calling it again changes nothing."""
    global _undo
    if _undo is None:
        _undo = events.subscribe(send)


def disconnect() -> None:
    """Stop feeding the signal; receivers stay connected and get nothing."""
    global _undo
    if _undo is not None:
        _undo()
        _undo = None
