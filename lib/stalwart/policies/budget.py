"""How many retries a dependency can take: a token bucket that all its callers share.

Retries multiply the load at the moment when the dependency can bear it least. A retry is paid for when it is *scheduled*,
before its wait (else all that are waiting pass for free); successes earn tokens back. The numbers are those of the AWS SDKs: 500
tokens, 14 a retry, so 35 retries in a burst, and one per 14 successes after that.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar, Self

from stalwart.exceptions import ConfigurationError
from stalwart.policies.finite import is_finite
from stalwart.policies.shared import Shared


class RetryBudget:
    """`RetryBudget("quotes")` is the same bucket wherever it is written.

    Args:
        name: of the dependency.
        capacity: tokens of a full bucket; it starts full.
        cost: tokens that one retry takes.
        earned: tokens that a success at the first try gives back.

    Raises:
        ConfigurationError: for numbers that cannot work, or other numbers than the bucket of this name has.

    Attributes:
        low: whether tokens are missing. While it is False a success has nothing to give back, and takes no lock.
    """

    shared: ClassVar[Shared[RetryBudget]] = Shared("retry budget")

    name: str
    low: bool

    def __new__(
        cls,
        name: str,
        *,
        capacity: float | None = None,
        cost: float | None = None,
        earned: float | None = None,
    ) -> Self:
        given = (capacity, cost, earned)
        budget = cls.shared.get(name, lambda: cls._make(name))
        if given != (None, None, None):
            budget._configure(*given)
        assert isinstance(budget, cls)
        return budget

    @classmethod
    def _make(cls, name: str) -> Self:
        budget = object.__new__(cls)
        budget.name = name
        budget.low = False
        budget._lock = threading.RLock()
        budget._capacity, budget._cost, budget._earned = 500.0, 14.0, 1.0
        budget._tokens = budget._capacity
        budget._configured = False
        return budget

    _lock: threading.RLock
    _capacity: float
    _cost: float
    _earned: float
    _tokens: float
    _configured: bool

    def _configure(self, capacity: float | None, cost: float | None, earned: float | None) -> None:
        wanted = (
            500.0 if capacity is None else capacity,
            14.0 if cost is None else cost,
            1.0 if earned is None else earned,
        )
        if not all(is_finite(value) and value > 0 for value in wanted) or wanted[1] > wanted[0]:
            raise ConfigurationError(
                f"capacity, cost and earned of retry budget {self.name!r} are {wanted}; use positive numbers, and a cost "
                "that a full bucket can pay"
            )
        with self._lock:
            now = (self._capacity, self._cost, self._earned)
            if self._configured and wanted != now:
                raise ConfigurationError(
                    f"retry budget {self.name!r} already has (capacity, cost, earned) = {now}, and now {wanted} is asked "
                    "for; configure it in one place and elsewhere only name it"
                )
            if not self._configured:
                spent = self._capacity - self._tokens
                self._capacity, self._cost, self._earned = wanted
                self._tokens = max(0.0, self._capacity - spent)
                self._configured = True

    def __repr__(self) -> str:
        return f"<RetryBudget {self.name!r} {self._tokens:g} of {self._capacity:g} tokens>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)  # by name, as it is shared

    @property
    def tokens(self) -> float:
        """What is left."""
        return self._tokens

    def debit(self) -> bool:
        """Pay for one retry that is being scheduled; False, with nothing taken, when that is too dear."""
        with self._lock:
            if self._tokens < self._cost:
                return False
            self._tokens -= self._cost
            self.low = True
            return True

    def refund(self) -> None:
        """Give the price of a retry back: it succeeded, or was not made after all."""
        self._give(self._cost)

    def deposit(self) -> None:
        """A call succeeded at the first try. Call it only while `low`."""
        self._give(self._earned)

    def _give(self, tokens: float) -> None:
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + tokens)
            self.low = self._tokens < self._capacity


class _Unlimited(RetryBudget):
    """The budget of those who want none: pays for everything."""

    shared: ClassVar[Shared[RetryBudget]] = Shared("unlimited budget")

    def debit(self) -> bool:
        return True

    def _give(self, tokens: float) -> None:
        pass


UNLIMITED: RetryBudget = _Unlimited("unlimited")
"""Pays for every retry."""
