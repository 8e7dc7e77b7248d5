"""A page view that leaves nothing behind: every alias in a transaction that is rolled back, on every thread.

The view must notice as little of it as can be:

* `ATOMIC_REQUESTS` and `atomic()` become savepoints inside ours; `atomic(durable=True)` is let through, as in Django's own
  test cases.
* A view without a transaction of its own works in autocommit: a failed statement, or a failed block, costs nothing but
  itself. Inside our transaction it would cost the whole page, so we go back to the last point that autocommit had kept.
* Nothing is committed, so what waits for `on_commit` is run at the end, inside the transaction.
* A view that closes its connection, to give it back, would throw our transaction away: closing waits until the end.
* A view that commits, or sets autocommit, by hand gets Django's TransactionManagementError: that page is an error row.
* A thread that the view starts gets a transaction on its own connection; it is ended with the page view.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import Any

from django.db import connections, transaction
from django.db.backends.signals import connection_created

from workbench.guest.capture import SAVEPOINTS, writes

_POINT = "workbench_page"


class RolledBack:
    """All databases in transactions that end with a rollback; a context manager.

    Attributes:
        notes: aliases that could not be reached.
        errors: what `on_commit` callbacks raised.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.errors: list[str] = []
        self._thread = threading.get_ident()
        self._held: list[tuple[Any, Any]] = []
        self._foreign: list[Any] = []

    def __enter__(self) -> RolledBack:
        for alias in connections:
            connection: Any = connections[alias]
            block: Any = transaction.Atomic(alias, True, False)
            block._from_testcase = True
            try:
                block.__enter__()
            except Exception as error:  # noqa: BLE001 a page that needs it will say so itself
                self.notes.append(f"{alias}: {type(error).__name__}")
                continue
            self._held.append((connection, block))
            connection.close = functools.partial(_kept_open, connection)
            _Autocommit(connection).begin()
        connection_created.connect(self._created, weak=False, dispatch_uid="workbench.guest.undo")
        return self

    def __exit__(self, *_: object) -> None:
        connection_created.disconnect(dispatch_uid="workbench.guest.undo")
        for connection in self._foreign:
            _let_close(connection)
            _abandon(connection)
        for connection, block in reversed(self._held):
            _let_close(connection)
            for one in [one for one in connection.execute_wrappers if isinstance(one, _Autocommit)]:
                one.end()
            try:
                transaction.set_rollback(True, connection.alias)
                block.__exit__(None, None, None)
            except Exception:  # noqa: BLE001 the view broke it: a new connection has rolled back for certain
                _abandon(connection)

    def commit_hooks(self) -> None:
        """Run what waits for a commit, as the end of the request would have."""
        for connection, _block in self._held:
            for _ in range(100):  # a hook may register another
                waiting, connection.run_on_commit = connection.run_on_commit, []
                if not waiting:
                    break
                for _sids, hook, *_robust in waiting:
                    try:
                        hook()
                    except Exception as error:  # noqa: BLE001 as Django's robust hooks; told with the page
                        self.errors.append(f"on_commit: {type(error).__name__}: {error}")

    def _created(self, connection: Any, **_: Any) -> None:
        """A thread of the view opened a connection: what it writes must not stay either."""
        if threading.get_ident() == self._thread or connection.alias not in connections:
            return
        block: Any = transaction.Atomic(connection.alias, True, False)
        block._from_testcase = True
        if connections[connection.alias] is connection:
            block.__enter__()
        # A pool's thread may give its connection back after each task: Django would then refuse the next one.
        connection.close = functools.partial(_kept_open, connection)
        self._foreign.append(connection)


def _kept_open(connection: Any) -> None:
    """In the place of `connection.close` while a page view holds it: the next statement would have to open another one."""
    connection._wb_opened = True


def _let_close(connection: Any) -> None:
    connection.__dict__.pop("close", None)
    connection.__dict__.pop("_wb_opened", None)


class _Autocommit:
    """Keeps autocommit's promise inside a transaction: what has succeeded stays, and what fails costs only itself.

    Before a statement of a new unit (a single one, or the first of an outermost block) a savepoint keeps all units before
    it. Django's mark that a transaction is broken means, at our level, that one such unit failed: it is undone, and the
    mark is not set.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unkept = False
        self._unit: Any = None
        self._plain: Any = None

    def begin(self) -> None:
        if not self._connection.features.uses_savepoints:
            return
        connection, plain = self._connection, type(self._connection)
        _raw(connection, f"SAVEPOINT {_POINT}")

        def read(one: Any) -> bool:
            return bool(one.__dict__["needs_rollback"])

        def write(one: Any, broken: bool) -> None:
            if broken and len(one.atomic_blocks) <= 1:
                self._back()
                broken = False
            one.__dict__["needs_rollback"] = broken

        self._plain = plain
        connection.__class__ = type(plain.__name__, (plain,), {"needs_rollback": property(read, write)})
        connection.execute_wrappers.append(self)

    def end(self) -> None:
        self._connection.__class__ = self._plain
        self._connection.execute_wrappers.remove(self)

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        connection = self._connection
        blocks = connection.atomic_blocks
        unit = blocks[1] if len(blocks) > 1 else None
        ends = isinstance(sql, str) and sql.startswith(SAVEPOINTS[1:])
        if self._unkept and not ends and (unit is None or unit is not self._unit):
            _raw(connection, f"RELEASE SAVEPOINT {_POINT}")
            _raw(connection, f"SAVEPOINT {_POINT}")
            self._unkept = False
        try:
            result = execute(sql, params, many, context)
        except Exception:
            # PostgreSQL refuses everything after an error; others undo the statement alone by themselves.
            if unit is None and connection.vendor == "postgresql":
                self._back()
            raise
        if not isinstance(sql, str) or (writes(sql) and not sql.startswith(SAVEPOINTS)):
            self._unkept, self._unit = True, unit
        return result

    def _back(self) -> None:
        with contextlib.suppress(Exception):  # the connection itself may be gone
            _raw(self._connection, f"ROLLBACK TO SAVEPOINT {_POINT}")


def _raw(connection: Any, statement: str) -> None:
    """Past Django's wrappers: it is no statement of the page."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


def _abandon(connection: Any) -> None:
    """Close the driver's connection, from any thread, and leave Django's with none: it connects anew when it is used."""
    raw, connection.connection = connection.connection, None
    connection.in_atomic_block = False
    connection.atomic_blocks = []
    connection.savepoint_ids = []
    connection.needs_rollback = False
    connection.closed_in_transaction = False
    connection.run_on_commit = []
    if raw is not None:
        with contextlib.suppress(Exception):
            raw.close()
