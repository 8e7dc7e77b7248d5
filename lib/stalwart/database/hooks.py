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

    Attributes:
        guard: the execute wrapper that notices cursors which are not ours; ours need not pass it.
    """

    __slots__ = ("_before", "_block", "_debug", "_is_djangos", "_plain", "guard")

    def __init__(self, block: Block) -> None:
        self._block = block
        self._before: dict[str, Any] | None = None
        self.guard: Any = self._notice_foreign_cursors

    def install(self) -> None:
        """Put them in place."""
        block = self._block
        connection, attributes = block.connection, block.connection.__dict__
        self._before = {}
        if not attributes.keys().isdisjoint(_NAMES):
            self._before = {name: attributes[name] for name in _NAMES if name in attributes}
        self._plain, self._debug = connection.make_cursor, connection.make_debug_cursor
        self._is_djangos = getattr(self._plain, "__func__", None) is BaseDatabaseWrapper.make_cursor
        attributes["make_cursor"] = self._make_cursor
        attributes["make_debug_cursor"] = self._make_debug_cursor
        attributes["create_cursor"] = block.create_cursor
        attributes["_commit"] = block.commit
        attributes["set_rollback"] = block.set_rollback
        connection.execute_wrappers.append(self.guard)

    def remove(self) -> None:
        """Take them back; a second time does nothing."""
        if self._before is None:
            return
        connection = self._block.connection
        attributes = connection.__dict__
        for name in _NAMES:
            attributes.pop(name, None)
        attributes.update(self._before)
        self._before = None
        connection.execute_wrappers.remove(self.guard)
        self.guard = None  # a method of ours: with it we, and the block, would wait for the garbage collector

    def _make_cursor(self, cursor: Any) -> CursorWrapper:
        block = self._block
        if block.running and self._is_djangos:
            # What follows below comes to the same, by way of a cursor that nobody needs.
            recording = RecordingCursor(cursor, block.connection)
            recording.block = block
            recording.guard = self.guard
            return recording
        return self._record(self._plain(cursor))

    def _make_debug_cursor(self, cursor: Any) -> CursorWrapper:
        return self._record(self._debug(cursor))

    def _record(self, cursor: CursorWrapper) -> CursorWrapper:
        block = self._block
        if not (block.running or block.given_up):
            return cursor
        kind = type(cursor)
        known = RecordingCursor if kind is CursorWrapper else recording_class(kind)
        recording = known(cursor.cursor, cursor.db)
        recording.block = block
        recording.guard = self.guard
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
