"""Objects that are shared by name within the process: whoever names a dependency gets the same one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from stalwart.exceptions import ConfigurationError

T = TypeVar("T")


class Shared(Generic[T]):
    """One object per name, made when the name is first used, kept for the life of the process.

    Names stand for dependencies. A name per customer or per URL would grow without bound.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._objects: dict[str, T] = {}

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The object of that name, from `make` if there is none yet.

        Raises:
            ConfigurationError: for a name that is no text, or an empty one.
        """
        if not isinstance(name, str) or not name:
            raise ConfigurationError(
                f"the name of a {self._what} is {name!r}; use the name of the dependency, as text"
            )
        found = self._objects.get(name)
        if found is None:
            with self._lock:
                found = self._objects.get(name)
                if found is None:
                    found = self._objects[name] = make()
        return found

    def all(self) -> dict[str, T]:
        """What there is, by name."""
        with self._lock:
            return dict(self._objects)

    def clear(self) -> None:
        """Forget all, for tests. Who holds an object keeps it."""
        with self._lock:
            self._objects.clear()
