"""A profile in a journal: one line of it, from which the record comes back."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.profile import ranking
from workbench.profile.records import Profile
from workbench.records import Finding
from workbench.schema import from_json, to_json

#: What tells its line from others.
SUBJECT, CODE = "project", "profile"


def finding_of(profile: Profile) -> Finding:
    """The line of a profile; what may not be shared has been taken out of it before."""
    problems = ranking.problems(profile.findings)
    seen = sum(1 for row in profile.urls if row.status)
    return Finding(
        SUBJECT,
        CODE,
        f"{seen} pages of {profile.project.name} were profiled: {len(problems)} findings",
        to_json(profile),
    )


def profile_of(findings: Iterable[Finding]) -> Profile | None:
    """The newest profile of a journal's findings; None without one.

    Raises:
        ValueError: it does not have the fields of this version.
    """
    found = [one for one in findings if (one.subject, one.code) == (SUBJECT, CODE)]
    return from_json(Profile, found[-1].data) if found else None
