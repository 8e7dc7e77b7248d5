"""Whether a failed call may be made again: a pure function of what is known of the failure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stalwart.database.classification import Classification, ErrorClass
from stalwart.database.codes import ENDED_WHILE_IDLE
from stalwart.database.origin import Site
from stalwart.database.settling import NOT_COMMITTED


@dataclass(frozen=True, slots=True)
class Repeat:
    """The call had no lasting effect, and the failure may pass."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The error goes on to the caller.

    Attributes:
        reason: for the note on the exception; None when there is nothing to say (an error that is none of ours).
    """

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Whether a write was done is unknown.

    Attributes:
        alias: of the database.
        during: what was under way.
    """

    alias: str
    during: str


def decide(
    known: Sequence[Classification],
    chosen: Classification | None,
    *,
    opted_in: bool,
    on: frozenset[ErrorClass],
    committed: bool,
    doubtful: tuple[str, str] | None,
    hook_failed: bool,
    lost: Iterable[Any],
) -> Repeat | GiveUp | Unknown:
    """What to do about a failed call.

    Args:
        known: all database errors in it, newest first.
        chosen: the one that it stands for.
        opted_in: its type is one that the caller wants repeated.
        on: classes of errors that are repeated.
        committed: something that the call wrote is committed.
        doubtful: the write in autocommit mode whose answer was lost, and its alias.
        hook_failed: it came out of an `on_commit` hook.
        lost: driver's connections that were lost before; a COMMIT on one of them never reached the server.
    """
    gone = list(lost)
    commits = [each for each in known if each.origin.site is Site.COMMIT]
    for each in commits:
        alias = each.origin.connection.alias if each.origin.connection is not None else "default"
        if not each.connection_lost and each.error_class is not ErrorClass.AMBIGUOUS:
            continue  # the server answered: surely not committed
        if NOT_COMMITTED in each.error.__dict__:
            continue  # the server was asked
        never_sent = each.unsent or any(each.origin.driver is driver for driver in gone)
        if not never_sent and each.code not in ENDED_WHILE_IDLE:
            return Unknown(alias, "COMMIT")
    if doubtful is not None:
        word, alias = doubtful
        return Unknown(alias, word or "a write")
    leaving = any(each.origin.site is Site.LEAVING for each in known)
    if committed or hook_failed or (leaving and not commits and not gone):
        wanted = opted_in or (chosen is not None and chosen.error_class in on)
        return GiveUp("a part of what this call wrote is already committed" if wanted else None)
    if chosen is not None and chosen.error_class is ErrorClass.AMBIGUOUS:
        alias = chosen.origin.connection.alias if chosen.origin.connection is not None else "default"
        return Unknown(alias, "a statement")
    if opted_in or (chosen is not None and chosen.error_class in on):
        return Repeat()
    return GiveUp()
