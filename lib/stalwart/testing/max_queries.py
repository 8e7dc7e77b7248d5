"""`max_queries`: the code sends no more than so many statements."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from stalwart.exceptions import ConfigurationError
from stalwart.testing.asked import Recording
from stalwart.testing.groups import grouped, listing


class TooManyQueries(AssertionError):
    """More statements were sent than the test allows; the message lists them by call site."""


class _MaxQueries(Recording):
    def __init__(self, most: int, using: str | Iterable[str] | None) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise ConfigurationError(f"max_queries: {most!r} is no number of statements; use 0 or more")
        super().__init__(using)
        self._most = most

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True  # pytest shows the test's own line
        super().__exit__(kind, error, trace)
        number = len(self.statements)
        if error is not None or number <= self._most:
            return
        raise TooManyQueries(
            f"{number} statement{'' if number == 1 else 's'}, {number - self._most} more than the {self._most} allowed. "
            f"By call site:\n{listing(grouped(self.statements))}"
        )


def max_queries(most: int, *, using: str | Iterable[str] | None = None) -> Recording:
    """The block sends at most so many statements, in all of its threads and to all databases together.

        with max_queries(3):
            client.get("/orders/")

    A failure lists them by call site, with the relation that each is for and with those that repeat the values of an
    earlier one. What begins and ends transactions and savepoints is not counted, so it is no matter whether the test
    itself runs in one; nor is what opens a connection. `with ... as asked` gives `asked.statements`.

    Args:
        most: statements; 0 for none at all.
        using: alias or aliases to which they count; all of them by default.

    Raises:
        TooManyQueries: (at the end of the block) there were more.
        ConfigurationError: no such number, or no such alias.
    """
    return _MaxQueries(most, using)
