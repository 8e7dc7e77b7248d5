"""What speaks against the figures: exclusions, a late load generator, dropped requests, faults not healed, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from workbench.charts.numbers import seconds
from workbench.charts.trials import fault_words
from workbench.journal import Journal
from workbench.records import Fault, Intent, Plan, Trial
from workbench.report.tables import Table
from workbench.report.words import listed, plural


def table(plan: Plan, trials: Sequence[Trial]) -> Table:
    """The trials of the drill: planned, run, excluded and why; lateness; what was dropped."""
    arms = len(plan.arms) or 1
    parts = max(1, len([part for part in plan.parts if part not in plan.skipped]))
    excluded = [trial for trial in trials if not trial.counts]
    codes = Counter(code for trial in excluded for code in trial.exclusions)
    late = [t.validity.lateness_p99 for t in trials if t.validity.lateness_p99 is not None]
    rows = [
        (
            "Trials planned, run, counted",
            f"{plan.blocks * arms * parts:,}, {len(trials):,}, {len(trials) - len(excluded):,}",
        ),
        (
            "Excluded, by the codes fixed before",
            listed([f"{code}: {n:,}" for code, n in sorted(codes.items())]) if codes else "none",
        ),
    ]
    if excluded:
        shown = [f"{t.id} ({', '.join(t.exclusions)})" for t in excluded[:50]]
        rows.append(("Excluded trials", "; ".join(shown)))
    if late:
        rows.append(("Load generator's lateness, 99th percentile, worst trial", seconds(max(late))))
    if any(t.outcomes.total for t in trials):
        dropped, total = sum(t.outcomes.dropped for t in trials), sum(t.outcomes.total for t in trials)
        rows.append(
            ("Requests the generator could not send, counted as failures", f"{dropped:,} of {total:,}")
        )
    if plan.missing:
        rows.append(
            (
                "Kinds of fault that are published and not injected yet",
                listed([fault_words(k) for k in plan.missing]),
            )
        )
    rows.extend((f"Part not run: {part}", reason) for part, reason in plan.skipped.items())
    notes = Counter(note for trial in trials for note in trial.validity.notes)
    rows.extend(("Note of " + plural(n, "trial"), note) for note, n in notes.most_common(20))
    return Table(
        caption="What may speak against these figures.", columns=("Threat", "Found"), rows=tuple(rows)
    )


def unhealed(journal: Journal) -> list[str]:
    """One sentence per fault whose injection is in the journal but whose healing is not."""
    healed = Counter((record.trial, record.evidence.fault) for record in journal.of(Fault) if record.healed)
    told = []
    for intent in journal.of(Intent):
        if healed[intent.trial, intent.fault] > 0:
            healed[intent.trial, intent.fault] -= 1
        else:
            told.append(
                f"The journal does not show that {fault_words(intent.fault)} at {intent.target} (trial {intent.trial})"
                f" was healed; what heals it: {intent.heal}."
            )
    return told
