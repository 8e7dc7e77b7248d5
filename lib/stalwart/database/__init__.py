"""Database resilience: telling failures apart, repeating what may be repeated, and knowing what is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stalwart.database.overdue import reply_within
from stalwart.database.queries import explain_slow_query, forget_slow_queries, slow_queries
from stalwart.database.retry import database_retry
from stalwart.database.status import get_database_status
from stalwart.database.transaction import mark_side_effect, resilient_transaction

if TYPE_CHECKING:
    from stalwart.database.requests import RequestRetryMiddleware

__all__ = [
    "RequestRetryMiddleware",
    "database_retry",
    "explain_slow_query",
    "forget_slow_queries",
    "get_database_status",
    "mark_side_effect",
    "reply_within",
    "resilient_transaction",
    "slow_queries",
]


def __getattr__(name: str) -> object:
    if name != "RequestRetryMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    # Only who lists it pays for Django's request handling and sessions.
    from stalwart.database.requests import RequestRetryMiddleware

    globals()[name] = RequestRetryMiddleware
    return RequestRetryMiddleware
