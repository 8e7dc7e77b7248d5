"""When which fault strikes the bank: every kind in each round, in an order and at intervals that the seed gives."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Seconds between the end of one fault and the next: often too short for everybody to have recovered.
SHORTEST_GAP, LONGEST_GAP = 0.05, 0.45
#: Seconds that a fault is held. One that is over by itself (a COMMIT that was cut) is not held.
SHORTEST, LONGEST = 0.1, 0.9


@dataclass(frozen=True)
class Strike:
    """One fault to come.

    Attributes:
        kind: its name.
        round: number of the round; in each round every kind comes once.
        gap: seconds to wait before it.
        length: seconds to hold it.
    """

    kind: str
    round: int
    gap: float
    length: float


def strikes(seed: int, kinds: Sequence[str]) -> Iterator[Strike]:
    """Strikes without end; the arms of a block share them."""
    chance = random.Random(f"bank/{seed}")
    number = 0
    while True:
        order = list(kinds)
        chance.shuffle(order)
        for kind in order:
            yield Strike(
                kind, number, chance.uniform(SHORTEST_GAP, LONGEST_GAP), chance.uniform(SHORTEST, LONGEST)
            )
        number += 1
