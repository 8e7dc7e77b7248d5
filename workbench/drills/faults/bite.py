"""What a fault is aimed at, and what it has done so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.records import Evidence
from workbench.servers.postgres import PostgresServer
from workbench.servers.proxy import Proxy


@dataclass(frozen=True)
class Target:
    """The servers of one trial, all started by the drill.

    Attributes:
        server: the private PostgreSQL.
        dbname: the trial's own database; back ends of others are left alone.
        proxy: between the application and the server; None where a drill has none.
    """

    server: PostgresServer
    dbname: str
    proxy: Proxy | None = None

    @property
    def name(self) -> str:
        return f"postgres:{self.server.port}/{self.dbname}"


@dataclass
class Bite:
    """What a fault did, counted as it goes; `sustain` is called while the fault lasts.

    Attributes:
        unit: what is counted.
        injected: how many times, or how many things, the fault was aimed at.
        seen: how many the server or the proxy confirms.
        sustain: bites again what has come back in the meantime; does nothing for faults that last by themselves.
        detail: further facts for the journal.
        onset: when it began to bite, by `time.monotonic()`; None where that is when the injection was done.
    """

    unit: str
    injected: int = 0
    seen: int = 0
    sustain: Callable[[], None] = lambda: None
    detail: dict[str, Any] = field(default_factory=dict)
    onset: float | None = None

    def evidence(
        self, fault: str, target: str, start: float, end: float, extra: Mapping[str, Any]
    ) -> Evidence:
        return Evidence(
            fault, target, self.injected, self.seen, self.unit, start, end, {**self.detail, **extra}
        )
