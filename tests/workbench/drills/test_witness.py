"""The witness meets every kind of fault, also where no application is left to be harmed."""

from __future__ import annotations

import pytest

from workbench.drills.connection_loss import KINDS
from workbench.drills.faults import FAULTS, Target
from workbench.drills.witness import Witness

LOGINS = {
    "backend-terminated": "answered",  # nobody keeps new sessions out
    "server-killed": "refused",
    "tcp-reset": "answered",
    "blackhole": "silence",
    "slots-exhausted": "refused",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_met_without_any_application(target: Target, kind: str) -> None:
    """Its session does not survive, its login meets what the fault is about, and server or proxy have counted it."""
    with Witness(target) as witness:
        with FAULTS[kind].inject(target) as bite:
            session, login = witness.ask(), witness.knock()
        assert (session, login) == ("silence" if kind == "blackhole" else "refused", LOGINS[kind])
        assert bite.seen > 0
        assert witness.knock() == "answered"  # healed


def test_without_a_fault_it_is_answered(target: Target) -> None:
    """So its word means something; and where it could not log in before the fault, it has none."""
    with Witness(target) as witness:
        assert [witness.ask(), witness.ask(), witness.knock()] == ["answered"] * 3
    with FAULTS["slots-exhausted"].inject(target), Witness(target) as late:
        assert late.ask() is None
