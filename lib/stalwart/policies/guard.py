"""One pass through a block under a circuit."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from stalwart.exceptions import CircuitOpen
from stalwart.policies.phases import STALE, Permit

if TYPE_CHECKING:
    from stalwart.policies.breaker import CircuitBreaker


class Guard:
    """`with circuit.guard():` and `async with circuit.guard():`. Each pass needs its own."""

    __slots__ = ("_began", "_circuit", "_permit")

    def __init__(self, circuit: CircuitBreaker) -> None:
        self._circuit = circuit
        self._permit: Permit | None = None
        self._began = 0.0

    def __enter__(self) -> None:
        circuit = self._circuit
        if self._permit is not None:
            raise RuntimeError(
                f"this guard of circuit {circuit.name!r} is in use; call guard() for every pass"
            )
        if circuit.switch.on is not True and not circuit.switch.ask():
            self._permit = STALE
            return
        permit = circuit.enter()
        if isinstance(permit, CircuitOpen):
            raise permit
        self._permit = permit
        self._began = circuit.clock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        permit, self._permit = self._permit, None
        assert permit is not None
        if error is None:
            permit.succeeded(self._circuit.clock() - self._began)
        elif isinstance(error, Exception):
            self._circuit.settle(permit, error, self._circuit.clock() - self._began)
        else:
            permit.released()  # cancelled or interrupted: that is not the dependency's doing

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
