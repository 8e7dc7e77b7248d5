"""What stands around the claims: where and how the run was made, what went wrong with it, what is not judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.charts.numbers import seconds
from workbench.claims import PROMISES
from workbench.journal import Journal
from workbench.judge import noise_floor
from workbench.records import End
from workbench.report.tables import Table, limited
from workbench.report.threats import unhealed
from workbench.report.words import when


@dataclass(frozen=True)
class Notice:
    """Something that a reader must know before any figure."""

    head: str
    text: str


def meta(journal: Journal) -> str:
    """The line below the title: project, date, versions, length, seed."""
    run, end = journal.run, _end(journal)
    if run is None:
        return "A journal without a head: neither the project nor the environment is known."
    parts = [f"Project {run.project}"]
    if journal.lines:
        parts.append(f"run {when(journal.lines[0].t)}")
    commit = str(run.environment.get("commit") or run.versions.get("commit") or "")
    if commit:
        parts.append(f"commit {commit[:12]}")
    known = {name.lower(): version for name, version in run.versions.items()}
    named = [
        f"{name} {known[key]}"
        for key, name in (("python", "Python"), ("django", "Django"), ("postgresql", "PostgreSQL"))
        if key in known
    ]
    if named:
        parts.append(", ".join(named))
    parts.append(f"depth {run.depth}")
    if end is not None:
        parts.append(seconds(end.took))
    parts.append(f"seed {run.seed}")
    return " · ".join(parts)


def warnings(journal: Journal) -> list[Notice]:
    """Interruptions, faults not healed, an unsound run, a torn journal."""
    found = []
    end = _end(journal)
    if journal.run is not None and end is None:
        found.append(
            Notice(
                "No end.", "The journal ends without its last line: the run was cut off, or still went on."
            )
        )
    elif end is not None and end.status != "complete":
        text = end.text or "What was measured until then is shown."
        found.append(
            Notice("The run failed." if end.status == "failed" else "The run was interrupted.", text)
        )
    found += [Notice("Not healed.", text) for text in unhealed(journal)[:20]]
    floor = noise_floor(journal)
    if floor is not None:
        told = (
            f"Two arms that are the same differed by {floor.estimate:+.1%} in failed requests "
            f"(99.5 % interval {floor.low:+.1%} to {floor.high:+.1%}, {floor.pairs} pairs)."
        )
        found.append(
            Notice("Noise floor.", told)
            if floor.sound
            else Notice(
                "This run is unsound.",
                f"{told} The interval excludes no difference: something favours one side.",
            )
        )
    found += [
        Notice("This run is unsound." if one.code == "unsound" else "Warning.", one.text)
        for one in journal.findings
        if one.code in ("unsound", "warning")
    ][:20]
    if journal.torn:
        found.append(
            Notice(
                "Unreadable lines.",
                f"{journal.torn} of the journal's lines could not be read and were left out; a crash leaves one.",
            )
        )
    return found


def _end(journal: Journal) -> End | None:
    """The end of the newest run; None when it has none."""
    if not journal.lines:
        return None
    newest = journal.lines[-1].run
    ends = [line.record for line in journal.lines if line.run == newest and isinstance(line.record, End)]
    return ends[-1] if ends else None


def environment(journal: Journal) -> Table:
    """Everything that the journal's head says, flattened."""
    run = journal.run
    rows: list[tuple[str, str]] = []
    if run is not None:
        rows += [
            ("project", run.project),
            ("settings", run.settings),
            ("depth", run.depth),
            ("seed", str(run.seed)),
        ]
        rows += list(_flat(run.environment))
        rows += [(f"version of {name}", version) for name, version in sorted(run.versions.items())]
    return limited("Where and with what the run was made.", ("What", "Value"), rows or [("head", "missing")])


def _flat(values: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{head}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or "–"
        else:
            yield name, "–" if value is None else str(value)


def promises() -> Table:
    """What was promised and cannot be judged."""
    return Table(
        caption="Published beside the claims; no measurement made here can settle them.",
        columns=("Promise", "Why it is not judged"),
        rows=tuple((f"“{promise.text}”", promise.why) for promise in PROMISES),
    )


def plans(journal: Journal) -> Table | None:
    """The drills of the run, each with its command and the hash of its plan."""
    rows = [
        (plan.title or plan.drill, ", ".join(plan.claims), plan.command or "–", plan.hash or "–")
        for plan in journal.plans
    ]
    if not rows:
        return None
    return limited("One drill at a time.", ("Drill", "Claims", "Command", "sha256 of the plan"), rows)
