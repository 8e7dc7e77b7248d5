"""Database resilience: telling failures apart, and repeating what may be repeated."""

from stalwart.database.overdue import reply_within
from stalwart.database.retry import database_retry
from stalwart.database.status import get_database_status
from stalwart.database.transaction import mark_side_effect, resilient_transaction

__all__ = [
    "database_retry",
    "get_database_status",
    "mark_side_effect",
    "reply_within",
    "resilient_transaction",
]
