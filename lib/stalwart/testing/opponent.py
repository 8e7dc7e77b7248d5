"""A second session that stands in the way of the code under test, and acts when the code waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.testing.control import Control, open_session
from stalwart.testing.rows import Sql

_POLL = 0.002


class Opponent:
    """See above.

    Args:
        connection: Django's, of the code under test.
        failed: is told of an error in the opponent's thread.
    """

    def __init__(self, connection: BaseDatabaseWrapper, failed: Callable[[Exception], None]) -> None:
        self._session = open_session(connection, autocommit=False, role=True)
        try:
            self._watcher = Control(connection)
        except BaseException:
            self._session.close()
            raise
        self._failed = failed
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def take(self, sql: Sql) -> None:
        """Execute a statement, and keep the locks that it takes."""
        text, params = sql
        self._session.execute(text, params or None)

    def commit(self) -> None:
        """Make what was written take effect, and let all locks go."""
        self._session.commit()

    def let_go(self) -> None:
        """Let all locks go; what was written is undone."""
        self._session.rollback()

    def when_waited_for(self, act: Callable[[], None]) -> None:
        """As soon as another session waits for a lock of this one, call `act`, once and in a thread."""
        self._thread = threading.Thread(target=self._watch, args=[act], name="stalwart.testing opponent")
        self._thread.start()

    def rest(self) -> None:
        """Wait until what `when_waited_for` began is over."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Give up whatever is being done, and end the session."""
        self._stop.set()
        with suppress(Exception):  # it may be gone, or the thread may be done this very moment
            if self._thread is not None and self._thread.is_alive():
                self._session.cancel_safe(timeout=2)
        self.rest()
        with suppress(Exception):
            self._session.close()
        self._watcher.close()

    def _watch(self, act: Callable[[], None]) -> None:
        try:
            pid = self._session.info.backend_pid
            while not self._watcher.waits_for(pid):
                if self._stop.wait(_POLL):
                    return
            act()
        except Exception as error:  # noqa: BLE001  a thread has nobody to raise it to
            if not self._stop.is_set():
                self._failed(error)
