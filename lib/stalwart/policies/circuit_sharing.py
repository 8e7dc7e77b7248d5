"""The seam through which the processes of a site share what they know of a circuit.

A breaker decides by itself, in its own process. It tells the others of its *changes* only, and asks one question, just before its
first probe. Others' changes reach it through `CircuitBreaker.adopt`. A new process publishes nothing when it starts, so a restart
cannot close a circuit that the others hold open. Whatever a store raises is logged, and the circuit goes on alone.
"""

from __future__ import annotations

from typing import Protocol

from stalwart.events import CircuitChanged


class CircuitSharing(Protocol):
    """A store that several processes see (a database table, Redis, shared memory). Called without any lock held."""

    def publish(self, change: CircuitChanged) -> None:
        """A circuit of this process changed; `change.operation` is its name."""

    def may_probe(self, name: str, lease: float) -> bool:
        """Whether this process may send the probe, by compare-and-set: True in one process per `lease` seconds."""
