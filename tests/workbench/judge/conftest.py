"""Synthetic trials: what a drill would have written, with the numbers that a test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from workbench.claims import CLAIMS, Claim
from workbench.records import Arm, Metric, Plan, Trial


class Synthetic:
    """Builders of plans and trials for the four claims that have a drill."""

    claims: Mapping[str, Claim] = {claim.id: claim for claim in CLAIMS}

    def plan(self, claim: str, **changes: Any) -> Plan:
        one = self.claims[claim]
        fields: dict[str, Any] = {
            "drill": one.drill or "no-such-drill",
            "claims": (claim,),
            "title": "synthetic",
            "arms": (Arm("control", "off"), Arm("treatment", "on")),
            "blocks": 0,  # nothing is short of it; the test of a run cut short says its own number
            "seed": 7,
            "rules": {claim: one.rule},
        }
        return Plan(**{**fields, **changes})

    def trial(self, drill: str, block: int, arm: Any, metrics: Mapping[str, Metric], **changes: Any) -> Trial:
        part = changes.get("part", "")
        fields: dict[str, Any] = {"order": 0, "seed": block, "id": f"{drill}/{part}/{block}/{arm}"}
        return Trial(drill=drill, block=block, arm=arm, metrics=metrics, **{**fields, **changes})

    def failures(
        self, block: int, arm: Any, events: int, *, of: int = 800, unknown: int = 0, **changes: Any
    ) -> Trial:
        """A trial of DB-1: `events` of `of` requests failed, `unknown` of them with unknown outcome."""
        less = events - unknown
        metrics = {
            "failures": Metric(events / of if of else 0.0, "share", events, of),
            "failures_if_unknown_succeeded": Metric(less / of if of else 0.0, "share", less, of),
        }
        return self.trial("connection-loss", block, arm, metrics, **changes)

    def loss(
        self, control: Sequence[int], treatment: Sequence[int], *, of: int = 800, unknown: int = 0
    ) -> list[Trial]:
        """The trials of DB-1, one pair for each number."""
        return [self.failures(block, "control", events, of=of) for block, events in enumerate(control)] + [
            self.failures(block, "treatment", events, of=of, unknown=min(unknown, events))
            for block, events in enumerate(treatment)
        ]

    def recovered(self, block: int, arm: Any, events: int, of: int, **changes: Any) -> Trial:
        metrics = {"recovered": Metric(events / of if of else 0.0, "share", events, of)}
        return self.trial("transient-errors", block, arm, metrics, **changes)

    def memory(
        self, rows: int, control: Sequence[float], treatment: Sequence[float], **metrics: Metric
    ) -> list[Trial]:
        """The trials of one part of MEM-4, one pair for each peak."""
        part = f"rows-{rows}"
        return [
            self.trial(
                "large-querysets",
                block,
                arm,
                {
                    "peak_memory": Metric(peak, "bytes"),
                    "rows": Metric(rows, "rows"),
                    "checksum": Metric(7, "crc"),
                    **metrics,
                },
                part=part,
            )
            for arm, peaks in (("control", control), ("treatment", treatment))
            for block, peak in enumerate(peaks)
        ]

    def bandwidth(self, control: Sequence[float], treatment: Sequence[float], block: int = 0) -> list[Trial]:
        """The two trials of NET-1, one endpoint for each number."""
        return [
            self.trial(
                "bandwidth",
                block,
                arm,
                {
                    "bytes": Metric(float(sum(sizes)), "bytes"),
                    **{f"bytes:GET /{index}": Metric(size, "bytes") for index, size in enumerate(sizes)},
                },
            )
            for arm, sizes in (("control", control), ("treatment", treatment))
        ]


@pytest.fixture(scope="session")
def make() -> Synthetic:
    """Builders of synthetic plans and trials."""
    return Synthetic()
