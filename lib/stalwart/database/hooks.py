"""What a resilient block changes on Django's connection object while it runs, and takes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from stalwart.database.cursors import RecordingCursor, recording_class

if TYPE_CHECKING:
    from stalwart.database.block import Block

_NAMES = ("create_cursor", "make_cursor", "make_debug_cursor", "_commit", "set_rollback")


class Hooks:
    """Attributes of one connection *instance*: its cursors record, and COMMIT and `set_rollback` tell the block.

    Args:
        block: whom they tell.
    """

    def __init__(self, block: Block) -> None:
        self._block = block
        self._before: dict[str, Any] | None = None
        self._guard: Any = None

    def install(self) -> None:
        """Put them in place."""
        block, attributes = self._block, self._block.connection.__dict__
        self._before = {name: attributes[name] for name in _NAMES if name in attributes}
        connection = block.connection
        plain, debug = connection.make_cursor, connection.make_debug_cursor
        attributes["make_cursor"] = lambda cursor: self._record(plain(cursor))
        attributes["make_debug_cursor"] = lambda cursor: self._record(debug(cursor))
        attributes["create_cursor"] = block.create_cursor
        attributes["_commit"] = block.commit
        attributes["set_rollback"] = block.set_rollback
        self._guard = self._notice_foreign_cursors
        connection.execute_wrappers.append(self._guard)

    def remove(self) -> None:
        """Take them back; a second time does nothing."""
        if self._before is None:
            return
        attributes = self._block.connection.__dict__
        for name in _NAMES:
            attributes.pop(name, None)
        attributes.update(self._before)
        self._before = None
        self._block.connection.execute_wrappers.remove(self._guard)

    def _record(self, cursor: CursorWrapper) -> CursorWrapper:
        if not self._block.running:
            return cursor
        kind = type(cursor)
        known = RecordingCursor if kind is CursorWrapper else recording_class(kind)
        recording = known(cursor.cursor, cursor.db)
        recording.block = self._block
        return recording

    def _notice_foreign_cursors(
        self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if not isinstance(context["cursor"], RecordingCursor):
            self._block.bypassed("a statement on a cursor that was opened before the block")
        return execute(sql, params, many, context)


def is_inside_block(connection: BaseDatabaseWrapper) -> bool:
    """Whether a resilient block is open on the connection."""
    return "set_rollback" in connection.__dict__
