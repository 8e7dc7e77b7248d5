"""Database resilience: telling failures apart, and repeating what may be repeated."""

from stalwart.database.retry import database_retry

__all__ = ["database_retry"]
