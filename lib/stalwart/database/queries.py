"""Slow statements: which they are, where they come from, how often and how long.

An execute wrapper stands on every connection and looks at the clock before and after each statement. One that takes at
least `SLOW_QUERY` seconds is looked at closely: its fingerprint, the place in the application, its time. The time is what
the caller waited: for the network, for locks, for all statements of an `executemany`, for the rows that the driver fetches
with the answer, and for whoever stands nearer to the driver and repeats the statement. A statement that fails counts as
well, since one that runs into a time limit is the slowest of all. Rows that are made only when they are fetched are not in
it (a server-side cursor's; all but the first of SQLite's), and what does not pass through a Django cursor's `execute` is not
seen: COMMIT, COPY, `callproc`.

A quick statement pays for two looks at the clock and two comparisons; nothing is kept of it and no lock is taken. One in
a thousand is drawn all the same (by the clock's last digits, which no program keeps in step with) and looked at closely, so
that a record can tell of how many runs the slow ones are, and what is usual.

Records hold no values of parameters, nor literals: see `fingerprint`.
"""

from __future__ import annotations

import logging
import math
import sys
from dataclasses import asdict, dataclass
from time import monotonic, perf_counter, time
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart import django_conf, events
from stalwart.database import slow_log
from stalwart.database.call_site import call_site
from stalwart.database.driver import as_text
from stalwart.database.durations import Durations
from stalwart.database.explained import Explained
from stalwart.database.fingerprint import fingerprint
from stalwart.database.settling import Execute
from stalwart.database.slow_log import DRAWN, TOLD_EVERY, Entry, Key

logger = logging.getLogger("stalwart.database")

_SPAN = 1e-3
_DRAW = _SPAN / DRAWN
_UNKNOWN = -1.0  # below any time, so that the next statement has the settings read
_LONGEST_STATEMENT = 10_000
_CANCELLED = "57014"  # query_canceled, by statement_timeout
#: Seconds between two automatic explanations: of any statements, and of one kind that has no plan yet.
EXPLAIN_EVERY, EXPLAIN_AGAIN = 1.0, 60.0

_threshold = _UNKNOWN
_explained_at = -math.inf


@dataclass(frozen=True, slots=True)
class SlowQueryRecord:
    """One kind of slow statement from one place, since the process started or `forget_slow_queries()`.

    Attributes:
        alias: name of the database.
        fingerprint: 16 hexadecimal digits, the same for the same statement everywhere.
        sql: the statement without values.
        call_site: the place in the application, as "shop.views.checkout:42"; None where there is none on the stack.
        count: how often it was slow. Here and below an `executemany` is one run.
        total, longest: seconds of the slow runs.
        p95: seconds that 95 % of the slow runs did not exceed, to within 2 %.
        failed: how many of the slow runs failed.
        threshold: seconds, at the last slow run.
        first_seen, last_seen: of the slow runs, in seconds since the epoch.
        runs: about how often it ran in all; never less than `count`. Estimated from one run in a thousand.
        usual: median of the drawn runs in seconds, None where none was drawn.
        explained: its plan, and what the plan suggests.
    """

    alias: str
    fingerprint: str
    sql: str
    call_site: str | None
    count: int
    total: float
    longest: float
    p95: float
    failed: int
    threshold: float
    first_seen: float
    last_seen: float
    runs: int
    usual: float | None
    explained: Explained

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict that `json` can write."""
        return {**asdict(self), "explained": self.explained.as_dict()}


def slow_queries(using: str | None = None) -> list[SlowQueryRecord]:
    """The slow statements of this process, those that took most time in all first; at most 256 kinds are kept.

    Args:
        using: alias of a database; all of them by default.
    """
    with slow_log.lock:
        found = [
            _record(key, entry, slow_log.drawn.get(key))
            for key, entry in slow_log.slow.items()
            if using is None or key.alias == using
        ]
    return sorted(found, key=lambda record: -record.total)


def forget_slow_queries() -> None:
    """Forget all slow statements, to begin anew."""
    slow_log.forget()


def explain_slow_query(record: SlowQueryRecord) -> Explained:
    """Have the plan of a slow statement explained now, on this thread's connection to its database.

    Without the values of any run: PostgreSQL 16 and later plan for any value. It is never executed, and a statement that
    writes is explained too. Costs what `explain_now` says.

    Args:
        record: from `slow_queries()`.

    Returns:
        The plan, or why there is none; with the record it is kept for later ones.
    """
    key = Key(record.alias, record.fingerprint, record.call_site)
    with slow_log.lock:
        entry = slow_log.slow.get(key)
    if entry is None or entry.statement is None:
        return Explained(skipped="its text is not kept: forgotten meanwhile, or too long")
    connection = connections[record.alias]
    connection.ensure_connection()
    params = () if entry.has_params else None
    from stalwart.database import explain

    made = explain.explain_now(connection, entry.statement, params, generic=True, writes=True)
    if not made.skipped:
        entry.explained = made
    return made


# -- the watch on each connection


def attach(connection: BaseDatabaseWrapper) -> None:
    """Watch a connection's statements; a second time does nothing."""
    if watch not in connection.execute_wrappers:
        # First, not last: a `with connection.execute_wrapper(...)` in which the connection is opened takes the last one
        # away when it ends, whosever it is.
        connection.execute_wrappers.insert(0, watch)


