"""What Django's connection knows of a transaction. A reconnect forgets it, a replay puts it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# The lists are kept as objects, not copied: `Atomic` and `on_commit` go on working with the connection's own.
_FIELDS = (
    "in_atomic_block",
    "savepoint_ids",
    "atomic_blocks",
    "needs_rollback",
    "run_on_commit",
    "commit_on_exit",
    "savepoint_state",
    "run_commit_hooks_on_set_autocommit_on",
    "closed_in_transaction",
    "rollback_exc",
)


@dataclass(frozen=True, slots=True)
class WrapperState:
    """The attributes of a connection that `connect()` and `close()` reset."""

    values: dict[str, Any]

    @classmethod
    def take(cls, connection: BaseDatabaseWrapper) -> WrapperState:
        """Remember them, and let the connection look as if no transaction were going on."""
        state = cls({name: getattr(connection, name) for name in _FIELDS})
        state.release(connection)
        return state

    def release(self, connection: BaseDatabaseWrapper) -> None:
        """Let the connection look as if no transaction were going on, so that it may be closed and opened."""
        connection.in_atomic_block = False
        connection.closed_in_transaction = False
        connection.needs_rollback = False
        connection.savepoint_ids = []
        connection.atomic_blocks = []
        connection.run_on_commit = []
        connection.run_commit_hooks_on_set_autocommit_on = False

    def put(self, connection: BaseDatabaseWrapper) -> None:
        """Put them back."""
        for name, value in self.values.items():
            setattr(connection, name, value)
