"""What a user would pick instead of Stalwart, as functions that an arm wraps around the project's callables.

These run inside the project's process. They are written as the tool's own documentation shows, not weakened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Seconds after which the peer stops trying: the same as the library's own reconnection window.
STOP_AFTER = 4.0


def tenacity_around(function: Callable[..., Any]) -> Callable[..., Any]:
    """tenacity with full jitter around a callable that does database work; a broken connection is closed before a repeat."""
    from django.db import InterfaceError, OperationalError, close_old_connections
    from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

    decorate = retry(
        retry=retry_if_exception_type((OperationalError, InterfaceError)),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        stop=stop_after_delay(STOP_AFTER),
        before_sleep=lambda state: close_old_connections(),
        reraise=True,
    )
    return decorate(function)
