"""The switch of a part of the library, cheap enough to be looked at in every call.

Policies know no settings. Whoever does (`stalwart.switches` for Django) gives a switch its `source` and calls `forget()`
when the settings changed; the answer is kept in `on`, so that a call pays for one attribute.
"""

from __future__ import annotations

from collections.abc import Callable


class Switch:
    """Whether a part is on.

    Attributes:
        name: of the part, as in the settings.
        on: the answer; None while it is not known, then `ask()` finds it out. Hot paths read it directly.
    """

    __slots__ = ("_source", "name", "on")

    def __init__(self, name: str) -> None:
        self.name = name
        self.on: bool | None = True
        self._source: Callable[[], bool | None] | None = None

    def __repr__(self) -> str:
        return f"<Switch {self.name!r} on={self.on}>"

    def connect(self, source: Callable[[], bool | None] | None) -> None:
        """From now on `source` knows the answer; it may return None for "not known yet". None takes it away again."""
        self._source = source
        self.forget()

    def forget(self) -> None:
        """The settings changed: the next call asks again."""
        self.on = True if self._source is None else None

    def ask(self) -> bool:
        """The answer, from the source if need be. On while the source does not know yet."""
        if self.on is None and self._source is not None:
            self.on = self._source()
        return self.on is not False


ERRORS = Switch("ERRORS")
"""The switch of `resilient_operation`, `CircuitBreaker` and `Failover`."""
