"""What `database_retry` was asked for, and whether a call falls under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart import django_conf
from stalwart.database.codes import ErrorClass
from stalwart.database.hooks import is_inside_block
from stalwart.database.watch import CallWatch
from stalwart.exceptions import RetryInsideTransaction
from stalwart.policies.backoff import Backoff
from stalwart.policies.budget import UNLIMITED, RetryBudget


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """The arguments of the decorator, with time, sleep and randomness."""

    max_retries: int
    backoff: Backoff
    aliases: tuple[str, ...] | None
    on_types: tuple[type[Exception], ...]
    on_classes: frozenset[ErrorClass]
    random: Callable[[], float]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    budget: RetryBudget = UNLIMITED

    def watch(self, name: str, *, shared: bool = False) -> CallWatch | None:
        """A watch over the connections of this thread, None where a call must go straight through.

        Raises:
            RetryInsideTransaction: the call is made inside a transaction of somebody else.
        """
        if not django_conf.current().database.enabled:
            return None
        watched = [connections[alias] for alias in (connections if self.aliases is None else self.aliases)]
        for connection in watched:
            # `autocommit` is False before the first connect as well, so a closed connection says nothing.
            unmanaged = connection.connection is not None and not connection.autocommit
            if connection.in_atomic_block or unmanaged:
                if not (_is_watched_over(connection) or _is_a_testcase(connection)):
                    raise RetryInsideTransaction(name, connection.alias)
                return None
        return CallWatch(watched, shared=shared)


def _is_watched_over(connection: BaseDatabaseWrapper) -> bool:
    """Whether a layer of ours around the transaction repeats it as a whole."""
    return is_inside_block(connection) or any(
        isinstance(each, CallWatch) and each.concerns_this_context for each in connection.execute_wrappers
    )


def _is_a_testcase(connection: BaseDatabaseWrapper) -> bool:
    """Whether only Django's TestCase has a transaction open: what is tested there would run outside of one."""
    blocks = connection.atomic_blocks
    return bool(blocks) and all(getattr(each, "_from_testcase", False) for each in blocks)
