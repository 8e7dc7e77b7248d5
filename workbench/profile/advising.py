"""Which advice is tried on a profiled project: changes of its querysets, each page's own, proven by fresh processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from workbench.profile import advice
from workbench.profile.loading import Loaded
from workbench.profile.run import Advised, Page

#: Seconds for all of it, where nothing else is asked for; the costliest pages come first.
BUDGET = 120.0


def advise(
    loaded: Loaded,
    pages: Sequence[Page],
    headers: Mapping[str, str],
    tell: Callable[[str], None],
    budget: float = BUDGET,
) -> Advised:
    """Try what might cure the findings of a project.

    Args:
        loaded: the project.
        pages: as they were seen.
        headers: that they were visited with.
        tell: told of each step.
        budget: seconds for all of it.
    """
    held = [
        advice.Page(page.attributed, page.suspects, headers)
        for page in pages
        if page.attributed is not None and page.suspects
    ]
    tried = advice.advised(loaded, held, budget_seconds=budget, tell=tell)
    return Advised(tried.findings, tried.together, tried.notes)