def detach(connection: BaseDatabaseWrapper) -> None:
    """Stop watching."""
    if watch in connection.execute_wrappers:
        connection.execute_wrappers.remove(watch)


def watch(execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """The execute wrapper."""
    started = perf_counter()
    try:
        result = execute(sql, params, many, context)
    except BaseException as error:
        now = perf_counter()
        if now - started >= _threshold or now % _SPAN < _DRAW:
            _look(started, now, sql, params, many, context, error)
        raise
    now = perf_counter()
    if now - started >= _threshold or now % _SPAN < _DRAW:
        _look(started, now, sql, params, many, context, None)
    return result


def _look(
    started: float,
    now: float,
    sql: Any,
    params: Any,
    many: bool,
    context: dict[str, Any],
    error: BaseException | None,
) -> None:
    """Look closely at a statement that is slow, drawn, or the first one since the settings changed; never raises."""
    try:
        threshold = _threshold if _threshold != _UNKNOWN else _read_threshold()
        took, drawn = now - started, now % _SPAN < _DRAW
        if threshold == math.inf or (took < threshold and not drawn):
            return
        connection: BaseDatabaseWrapper = context["connection"]
        text = as_text(connection, sql)
        made = fingerprint(text, mysql=connection.vendor == "mysql")
        key = Key(connection.alias, made.hash, call_site(sys._getframe(1)))
        if drawn:
            with slow_log.lock:
                slow_log.drawn.touch(key, Durations).add(took)
        if took >= threshold:
            entry = _note(key, made.text, text, params, took, threshold, error)
            if django_conf.current().database.explain_slow_queries:
                _explain(entry, text, params, many, context, error)
    except Exception:
        logger.exception("a statement could not be looked at; it was executed as usual")


def _note(
    key: Key,
    shown: str,
    text: str,
    params: Any,
    took: float,
    threshold: float,
    error: BaseException | None,
) -> Entry:
    def new() -> Entry:
        return Entry(shown, text if len(text) <= _LONGEST_STATEMENT else None, params is not None)

    with slow_log.lock:
        entry = slow_log.slow.touch(key, new)
        entry.durations.add(took)
        entry.failed += error is not None
        entry.last_seen, entry.threshold = time(), threshold
        clock = monotonic()
        tell = entry.told is None or clock - entry.told >= TOLD_EVERY
        untold = entry.untold
        entry.told, entry.untold = (clock, 0) if tell else (entry.told, untold + 1)
        count = entry.durations.count
    if tell:
        failure = None if error is None else type(error).__name__
        events.emit(
            events.SlowQuery(
                key.call_site or "", key.alias, key.hash, shown, took, threshold, count, untold, failure
            )
        )
    return entry


def _explain(
    entry: Entry, text: str, params: Any, many: bool, context: dict[str, Any], error: BaseException | None
) -> None:
    """Have a reading statement explained right after it, with its values, where it was not yet."""
    global _explained_at
    if entry.explained.plan is not None:
        return
    reason = "an executemany" if many else _failure(error)
    if not reason and getattr(context["cursor"].cursor, "name", None):
        reason = "its rows stream from a server-side cursor"
    if reason:
        entry.explained = Explained(skipped=reason)
        return
    # One at a time and one a second: a database in trouble is not to be asked for plans by every thread, nor is one
    # statement to be held up each time because its plan cannot be had.
    lock = slow_log.explaining
    if not lock.acquire(blocking=False):
        return
    try:
        now = monotonic()
        asked = -math.inf if entry.asked is None else entry.asked
        if now - _explained_at >= EXPLAIN_EVERY and now - asked >= EXPLAIN_AGAIN:
            from stalwart.database import explain

            entry.explained = explain.explain_now(context["connection"], text, params)
            entry.asked = _explained_at = monotonic()
    finally:
        lock.release()


def _failure(error: BaseException | None) -> str:
    """Why a plan cannot be had after this, "" if it can: what a time limit ended has left its connection as it was."""
    if error is None or getattr(error.__cause__, "sqlstate", None) == _CANCELLED:
        return ""
    return f"it failed with {type(error).__name__}"


def _record(key: Key, entry: Entry, drawn: Durations | None) -> SlowQueryRecord:
    durations = entry.durations
    return SlowQueryRecord(
        alias=key.alias,
        fingerprint=key.hash,
        sql=entry.sql,
        call_site=key.call_site,
        count=durations.count,
        total=durations.total,
        longest=durations.longest,
        p95=durations.quantile(0.95) or 0.0,
        failed=entry.failed,
        threshold=entry.threshold,
        first_seen=entry.first_seen,
        last_seen=entry.last_seen,
        runs=max(durations.count, drawn.count * DRAWN if drawn else 0),
        usual=drawn.quantile(0.5) if drawn else None,
        explained=entry.explained,
    )


def _read_threshold() -> float:
    global _threshold
    config = django_conf.current()
    on = config.database.enabled and config.database.slow_query > 0
    _threshold = config.database.slow_query if on else math.inf
    value = _threshold
    if django_conf.current() is not config:
        _threshold = (
            _UNKNOWN  # they changed in between, and what was read may be older than what was forgotten
        )
    return value


def _forget_threshold() -> None:
    global _threshold
    _threshold = _UNKNOWN


django_conf.on_refresh(_forget_threshold)
