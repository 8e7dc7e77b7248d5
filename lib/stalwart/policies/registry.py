"""What the parts of the library offer to each other, by name, so that they need not import each other.

recoveries   "database" -> what makes a dependency usable again after an error (for `auto_recover`)
remedies     "memory"   -> what eases a pressure (drop caches, collect), for degradation and load shedding
gauges       "cpu"      -> a number that says how busy something is (a compression level goes by it)
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeAlias, TypeVar

from stalwart.exceptions import ConfigurationError
from stalwart.policies.marker import FORBIDDEN, links

logger = logging.getLogger("stalwart.policies")

T = TypeVar("T")

Recovery: TypeAlias = Callable[[Exception, Mapping[str, object]], bool]
"""Gets the error and the data of its context; True when the failed work is worth another try."""

Remedy: TypeAlias = Callable[[], object]
"""Does what it can; what it returns is for the log."""

Gauge: TypeAlias = Callable[[], float]
"""Returns the present value, quickly."""

Objection: TypeAlias = Callable[[Exception], "str | None"]
"""Gets the error of a failed call; the reason why the call must not be made again, None when there is none."""


class NotHere(str):
    """A reason that holds for the layer that asks, and for none that stands further outside."""

    __slots__ = ()


class Registry(Generic[T]):
    """Things by name.

    Args:
        what: a word for one of them, for error messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._things: dict[str, T] = {}

    def register(self, name: str, thing: T, *, replace: bool = False) -> Callable[[], None]:
        """Offer `thing` under `name`.

        Args:
            name: what it is asked for by.
            thing: what is offered.
            replace: take the place of what has that name; the undo puts that back.

        Returns:
            A function that takes it away again; calling it twice, or after somebody replaced it, does no harm.

        Raises:
            ConfigurationError: when the name is empty, or taken and `replace` is not set.
        """
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"the name of a {self._what} is {name!r}; use a text that is not empty")
        with self._lock:
            before = self._things.get(name)
            if before is not None and not replace:
                raise ConfigurationError(
                    f"there is a {self._what} {name!r} already, {before!r}; choose another name, or set replace=True"
                )
            self._things[name] = thing

        def undo() -> None:
            with self._lock:
                if self._things.get(name) is not thing:
                    return
                if before is None:
                    del self._things[name]
                else:
                    self._things[name] = before

        return undo

    def get(self, name: str) -> T:
        """What is registered under `name`.

        Raises:
            ConfigurationError: when nothing is, with the nearest name that is.
        """
        found = self._things.get(name)
        if found is None:
            near = difflib.get_close_matches(str(name), self._things, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {self.names() or 'none'}"
            raise ConfigurationError(f"there is no {self._what} {name!r}; {hint}")
        return found

    def find(self, name: str) -> T | None:
        """What is registered under `name`, None when nothing is: the part that offers it may be switched off."""
        return self._things.get(name)

    def all(self) -> dict[str, T]:
        """What there is, by name."""
        with self._lock:
            return dict(self._things)

    def names(self) -> list[str]:
        """All names, sorted."""
        with self._lock:
            return sorted(self._things)


recoveries: Registry[Recovery] = Registry("recovery strategy")
remedies: Registry[Remedy] = Registry("remedy")
gauges: Registry[Gauge] = Registry("gauge")
objections: Registry[Objection] = Registry("objection")


def objection_to(failure: Exception, until: BaseException | None = None) -> str | None:
    """Why a call must not be made again, neither there nor elsewhere, as far as a part of the library knows; None when none does.

    Args:
        failure: of the call.
        until: what was being handled before the call; it is no part of the failure.
    """
    for link in links(failure, until):
        if FORBIDDEN in link.__dict__:
            return str(link.__dict__[FORBIDDEN])
    not_here: str | None = None
    for name, object_to in objections.all().items():
        try:
            reason = object_to(failure)
        except Exception:  # must not take the place of the error; in doubt, nothing is done twice
            logger.exception("the objection %r failed; the call is not repeated", name)
            reason = f"the objection {name!r} could not be asked"
        if isinstance(reason, NotHere):
            not_here = reason
        elif reason is not None:
            return reason
    return not_here
