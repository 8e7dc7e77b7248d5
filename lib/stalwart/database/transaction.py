"""`resilient_transaction`: a transaction that outlives its connection."""

from __future__ import annotations

import functools
import inspect
import random
import sys
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic

from stalwart import django_conf
from stalwart.database import isolation as levels
from stalwart.database.block import Block
from stalwart.database.classification import classify
from stalwart.database.codes import TRANSIENT
from stalwart.database.instances import Instances, keep_watch
from stalwart.database.recovery import BlockPlan
from stalwart.database.watch import CallWatch
from stalwart.exceptions import ConfigurationError, StalwartError
from stalwart.policies.backoff import Backoff
from stalwart.policies.marker import GIVEN_UP, forbid, links, note

P = ParamSpec("P")
R = TypeVar("R")

# Conflicts are over in milliseconds; the jitter is what keeps two deadlocked transactions from meeting again.
_BACKOFF = Backoff(base=0.005, multiplier=1.5, cap=0.5)
_OPEN = "_stalwart_open_blocks"


class Resilient:
    """What `resilient_transaction` returns: a context manager and a decorator. Use it for one block at a time."""

    def __init__(self, using: str | None, plan: BlockPlan) -> None:
        self._using = using or DEFAULT_DB_ALIAS
        self._plan = plan

    def __enter__(self) -> Resilient:
        connection = connections[self._using]
        block: Block | Atomic
        if self._is_outermost(connection):
            block = Block(connection, self._plan, "resilient_transaction", replays=True)
            block.enter()
        else:
            block = Atomic(self._using, True, self._plan.durable)
            block.__enter__()
        _opened(connection).append(block)
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        block = _opened(connections[self._using]).pop()
        if isinstance(block, Block):
            block.exit(exc_type, exc, traceback)
        else:
            block.__exit__(exc_type, exc, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, which is run again as a whole when its transaction fails."""
        _refuse_what_cannot_be_repeated(function)
        keep_watch()
        name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            connection = connections[self._using]
            if not self._is_outermost(connection):
                with Atomic(self._using, True, self._plan.durable):
                    return function(*args, **kwargs)
            return self._run(
                name, connection, functools.partial(function, *args, **kwargs), Instances(args, kwargs)
            )

        return wrapper

    def _is_outermost(self, connection: BaseDatabaseWrapper) -> bool:
        if not django_conf.current().database.enabled:
            return False
        unmanaged = connection.connection is not None and not connection.autocommit
        if not (connection.in_atomic_block or unmanaged):
            return True
        in_a_testcase = connection.atomic_blocks and getattr(
            connection.atomic_blocks[-1], "_from_testcase", False
        )
        if self._plan.isolation is not None and not in_a_testcase:
            raise ConfigurationError(
                f"isolation={self._plan.isolation!r} inside another transaction: only the outermost block can choose it"
            )
        return False

    def _run(
        self, name: str, connection: BaseDatabaseWrapper, function: Callable[[], R], instances: Instances
    ) -> R:
        attempts = 0
        before = sys.exception()
        # What it commits there stays, whatever becomes of this transaction.
        elsewhere = CallWatch(
            (connections[each] for each in connections if each != self._using), settles=False
        )
        while True:
            block = Block(connection, self._plan, name, replays=False)
            block.attempts = attempts
            try:
                with instances, elsewhere:
                    return _once(block, connection, function)
            except Exception as error:  # noqa: BLE001  told apart below; what is not ours is raised again
                failure = error
            try:
                self._prepare_another(failure, block, name, before, _refusal(block, instances, elsewhere))
            finally:
                del failure  # its traceback holds this frame: a cycle
            attempts = block.attempts
            instances.put_back()

    def _prepare_another(
        self, failure: Exception, block: Block, name: str, before: BaseException | None, refusal: str | None
    ) -> None:
        """Wait for what another run needs; raises the failure when there is none."""
        known = classify(failure, before)
        given_up = any(
            isinstance(link, StalwartError) or GIVEN_UP in link.__dict__ for link in links(failure, before)
        )
        if known is None or known.error_class not in TRANSIENT or block.committed:
            raise failure
        if known.origin.connection not in (None, block.connection):
            raise failure  # of another database, whose transaction is not ours
        if refusal is not None:
            note(failure, f"resilient_transaction did not run {name} again: {refusal}.")
            forbid(failure, refusal)
        if refusal is not None or given_up:
            raise failure
        block.await_another(failure, known)


def _refusal(block: Block, instances: Instances, elsewhere: CallWatch) -> str | None:
    """Why a function must not run again, None when it may."""
    if block.side_effect is not None:
        return f"it has a side effect: {block.side_effect}"
    if elsewhere.committed or elsewhere.doubtful:
        return "it has written to another database, and that stays"
    return instances.refusal


def _once(block: Block, connection: BaseDatabaseWrapper, function: Callable[[], R]) -> R:
    block.enter()
    opened = _opened(connection)
    opened.append(block)
    try:
        result = function()
    except BaseException as error:
        opened.remove(block)
        block.exit(type(error), error, error.__traceback__)
        raise
    opened.remove(block)
    block.exit(None, None, None)
    return result


@overload
def resilient_transaction(using: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def resilient_transaction(
    using: str | None = None,
    *,
    max_retries: int = 5,
    isolation: str | None = None,
    verify: bool = True,
    durable: bool = False,
) -> Resilient: ...


def resilient_transaction(
    using: Any = None,
    *,
    max_retries: int = 5,
    isolation: str | None = None,
    verify: bool = True,
    durable: bool = False,
) -> Any:
    """A transaction that survives a lost connection, a deadlock or a serialization failure.

        with resilient_transaction():       # the body runs once; its statements are replayed
            ...

        @resilient_transaction              # the function runs again, and reads afresh
        def place_order(): ...

    **The block** keeps a log of the statements and a fingerprint of the rows that the body has fetched. When the
    transaction fails, the log runs again in a new one, every result must be what it was, and then the failed statement
    runs again; the body does not notice. Keys and defaults that the database generated are used again. Where a result
    differs, `ReplayMismatch` is raised and nothing is written. COPY, advisory locks, LISTEN and NOTIFY, SET without LOCAL,
    several results of one statement, a statement on a cursor from before the block, a log above
    `STALWART["DATABASE"]["REPLAY_MAX_BYTES"]`, or a call of `mark_side_effect` end the possibility of a replay: then the database's
    error is raised, with a note that says why. What does not pass through Django's cursors (a raw driver connection)
    is not seen. What the session had before the block (settings, an advisory lock, a temporary table) is lost with it and
    not made again: set settings in a receiver of `connection_created`, and take locks inside the block. Replays are built for
    PostgreSQL with psycopg 3 and for SQLite.

    **The decorator** runs the function again, with its arguments as they were: model instances among them get their fields
    back, other instances that it saved their key and state. It does not when it has committed something on another database.

    **COMMIT** is never guessed (PostgreSQL): when its reply is lost, the server is asked what became of the transaction,
    and only one that surely did not happen is repeated; else `CommitOutcomeUnknown`. The transaction's id, which this takes,
    comes along with the first write; a decorated function in which none was seen asks for it before COMMIT, which is a round
    trip: functions inside a view write unseen. `on_commit` hooks run once. With
    `STALWART["DATABASE"]["COMMIT_MARKER"]` the answer is certain also after a crash or a failover of the server.

    Only the outermost block retries: inside another transaction, and with autocommit off, it is `atomic`. With the part
    switched off it is `atomic` everywhere.

    Args:
        using: alias of the database, "default" if None.
        max_retries: replays of one block, or repeats of one call, at most.
        isolation: "read committed", "repeatable read" or "serializable"; None leaves what the settings say. It
            costs no round trip, and holds for the transactions that take a failed one's place, too.
        verify: compare results in a replay. Without, only errors are compared: for a body that decides nothing by
            what it reads.
        durable: refuse to run inside another transaction, as `atomic(durable=True)` does.

    Raises:
        ReplayMismatch: see above; nothing was written.
        CommitOutcomeUnknown: whether it was committed could not be found out.
        TransactionLost: the body ended well, but its transaction was gone: the connection was closed inside the block, or
            a database error was caught outside any savepoint. Plain `atomic` ends without a word there.
        ConfigurationError: an argument makes no sense.
    """
    if using is not None and not isinstance(using, str):
        return resilient_transaction()(using)
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ConfigurationError(f"max_retries is {max_retries!r}; use a whole number, 0 or more")
    return Resilient(using, _plan(max_retries, isolation, verify, durable))


@functools.lru_cache(maxsize=64)
def _plan(max_retries: int, isolation: str | None, verify: bool, durable: bool) -> BlockPlan:
    return BlockPlan(
        max_retries=max_retries,
        isolation=levels.check(isolation),
        verify=verify,
        durable=durable,
        backoff=_BACKOFF,
        random=random.random,
        clock=time.monotonic,
        sleep=time.sleep,
    )


def mark_side_effect(what: str, using: str | None = None) -> None:
    """Say that the running resilient transaction has done something outside the database that must not be done twice.

    From here on it is neither replayed nor run again, nor by a retry around it; a failure goes to the caller with a note that
    says why. Outside a resilient transaction it does nothing.

    Args:
        what: for the note, such as "sent the invoice".
        using: alias of the database, "default" if None.
    """
    for block in _opened(connections[using or DEFAULT_DB_ALIAS]):
        if isinstance(block, Block):
            block.declare_side_effect(what)


def _opened(connection: BaseDatabaseWrapper) -> list[Block | Atomic]:
    """The blocks of ours that are open on a connection, outermost first."""
    opened: list[Block | Atomic] = connection.__dict__.setdefault(_OPEN, [])
    return opened


def _refuse_what_cannot_be_repeated(function: object) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{getattr(function, '__qualname__', function)} is asynchronous, and Django's transactions are not: decorate a "
            "plain function and call it with sync_to_async"
        )
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"resilient_transaction decorates functions, not {function!r}")
    if inspect.isgeneratorfunction(function):
        raise TypeError(
            f"{getattr(function, '__qualname__', function)} is a generator: what it has yielded cannot be taken back. "
            "Decorate a function that returns a list."
        )
