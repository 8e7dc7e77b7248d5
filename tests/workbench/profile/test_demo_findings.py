"""The demo: every planted problem under its relation and line, proven; nothing on the pages that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import workbench.demo
from workbench import project
from workbench.drills.environment import PLAIN, Environment, Size
from workbench.profile import pages, scaling
from workbench.profile.findings import suspects
from workbench.profile.records import Finding
from workbench.project_process import ProjectProcess

DEMO = Path(str(workbench.demo.__file__)).parent
RECORDS, INDEX = "stocks/records.py", "stocks/templates/stocks/index.html"
BARS = ("stocks.Company.bars", RECORDS, "company.bars")
EXCHANGE = ("stocks.Company.exchange", RECORDS, "company.exchange")
HOLDING = ("stocks.Holding.company", RECORDS, "holding.company")


@pytest.fixture(scope="module")
def found() -> Iterator[Callable[[str], tuple[Finding, ...]]]:
    """The findings of a page of the demo; `{symbol}` in its URL is that of a company."""
    size = Size(bars=600, companies=6, portfolios=3, seed=11)
    with Environment(project.demo(), seed=11) as made, made.database(size) as name:
        process = ProjectProcess(
            project.demo(), PLAIN, made.shared(name, made.server.port), made.folder, attribution=True
        )
        with process, made.server.connect(name, user="app") as connection:
            (symbol,) = connection.execute("SELECT min(symbol) FROM stocks_company").fetchone() or ("",)

            def profile(url: str) -> tuple[Finding, ...]:
                visit = partial(pages.visit, process, url.format(symbol=symbol))
                cold, warm, attributed = visit("cold"), visit("warm"), visit("attributed")
                assert (warm.error, warm.status) == (None, 200)
                cut = scaling.judged(
                    suspects(cold, warm, attributed),
                    attributed,
                    lambda limit: visit("truncated", limit=limit),
                )
                return tuple(one.finding for one in cut)

            yield profile


@pytest.mark.parametrize(
    ("url", "planted"),
    [
        ("/", {BARS, ("stocks.Company.exchange", INDEX, "exchange")}),
        ("/portfolios/1/", {HOLDING, BARS}),
        ("/api/stocks/", {EXCHANGE, BARS}),
        ("/api/portfolios/1/", {HOLDING, BARS}),
        ("/api/watchlists/1/", {EXCHANGE, BARS}),
    ],
)
def test_what_was_planted_is_found_and_nothing_else(
    found: Callable[[str], tuple[Finding, ...]], url: str, planted: set[tuple[str, str, str]]
) -> None:
    """Each relation at the line that reads it, one statement for each row."""
    findings = found(url)
    assert {(one.kind, one.verdict, one.slope) for one in findings} == {("n-plus-one", "scales", 1.0)}
    assert {(one.relation, one.location.rpartition(":")[0]) for one in findings} == {p[:2] for p in planted}
    for relation, file, text in planted:
        (line,) = {int(one.location.rpartition(":")[2]) for one in findings if one.relation == relation}
        assert text in (DEMO / file).read_text(encoding="utf-8").splitlines()[line - 1]


@pytest.mark.parametrize(
    "url",
    [
        "/health/",
        "/stocks/{symbol}/",
        "/api/stocks/{symbol}/",
        "/api/stocks/{symbol}/history/",
        "/api/export/",
    ],
)
def test_clean_pages_have_no_findings(found: Callable[[str], tuple[Finding, ...]], url: str) -> None:
    """Whatever the label."""
    assert found(url) == ()
