"""Who is told: the subscribed sinks, in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeAlias

from .record import Event

logger = logging.getLogger("stalwart.events")

Sink: TypeAlias = Callable[[Event], object]


def log_event(event: Event) -> None:
    """The sink that writes a record to the logger "stalwart.events", its fields under `extra["stalwart"]`."""
    logger.log(event.level, "%r", event, extra={"stalwart": event.as_dict()})


_lock = threading.Lock()
_sinks: tuple[Sink, ...] = (log_event,)


def subscribe(sink: Sink) -> Callable[[], None]:
    """Hand every record to `sink` from now on.

    Args:
        sink: called in the thread where the thing happened, so it must be quick; a queue is a good one.

    Returns:
        A function that ends it again; calling it twice does no harm.
    """
    global _sinks
    with _lock:
        _sinks = (*_sinks, sink)
    done = False

    def undo() -> None:
        nonlocal done
        if not done:
            done = True
            unsubscribe(sink)

    return undo


def unsubscribe(sink: Sink) -> None:
    """Take one subscription of `sink` away; without one, nothing happens. Works for `log_event` too."""
    global _sinks
    with _lock:
        rest = list(_sinks)
        if sink in rest:
            rest.remove(sink)
        _sinks = tuple(rest)


def emit(event: Event) -> None:
    """Hand a record to all sinks; never raises what a sink raises."""
    for sink in _sinks:
        try:
            sink(event)
        except Exception:
            logger.exception(
                "the event sink %r failed on %s; it stays subscribed", sink, type(event).__name__
            )
