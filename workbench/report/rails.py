"""Guard rails: what must not break while the claim is met, counted in every arm."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.trials import ARMS
from workbench.records import Plan, Trial
from workbench.report.tables import Cell, Chip, Table


def table(plan: Plan, trials: Sequence[Trial]) -> Table:
    """Broken invariants, unknown outcomes and dropped requests per arm, over all trials, excluded ones too."""
    arms = [arm for arm in ARMS if any(t.arm == arm for t in trials)]
    by_arm = {arm: [t for t in trials if t.arm == arm] for arm in arms}
    broken = {arm: sum(len(t.violations) for t in by_arm[arm]) for arm in arms}
    rows: list[tuple[Cell, ...]] = [
        (
            "Broken invariants, in trials",
            *(f"{broken[arm]:,} in {len(by_arm[arm]):,}" for arm in arms),
            Chip("refuted", "Broken") if broken.get("treatment") else Chip("supported", "Holds"),
        )
    ]
    if any(t.outcomes.total for t in trials):
        for words, field in (
            ("Unknown outcomes, reported as such", "indeterminate"),
            ("Requests dropped by the load", "dropped"),
        ):
            cells = [
                f"{sum(getattr(t.outcomes, field) for t in by_arm[arm]):,}"
                f" of {sum(t.outcomes.total for t in by_arm[arm]):,}"
                for arm in arms
            ]
            rows.append((words, *cells, ""))
    if any("rows" in t.metrics for t in trials):
        rows.append(_rows_seen(arms, trials))
    return Table(
        caption="Counted over all trials, those that are excluded from the estimate too.",
        columns=(
            "Guard rail",
            *({"control": "off", "treatment": "on"}.get(arm, arm) for arm in arms),
            "With Stalwart on",
        ),
        rows=tuple(rows),
        right=frozenset(range(1, len(arms) + 1)),
    )


def _rows_seen(arms: Sequence[str], trials: Sequence[Trial]) -> tuple[Cell, ...]:
    seen = {
        arm: {(t.part, int(t.metrics["rows"].value)) for t in trials if t.arm == arm and "rows" in t.metrics}
        for arm in arms
    }
    same = seen.get("treatment") == seen.get("control")
    words = [", ".join(f"{rows:,}" for rows in sorted({rows for _, rows in seen[arm]})) for arm in arms]
    return ("Rows seen by the loop", *words, Chip("supported", "Same") if same else Chip("refuted", "Differ"))


def examples(trials: Sequence[Trial]) -> Table | None:
    """The first example of every broken invariant in each trial; None where none broke."""
    rows = [(name, t.arm, t.id, text) for t in trials for name, text in t.violations.items()]
    if not rows:
        return None
    return Table(
        caption="Broken invariants, each with its first example.",
        columns=("Invariant", "Arm", "Trial", "First example"),
        rows=tuple(rows[:100]),
        left_out=max(0, len(rows) - 100),
    )
