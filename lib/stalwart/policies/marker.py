"""The mark on an exception that says: a layer below has already repeated this, so do not begin anew.

Three nested layers with three retries each would make 64 calls of one. A context variable would have to be set in every
call; the mark is only looked for after a failure. It is found on everything that the failure was raised from or during,
and inside exception groups, so that a wrapping `raise Other from error` does not hide it.

One exception *object* that is raised over and over (a constant of a module) stays marked and is then never repeated: raise
a fresh one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

GIVEN_UP = "_stalwart_given_up"
"""Name of the attribute that bears the mark."""


def mark(error: BaseException) -> None:
    """Put the mark on `error`."""
    # Not setattr(): an exception that is a frozen dataclass refuses that, yet every exception has a __dict__.
    error.__dict__[GIVEN_UP] = True


FORBIDDEN = "_stalwart_forbidden"
"""Name of the attribute that holds why the work must not be done again by anybody, on another target neither."""


def forbid(error: BaseException, reason: str) -> None:
    """Mark `error`, and say why what has failed with it must never be done again: it has had an effect that stays."""
    mark(error)
    error.__dict__.setdefault(FORBIDDEN, reason)


def note(error: BaseException, text: str) -> None:
    """`error.add_note(text)`, also for exceptions that refuse to be changed (frozen dataclasses): they go without."""
    with contextlib.suppress(AttributeError, TypeError):
        error.add_note(text)


def links(error: BaseException, until: BaseException | None = None) -> Iterator[BaseException]:
    """`error`, what it was raised from or during, and what is in it if it is a group; newest first, each once.

    Args:
        error: where to begin.
        until: what was being handled before all of this began; it and what lies behind it are left out.
    """
    waiting, seen = [error], set() if until is None else {id(until)}
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
        waiting += [link for link in (current.__context__, current.__cause__) if link is not None]


def is_marked(error: BaseException, until: BaseException | None = None) -> bool:
    """Whether `error` or one of its `links` bears the mark."""
    return any(GIVEN_UP in link.__dict__ for link in links(error, until))
