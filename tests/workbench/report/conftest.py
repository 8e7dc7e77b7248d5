"""A synthetic journal: invented figures in the real records, to render without running anything."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import pytest

from workbench.claims import CLAIMS
from workbench.journal import Journal, encode, read
from workbench.records import (
    Arm,
    End,
    Evidence,
    Fault,
    Finding,
    Intent,
    Line,
    Metric,
    Outcomes,
    Phase,
    Plan,
    Record,
    Run,
    Series,
    Trial,
    Validity,
)
from workbench.report import render

T0 = 1_795_459_200.0
REQUESTS = 1200
ARMS = (
    Arm("control", "Stalwart off", {"STALWART.DATABASE.ENABLED": False}),
    Arm("treatment", "Stalwart on"),
    Arm("peer", "tenacity around the view"),
)
FAULTS = (("backend-terminated", 6.0, 6.0), ("server-killed", 13.0, 15.4), ("tcp-reset", 22.0, 22.0))


def head(**changes: object) -> Run:
    """The head of a run."""
    values: dict[str, object] = {
        "project": "stocks (demo)",
        "settings": "workbench.demo.settings",
        "depth": "default",
        "seed": 7,
        "command": "workbench report",
        "environment": {
            "commit": "3f2a91c0ffee",
            "cpu": {"model": "Example CPU", "cores": 2},
            "kernel": "Linux 6.1",
            "load before": [0.12, 0.2, 0.3],
            "project folder": r"C:\Users\Müller\Projekte\new $project$",
        },
        "versions": {"python": "3.11.7", "django": "5.2.8", "postgresql": "18.6"},
    }
    return Run(**{**values, **changes})  # type: ignore[arg-type]


def plan(drill: str, claims: tuple[str, ...], title: str, **changes: object) -> Plan:
    """A plan with the hash of its own text."""
    values: dict[str, object] = {
        "blocks": 8,
        "seed": 7,
        "arms": ARMS,
        "command": f"workbench drill {drill} --seed 7",
    }
    digest = hashlib.sha256(drill.encode()).hexdigest()
    return Plan(drill=drill, claims=claims, title=title, hash=digest, **{**values, **changes})  # type: ignore[arg-type]


def connection_loss(blocks: int = 8, *, peer: bool = True, seed: int = 7, bad: int = 0) -> list[Record]:
    """DB-1 with a control arm that really fails; the first `bad` blocks are excluded."""
    rng = random.Random(seed)
    records: list[Record] = [
        plan(
            "connection-loss",
            ("DB-1",),
            "Connections are lost under load",
            blocks=blocks,
            arms=ARMS if peer else ARMS[:2],
            faults=tuple(kind for kind, _, _ in FAULTS),
            missing=("blackhole", "slots-exhausted"),
            workload={"rate": 40, "duration": 30},
        )
    ]
    for block in range(1, blocks + 1):
        arms = ["control", "treatment", *(["peer"] if peer else [])]
        rng.shuffle(arms)
        for order, arm in enumerate(arms):
            trial = _lossy_trial(rng, block, order, arm, excluded=block <= bad)
            for evidence in trial.evidence:
                records.append(Intent(trial.id, evidence.fault, evidence.target, "start the server again"))
                records.append(Fault(trial.id, evidence, healed=True))
            records.append(trial)
    return records


def _lossy_trial(rng: random.Random, block: int, order: int, arm: str, *, excluded: bool) -> Trial:
    depth = {"control": 0.75, "treatment": 0.03, "peer": 0.3}[arm]
    good: list[float | None] = []
    for second in range(30):
        hit = any(start <= second < end + 3.5 for _, start, end in FAULTS)
        good.append(round(1 - depth * rng.uniform(0.6, 1.2) if hit else 1.0, 3))
    failed = round(sum(40 * (1 - (value or 0.0)) for value in good))
    unknown = min(failed, rng.randint(0, 2))
    share = failed / REQUESTS
    phases = [Phase("warm-up", 0, 5)]
    for i, (kind, start, end) in enumerate(FAULTS):
        until = FAULTS[i + 1][1] if i + 1 < len(FAULTS) else 30.0
        phases += [Phase(kind, start, end, kind), Phase("recovery", end, until)]
    evidence = tuple(
        Evidence(
            kind, "postgres:20123", 1, rng.randint(2, 8), "back ends" if i < 2 else "connections", start, end
        )
        for i, (kind, start, end) in enumerate(FAULTS)
    )
    return Trial(
        id=f"connection-loss-{block}-{arm}",
        drill="connection-loss",
        block=block,
        arm=arm,  # type: ignore[arg-type]
        order=order,
        seed=700 + block,
        metrics={
            "failures": Metric(share, "share", failed, REQUESTS),
            "failures_if_unknown_succeeded": Metric(
                (failed - unknown) / REQUESTS, "share", failed - unknown, REQUESTS
            ),
            "recovery": Metric(
                round(rng.uniform(2, 9) if arm == "control" else rng.uniform(0.2, 2.6), 2),
                "s",
                censored=arm == "control" and block == 3,
            ),
        },
        outcomes=Outcomes(ok=REQUESTS - failed, failed=failed - unknown, indeterminate=unknown, dropped=0),
        phases=tuple(phases),
        series=(
            Series("good", "share", 0, 1, tuple(good)),
            Series("offered", "requests/s", 0, 1, (40.0,) * 30),
        ),
        evidence=evidence,
        validity=Validity(lateness_p99=round(rng.uniform(0.001, 0.004), 4), load_met=not excluded),
        exclusions=("load-not-met",) if excluded else (),
        violations={"no id twice": f"order o-{block}17 is in the ledger 2 times"}
        if arm == "peer" and block % 3 == 0
        else {},
        started=T0 + block * 100 + order * 33,
        took=33.4,
    )


def transient_errors(blocks: int = 4, *, share: float = 0.97) -> list[Record]:
    """DB-2: three kinds of error, eight of each in every trial."""
    rng = random.Random(11)
    kinds = ("deadlock", "serialization-failure", "connection-lost")
    records: list[Record] = [
        plan("transient-errors", ("DB-2",), "Transient errors", blocks=blocks, arms=ARMS[:2], faults=kinds)
    ]
    for block in range(1, blocks + 1):
        for order, arm in enumerate(("control", "treatment")):
            hits = {
                kind: sum(rng.random() < (share if arm == "treatment" else 0.0) for _ in range(8))
                for kind in kinds
            }
            total = sum(hits.values())
            metrics = {f"recovered:{kind}": Metric(n / 8, "share", n, 8) for kind, n in hits.items()}
            metrics["recovered"] = Metric(total / 24, "share", total, 24)
            records.append(
                Trial(
                    id=f"transient-errors-{block}-{arm}",
                    drill="transient-errors",
                    block=block,
                    arm=arm,  # type: ignore[arg-type]
                    order=order,
                    seed=block,
                    metrics=metrics,
                    outcomes=Outcomes(ok=total, failed=24 - total),
                    evidence=tuple(Evidence(kind, "postgres:20123", 8, 8, "errors", 0, 9) for kind in kinds),
                    took=9.2,
                )
            )
    return records


def large_querysets(blocks: int = 3, *, skip_million: bool = False) -> list[Record]:
    """MEM-4: two sizes."""
    rng = random.Random(5)
    parts = ("rows-100000", "rows-1000000")
    records: list[Record] = [
        plan(
            "large-querysets",
            ("MEM-4",),
            "A huge queryset in a loop",
            blocks=blocks,
            parts=parts,
            skipped={"rows-1000000": "10⁶ rows need the default depth"} if skip_million else {},
        )
    ]
    for part in parts[: 1 if skip_million else 2]:
        rows = int(part.removeprefix("rows-"))
        for block in range(1, blocks + 1):
            for order, arm in enumerate(("control", "treatment", "peer")):
                peak = {"control": 620.0 * rows, "treatment": 2.4e6, "peer": 2.9e6}[arm] * rng.uniform(
                    0.99, 1.01
                )
                records.append(
                    Trial(
                        id=f"large-querysets-{part}-{block}-{arm}",
                        drill="large-querysets",
                        block=block,
                        arm=arm,  # type: ignore[arg-type]
                        order=order,
                        seed=block,
                        part=part,
                        metrics={
                            "peak_memory": Metric(round(peak), "bytes"),
                            "rss_growth": Metric(round(peak * 1.1), "bytes"),
                            "rows": Metric(rows, "rows"),
                            "checksum": Metric(7, "crc"),
                            "seconds": Metric(round(rows / 90_000, 2), "s"),
                        },
                        took=12.0,
                    )
                )
    return records


def bandwidth() -> list[Record]:
    """NET-1: eight endpoints, one block."""
    sizes = {
        "GET /stocks/": (841_233, 97_000),
        "GET /stocks/AAA/bars/": (412_890, 61_022),
        "GET /portfolios/1/": (55_120, 9_870),
        "GET /export.csv": (2_310_044, 402_112),
        "GET /watchlists/<id>/": (18_233, 4_120),
        "GET /pages/stocks/": (94_561, 12_870),
        "GET /quotes/AAA/": (1_204, 1_010),
        "GET /orders/": (221_870, 30_551),
    }
    records: list[Record] = [
        plan(
            "bandwidth",
            ("NET-1",),
            "Bytes on the wire",
            blocks=1,
            arms=(*ARMS[:2], Arm("peer", "GZipMiddleware")),
        )
    ]
    for order, arm in enumerate(("control", "treatment", "peer")):
        found = {
            name: {"control": off, "treatment": on, "peer": int(on * 1.12)}[arm]
            for name, (off, on) in sizes.items()
        }
        metrics = {f"bytes:{name}": Metric(size, "bytes") for name, size in found.items()}
        metrics["bytes"] = Metric(sum(found.values()), "bytes")
        records.append(
            Trial(
                id=f"bandwidth-1-{arm}",
                drill="bandwidth",
                block=1,
                arm=arm,
                order=order,
                seed=7,
                metrics=metrics,
                took=4.0,
            )  # type: ignore[arg-type]
        )
    return records


def not_run() -> list[Record]:
    """A finding for each claim that has no drill."""
    return [
        Finding(one.id, "not-run", "this version has no drill for it yet")
        for one in CLAIMS
        if one.drill is None
    ]


def whole_run() -> list[Record]:
    """A whole run of the default depth."""
    return [
        head(),
        *connection_loss(),
        *transient_errors(),
        *large_querysets(),
        *bandwidth(),
        Finding("NET-1", "table", "The largest saving is on the export.", {"endpoints": 8}),
        *not_run(),
        End("complete", 341.0),
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Iterable[Record]], Journal]:
    """Write records as a journal file and read it back."""

    def made(records: Iterable[Record]) -> Journal:
        return write_to(tmp_path / "journal.jsonl", records)

    return made


def write_to(path: Path, records: Iterable[Record]) -> Journal:
    """Write records as a journal file, without forcing each line to disk, and read it back."""
    lines = (Line(run="r1", t=T0 + i, record=record) for i, record in enumerate(records))
    path.write_text("".join(f"{encode(line)}\n" for line in lines), encoding="utf-8")
    return read(path)


@pytest.fixture
def builders() -> ModuleType:
    """This file: the builders of records."""
    return sys.modules[__name__]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    """A whole run of the default depth."""
    return write_to(tmp_path_factory.mktemp("run") / "journal.jsonl", whole_run())


@pytest.fixture(scope="module")
def full(everything: Journal) -> str:
    """Its report."""
    return render(everything)
