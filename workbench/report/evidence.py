"""Did the fault bite? What was injected, what the server or proxy saw of it, and what it did to plain Django."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.trials import fault_words
from workbench.records import Trial
from workbench.report.tables import Cell, Table


def table(trials: Sequence[Trial]) -> Table | None:
    """One row per kind of fault, over all trials that count and both arms; None where no fault was injected."""
    kinds = list(dict.fromkeys(e.fault for t in trials for e in t.evidence))
    if not kinds:
        return None
    rows: list[tuple[Cell, ...]] = []
    for kind in kinds:
        found = [e for t in trials for e in t.evidence if e.fault == kind]
        units = " and ".join(dict.fromkeys(e.unit for e in found if e.unit))
        failed = [
            n for t in trials if t.arm == "control" and t.counts and (n := _failed(t, kind)) is not None
        ]
        harmed = sum(e.seen >= 1 for e in found)
        rows.append(
            (
                fault_words(kind),
                f"{sum(e.injected for e in found):,}",
                f"{sum(e.seen for e in found):,} {units}".rstrip(),
                f"{harmed:,} of {len(found):,}",
                f"{sum(failed):,}" if failed else "–",
            )
        )
    return Table(
        caption="Faults over all trials of all arms, counted at the server or the proxy and not by the code under test."
        " The last column: what failed in the control arm, from the fault to the next one.",
        columns=("Fault", "Injected", "Seen by the server or proxy", "Times confirmed", "Failed, off"),
        rows=tuple(rows),
        right=frozenset({1, 2, 3, 4}),
    )


def _failed(trial: Trial, kind: str) -> int | None:
    """How many operations of a trial failed from each fault of that kind to the next fault; None where unknown."""
    recovered = trial.metrics.get(f"recovered:{kind}")
    if recovered is not None and recovered.exposure is not None and recovered.events is not None:
        return recovered.exposure - recovered.events
    told = [one.detail.get("failed") for one in trial.evidence if one.fault == kind]
    counted = [one for one in told if isinstance(one, int)]
    return sum(counted) if counted and len(counted) == len(told) else None
