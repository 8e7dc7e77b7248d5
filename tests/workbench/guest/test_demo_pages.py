"""The demo on the private PostgreSQL: what was planted is named, what is clean is silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench import project, schema
from workbench.drills.environment import PLAIN, Environment, Size
from workbench.profile.records import PageView
from workbench.project_process import ProjectProcess

SIZE = Size(bars=600, companies=6, portfolios=3, seed=11)


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[ProjectProcess, str]]:
    """A process of the demo, watched from before its import, and a company's symbol."""
    watched = replace(project.demo(), environment={"WORKBENCH_ATTRIBUTION": "1"})
    with (
        Environment(watched, seed=11) as made,
        made.database(SIZE) as name,
        made.process(PLAIN, name) as process,
    ):
        with made.server.connect(name, user="app") as connection:
            (symbol,) = connection.execute("SELECT min(symbol) FROM stocks_company").fetchone() or ("",)
        yield process, symbol


def view(process: ProjectProcess, url: str, pass_: str, **arguments: Any) -> PageView:
    answer = process.call("workbench.guest.pages:visit", url=url, pass_=pass_, **arguments)
    found: PageView = schema.from_json(PageView, answer)
    assert (found.error, found.status) == (None, 200)
    return found


@pytest.mark.parametrize(
    ("url", "relations"),
    [
        ("/", {"stocks.Company.bars"}),
        ("/api/stocks/", {"stocks.Company.bars", "stocks.Company.exchange"}),
        ("/api/portfolios/1/", {"stocks.Holding.company", "stocks.Company.bars"}),
        ("/api/watchlists/1/", {"stocks.Company.bars", "stocks.Company.exchange"}),
    ],
)
def test_planted_problems_are_named_and_follow_their_producer(
    demo: tuple[ProjectProcess, str], url: str, relations: set[str]
) -> None:
    """Each relation that is asked for item by item, with its line, and fewer when its producer is cut."""
    process, _ = demo
    warm, seen = view(process, url, "warm"), view(process, url, "attributed")
    assert len(warm.queries) == len(seen.queries)
    assert warm.digest == seen.digest
    repeated = Counter(q.relation for q in seen.queries if q.relation)
    assert {relation for relation, number in repeated.items() if number > 1} >= relations
    for query in seen.queries:
        if query.relation:
            assert query.site is not None or query.template is not None
            assert query.producer is not None
            place = query.site or query.template
            assert place is not None
            assert not Path(place.file).is_absolute()
    producer = max(seen.batches, key=lambda b: sum(q.producer == b.id for q in seen.queries))
    if producer.rows > 1:
        key = {name: schema.to_json(producer)[name] for name in ("model", "created", "evaluated", "template")}
        cut = view(process, url, "truncated", limit={"site": key, "rows": 1})
        assert len(cut.queries) < len(seen.queries)


@pytest.mark.parametrize("url", ["/health/", "/api/export/", "/api/stocks/{symbol}/history/"])
def test_clean_pages_ask_nothing_repeatedly(demo: tuple[ProjectProcess, str], url: str) -> None:
    """No relation is asked for twice."""
    process, symbol = demo
    seen = view(process, url.format(symbol=symbol), "attributed")
    assert max(Counter(q.relation for q in seen.queries if q.relation).values(), default=0) <= 1
    assert not seen.wrote


def test_rows_and_times_are_told(demo: tuple[ProjectProcess, str]) -> None:
    """PostgreSQL tells how many rows a statement returned."""
    warm = view(demo[0], "/api/export/", "warm")
    assert [query.rows for query in warm.queries] == [6, 600]
    assert all(0 < query.milliseconds < warm.milliseconds for query in warm.queries)
