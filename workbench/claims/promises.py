"""The promises that are not judged, and why: listed so that nothing promised is missing from the report."""

from __future__ import annotations

from workbench.claims.design import Promise

PROMISES = (
    Promise(
        "70 % fewer production incidents",
        "needs a production record; the game day of SYS-4 is a simulation and says so",
    ),
    Promise("24/7", "needs a production record; SYS-3 injects conditions during a run of minutes"),
    Promise(
        "issues resolved before user impact",
        "needs a production record; ERR-4 and ERR-6 count what the simulated game day shows",
    ),
    Promise(
        "40 % better memory efficiency overall",
        "no population is given; DB-3 and MEM-4 are its measurable parts",
    ),
    Promise(
        "Zero critical issues introduced", "cannot be shown for all projects; SYS-7 is what can be shown"
    ),
    Promise(
        "Cross-platform",
        "not a measurement: the platform table in README says what ran where and what was only read",
    ),
    Promise("Higher availability, lower cost", "consequences, not measurements"),
)
