"""The demo: every planted problem has advice that was tried, and was accepted with its figures or rejected with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from workbench import project
from workbench.profile import advice, pages, scaling
from workbench.profile.findings import suspects
from workbench.profile.loading import Data, Loaded
from workbench.profile.records import Finding

SEED = "seed --bars 600 --companies 6 --portfolios 3 --seed 11"
URLS = ("/", "/portfolios/1/", "/api/stocks/")
#: relation that a join cures -> the line that the diff adds
JOINED = {
    (
        "/",
        "stocks.Company.exchange",
    ): 'Company.objects.order_by("symbol").select_related("exchange")[:LISTED]:',
    ("/portfolios/1/", "stocks.Holding.company"): '.order_by("id").select_related("company"):',
    ("/api/stocks/", "stocks.Company.exchange"): '.select_related("exchange")[offset : offset + limit]:',
}


@pytest.fixture(scope="module")
def demo() -> Iterator[Loaded]:
    with Loaded(project.demo(), Data(seed=(SEED,))) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def findings(demo: Loaded) -> dict[tuple[str, str | None], Finding]:
    found = []
    with demo.process(attribution=True) as process:
        for url in URLS:
            visit = partial(pages.visit, process, url)
            cold, warm, view = visit("cold"), visit("warm"), visit("attributed")
            judged = scaling.judged(
                suspects(cold, warm, view), view, lambda limit, visit=visit: visit("truncated", limit=limit)
            )
            found.append(advice.Page(view, judged))
    told = advice.advised(demo, found, pairs=2, budget_seconds=600)
    return {(one.url, one.relation): one for one in told.findings}


@pytest.mark.parametrize(("where", "line"), JOINED.items())
def test_what_a_join_cures_is_accepted(
    findings: dict[tuple[str, str | None], Finding], where: tuple[str, str], line: str
) -> None:
    """As many statements less as there are rows, and the same response."""
    finding = findings[where]
    best = finding.advice[0]
    assert (best.rejected, best.same_response, best.applied) == (None, True, True)
    assert best.before is not None
    assert best.after is not None
    assert best.before.queries - best.after.queries == finding.queries == 6
    added = [text for text in best.change.splitlines() if re.match(r"\+ ", text)]
    assert len(added) == 1
    assert added[0].endswith(line)


@pytest.mark.parametrize("url", URLS)
def test_what_a_helper_asks_for_anew_is_rejected(
    findings: dict[tuple[str, str | None], Finding], url: str
) -> None:
    """The last bars of each company, in their own order: a prefetch would load all of them, and nobody would read it."""
    for one in findings[url, "stocks.Company.bars"].advice:
        assert one.rejected is not None
        assert 'company.bars.order_by("-date")[:number]' in one.rejected
        assert 'prefetch_related("' in one.change
    assert findings[url, "stocks.Company.bars"].advice


def test_the_demo_stays_as_it_is(findings: dict[tuple[str, str | None], Finding], demo: Loaded) -> None:
    """Diffs are shown, never applied."""
    shown = [one.change for finding in findings.values() for one in finding.advice]
    assert shown
    for change in shown:
        file = change.splitlines()[0].removeprefix("--- a/")
        removed = [line[1:] for line in change.splitlines() if re.match(r"- ", line)]
        text = (Path(demo.project.root) / file).read_text(encoding="utf-8").splitlines()
        assert set(removed) <= set(text)
