"""The project's section: everything of a profile stands on the page, and foreign text stays text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workbench import report
from workbench.charts import pages
from workbench.profile import journalled
from workbench.profile.records import (
    Advice,
    Finding,
    Measured,
    ModelRow,
    Profile,
    ProjectFacts,
    ResponseRow,
    SettingRow,
    UrlRow,
)
from workbench.run import RunFolder

EVIL = "<script>alert(1)</script>"
SIDES = Measured(21, 30.0, 28.0, 32.0, 0.5), Measured(2, 9.0, 8.0, 10.0, 0.6)
PROFILE = Profile(
    ProjectFacts(
        "shop", "shop", "shop.settings", "3.12.1", "5.2", "its own .venv", "private PostgreSQL",
        (ModelRow("shop.Order", "shop_order", 400, 90_000, ("id", "customer_id"), None, 640.0),
         ModelRow("shop.Broken", "shop_broken", error="no such table")),
        (SettingRow("EMAIL_TIMEOUT", "None", False, "a mail server that hangs holds the request: 10"),
         SettingRow("DEBUG", "False", True)),
        {"mail": 2, "cache default (RedisCache)": 0},
    ),
    (UrlRow("", "shop.views.home", url="/", status=200, queries=21, milliseconds=31.0, bytes=9_000, wrote=True),
     UrlRow("x/", "shop.views.x", url="/x/", error=f"ValueError: {EVIL}"),
     UrlRow("pay/", "shop.views.pay", ("POST",))),
    (Finding("n-plus-one", "/", "shop.Order.customer", "shop/views.py:6", 20, 12.0, "scales", 1.0, "SELECT 1", f"told {EVIL}",
             (Advice(f"--- a/v.py\n+++ b/v.py\n@@ -1 +1 @@\n-old\n+{EVIL}", True, *SIDES, True),
              Advice("+worse", True, SIDES[0], SIDES[0], False, "the response changes"))),
     Finding("duplicate", "/", None, "shop/views.py:9", 2, 1.0),
     Finding("count-in-loop", "/", None, "shop/views.py:12", 5, 1.0, "flat", 0.0)),
    ("its migrations were slow",),
    (ResponseRow("/", "text/html; charset=utf-8", 9_000, {"gzip": 2_100}, 9_000, "", "ETag", 0),),
    {"/": Advice("+all of it", True, *SIDES, True)},
    {"loading": 4.0, "pages": 3.2},
)  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> str:
    run = RunFolder.new(tmp_path / "run")
    run.append(journalled.finding_of(PROFILE))
    return report.render(run.journal())


@pytest.mark.parametrize(
    "text",
    [
        "Proven: 1 a row", "Does not follow the rows", "shop/views.py:6", "the response changes", "30 ms", "9.0 ms", "28 ms – 32 ms",
        "0.5 MiB", "The response is the same.", "all of it", "changes data when it is read", "no GET", "9.0 kB", "2.1 kB", "0 B (ETag)",
        "640 B", "256 kB", "customer_id", "no such table", "EMAIL_TIMEOUT", "a mail server that hangs", "mail (2 times)",
        "cache default (RedisCache)", "its migrations were slow", "loading 4.0",
    ],
)  # fmt: skip
def test_everything_of_a_profile_is_on_the_page(page: str, text: str) -> None:
    """Findings with both sides, rejected changes with their reason, pages, responses, memory, settings, what was blocked."""
    assert text.replace(" ", "\u00a0") in page or text in page.replace("\u00a0", " ")


def test_foreign_text_is_escaped(page: str) -> None:
    """An error message, a finding's text or a change that holds markup shows it."""
    assert EVIL not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3


def test_a_profile_alone_says_nothing_of_claims(page: str, tmp_path: Path) -> None:
    """No scorecard of twenty-seven claims that nobody judged; with a drill's plan in the journal it is there."""
    assert 'id="scorecard"' not in page
    assert 'id="journal"' in page
    assert report.unpack(page).findings[-1].code == journalled.CODE
    run = RunFolder.new(tmp_path / "judged")
    assert 'id="scorecard"' in report.render(run.journal())
    assert 'id="project"' not in report.render(run.journal())


def test_a_profile_without_findings_is_a_page_too() -> None:
    """Nothing was seen, nothing was asked: the section stands, without a chart."""
    bare = replace(PROFILE, urls=(), findings=(), responses=(), together={}, notes=())
    html = report.project_html(bare)
    assert "Nothing was found." in html
    assert "<figure>" not in html


def test_the_chart_tells_what_follows_the_rows() -> None:
    """Each page with its statements, and those that were proven, in its picture's words and its table."""
    chart = pages.draw(PROFILE)
    assert chart is not None
    assert chart.rows == (("/", "21", "20"),)
    assert "20 were proven to follow the rows" in chart.alt
    many = replace(
        PROFILE, urls=tuple(replace(PROFILE.urls[0], url=f"/{n}/", queries=n + 1) for n in range(60))
    )
    big = pages.draw(many)
    assert big is not None
    assert len(big.rows) == 60
    assert "are drawn" in big.caption
