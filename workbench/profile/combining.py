"""Which changes to make together: the best one, then what still helps beside it, and at the end nothing that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

#: What a page costs with these changes; None where they must not be made together.
Cost = Callable[[tuple[T, ...]], float | None]


def greedy(options: Sequence[T], cost: Cost[T], begin: float) -> tuple[T, ...]:
    """The changes that together cost the least, found one by one; of two that save as much, the first.

    Args:
        options: to choose from.
        cost: asked for each set that is tried; as many times as there are pairs, at most.
        begin: the cost without any.
    """
    chosen: tuple[T, ...] = ()
    left, best = list(options), begin
    while left:
        costs = [(cost((*chosen, one)), one) for one in left]
        helping = [(value, one) for value, one in costs if value is not None and value < best]
        if not helping:
            break
        best, found = min(helping, key=lambda pair: pair[0])
        chosen = (*chosen, found)
        left.remove(found)
    return minimal(chosen, cost)


def minimal(chosen: tuple[T, ...], cost: Cost[T]) -> tuple[T, ...]:
    """Without those changes that the others make needless: a join of a path loads what lies on its way too."""
    for one in chosen:
        rest = tuple(other for other in chosen if other is not one)
        if rest and len(chosen) > 1:
            with_it, without = cost(chosen), cost(rest)
            if with_it is not None and without is not None and without <= with_it:
                chosen = rest
    return chosen
