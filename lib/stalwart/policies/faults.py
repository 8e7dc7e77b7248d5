"""What an exception says about the dependency that was called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from stalwart.exceptions import CommitOutcomeUnknown, ConfigurationError, StalwartError

Kinds: TypeAlias = "type[Exception] | Iterable[type[Exception]] | Callable[[Exception], object]"
"""Exception types, or a function that gets the exception."""

MISTAKES: tuple[type[Exception], ...] = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    StopAsyncIteration,
    StopIteration,
    SyntaxError,
    TypeError,
)
"""Errors of the calling code. The same call would fail the same way, and the dependency is not to blame."""


def says_nothing(error: Exception) -> bool:
    """Whether `error` says nothing about the dependency: a mistake, or one of our own refusals."""
    return isinstance(error, MISTAKES) or (
        isinstance(error, StalwartError) and not isinstance(error, CommitOutcomeUnknown)
    )


def matcher(kinds: Kinds | None, argument: str) -> Callable[[Exception], object]:
    """A function that tells whether an exception is meant.

    Args:
        kinds: types, a function, or None for every `Exception` that `says_nothing` does not exclude.
        argument: what to call it in an error message.

    Raises:
        ConfigurationError: when it is none of these, or holds a `BaseException` that is no `Exception`:
            KeyboardInterrupt and cancellation are never counted or repeated.
    """
    if kinds is None:
        return lambda error: not says_nothing(error)
    if callable(kinds) and not isinstance(kinds, type):
        return kinds
    types = (kinds,) if isinstance(kinds, type) else tuple(kinds)
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ConfigurationError(
                f"{argument} holds {kind!r}; use subclasses of Exception, or a function that gets the exception"
            )
    return lambda error: isinstance(error, types)
