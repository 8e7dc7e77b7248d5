"""Each chart: what it shows, in which colours, and that its sentence and table say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from workbench.charts import (
    Chart,
    bars,
    by_fault,
    connections,
    intervals,
    memory,
    pairs,
    proportions,
    timeline,
    waterfall,
)
from workbench.charts.strip import strip
from workbench.claims import CLAIMS, claim
from workbench.profile.records import PageView, Query, Site
from workbench.records import Arm, ArmName, Evidence, Metric, Part, Phase, Plan, Series, Trial, Verdict

PLAN = Plan(drill="d", claims=("DB-1",), title="", arms=(), blocks=3, seed=1)


def trial(arm: ArmName, block: int, metrics: dict[str, Metric], **more: Any) -> Trial:
    """A trial with the given metrics."""
    return Trial(
        id=f"{arm}-{block}", drill="d", block=block, arm=arm, order=0, seed=1, metrics=metrics, **more
    )


def lossy(shares: Sequence[float], faults: Sequence[tuple[str, float, float]] = ()) -> list[Trial]:
    """Pairs with the given control failures, each with a series."""
    phases = (Phase("warm-up", 0, 1), *(Phase(kind, start, end, kind) for kind, start, end in faults))
    return [
        trial(
            arm,
            block,
            {
                "failures": Metric(
                    share if arm == "control" else 0.0,
                    "share",
                    round(share * 100) if arm == "control" else 0,
                    100,
                )
            },
            phases=phases,
            series=(Series("good", "share", 0, 1, (1.0, None, 1 - share if arm == "control" else 1.0, 1.0)),),
        )
        for block, share in enumerate(shares, start=1)
        for arm in ("control", "treatment")
    ]


def sound(chart: Chart | None) -> Chart:
    """The chart, after the checks that hold for all of them."""
    assert chart is not None
    root = ET.fromstring(chart.svg)
    assert root.get("aria-label") == chart.alt
    assert chart.alt.endswith(".")
    assert chart.caption.endswith(".")
    assert chart.rows
    assert all(len(row) == len(chart.columns) for row in chart.rows)
    assert not re.search(r"#[0-9a-fA-F]{3,8}", re.sub(r">[^<]*<", "><", chart.svg))
    for part in ("url(", "id=", "xlink", "<use", "<style", "clip-path", "font-family", "xmlns"):
        assert part not in chart.svg
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for element in root.iter("text"):
        x, y = element.get("x"), element.get("y")
        if x and y:
            assert -1 <= float(x) <= width + 1
            assert 0 <= float(y) <= height
    return chart


def test_timeline_shows_the_median_pair_with_its_faults() -> None:
    """The pair with the median difference is drawn, its faults shaded and named, and its gap stays a gap."""
    faults = [("server-killed", 1.5, 2.5), ("tcp-reset", 3.0, 3.0)]
    chart = sound(timeline.draw(PLAN, lossy([0.9, 0.2, 0.5], faults)))
    assert "in block 3" in chart.caption
    assert "server killed and restarted" in chart.svg
    assert "TCP reset" in chart.svg
    assert "var(--fault)" in chart.svg
    assert "its lowest value is 50" in chart.alt
    assert chart.rows[1][1:3] == ("–", "–")
    assert chart.rows[2][3] == "server killed and restarted"


def test_words_above_the_timeline_never_meet() -> None:
    """Five faults within seconds stand in rows of their own, and narrow windows get more rows."""
    faults = [("backend-terminated", 1.0 + i / 4, 1.1 + i / 4) for i in range(5)]
    for width in (920.0, 358.0):
        chart = sound(timeline.draw(PLAN, lossy([0.5], faults), width=width))
        found = re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>back ends terminated<', chart.svg)
        found += re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*>back ends terminated<", chart.svg)
        places = [(float(x), float(y)) for x, y in found]
        assert len(places) == 5
        for i, (x, y) in enumerate(places):
            for other_x, other_y in places[i + 1 :]:
                assert abs(y - other_y) > 10 or abs(x - other_x) > 130


def test_charts_without_data_are_none() -> None:
    """No pair, no endpoint, no memory, no error: no chart, and no exception."""
    only = [trial("control", 1, {"failures": Metric(0.5, "share", 5, 10)})]
    excluded = [Trial(**{**vars(one), "exclusions": ("load-not-met",)}) for one in lossy([0.5])]
    for trials in ([], only, excluded):
        assert timeline.draw(PLAN, trials) is None
        assert pairs.draw(trials, "failures", "failed requests") is None
        assert bars.draw(trials) is None
        assert memory.draw(trials) is None
        assert proportions.draw(trials) is None
        assert by_fault.draw(trials) is None
        assert connections.draw(PLAN, trials) is None


def test_pairs_draw_every_pair() -> None:
    """One line per pair, both arms in their colours, the range of each in the sentence."""
    chart = sound(pairs.draw(lossy([0.14, 0.24, 0.2]), "failures", "failed requests"))
    assert chart.alt == (
        "Failed requests in each of 3 pairs: 14.0\u00a0% to 24.0\u00a0% with Stalwart off, 0.0\u00a0% with it on."
    )
    assert len(re.findall(r"var\(--mute\)", chart.svg)) >= 3
    assert "var(--control)" in chart.svg
    assert "var(--treatment)" in chart.svg
    assert chart.rows[0] == ("1", "14.0\u00a0% (14 of 100)", "0.0\u00a0% (0 of 100)")


def test_a_censored_time_is_marked() -> None:
    """A recovery that was cut off stands as "at least" in the table."""
    trials = [
        trial("control", 1, {"recovery": Metric(30, "s", censored=True)}),
        trial("treatment", 1, {"recovery": Metric(0.5, "s")}),
    ]
    chart = sound(pairs.draw(trials, "recovery", "time to recovery"))
    assert chart.rows[0][1] == "≥ 30.0\u00a0s"


def test_proportions_by_kind_with_wilsons_interval() -> None:
    """Each kind has its row and arm, the pooled one comes last, the interval is Wilson's."""
    trials = [
        trial(
            arm,
            block,
            {
                "recovered:deadlock": Metric(n / 10, "share", n, 10),
                "recovered": Metric(n / 10, "share", n, 10),
            },
        )
        for block in (1, 2)
        for arm, n in (("control", 0), ("treatment", 9))
    ]
    chart = sound(proportions.draw(trials, threshold=0.8))
    assert [row[:4] for row in chart.rows] == [
        ("deadlock", "off", "0", "20"),
        ("deadlock", "on", "18", "20"),
        ("all kinds", "off", "0", "20"),
        ("all kinds", "on", "18", "20"),
    ]
    assert "published 80" in chart.svg
    low, high = proportions.wilson(18, 20)
    assert low == pytest.approx(0.6990, abs=1e-4)
    assert high == pytest.approx(0.9721, abs=1e-4)


def test_bars_compare_each_endpoint_with_the_control() -> None:
    """The largest endpoint comes first, a larger reply than before is said to be so, foreign text is only text."""
    sizes = {"GET /a": (1000, 100), "GET /<b>&$x$": (9000, 3000), "GET /c": (100, 150)}
    trials = [
        trial(arm, 1, {f"bytes:{name}": Metric(size[i], "bytes") for name, size in sizes.items()})
        for i, arm in enumerate(("control", "treatment"))
    ]
    chart = sound(bars.draw(trials, reduction=0.6))
    assert [row[0] for row in chart.rows] == ["GET /<b>&$x$", "GET /a", "GET /c"]
    assert "GET /&lt;b&gt;&amp;$x$" in chart.svg
    assert "between −50.0\u00a0% and 90.0\u00a0% less" in chart.alt


def test_memory_has_a_group_for_each_part() -> None:
    """Parts stand in words, medians in the sentence, the further metrics in the table."""
    trials = [
        trial(arm, block, {"peak_memory": Metric(peak, "bytes"), "rows": Metric(10, "rows")}, part=part)
        for part, off in (("rows-100000", 60e6), ("rows-1000000", 600e6))
        for block in (1, 2, 3)
        for arm, peak in (("control", off), ("treatment", 2e6))
    ]
    chart = sound(memory.draw(trials))
    assert "100,000 rows: 60.0\u00a0MB with Stalwart off, 2.0\u00a0MB with it on" in chart.alt
    assert len(chart.rows) == 12


def outage(kind: str, failed: int, requests: int) -> Evidence:
    """A fault after which so many requests failed."""
    return Evidence(kind, "postgres", 1, 1, "servers", 1.0, 2.0, {"failed": failed, "requests": requests})


@pytest.mark.parametrize("width", [760.0, 358.0])
def test_failures_by_kind_of_fault_are_summed_over_trials(width: float) -> None:
    """Each kind has a bar for each arm that counts; what was excluded is left out, and what has no figures is no kind."""
    trials = [
        trial(arm, block, {}, evidence=(outage("blackhole", n, 100), outage("tcp-reset", 1, 50)))
        for block in (1, 2)
        for arm, n in (("control", 90), ("treatment", 3))
    ]
    bare = Evidence("server-killed", "postgres", 1, 1, "servers", 1.0, 2.0)
    lost = trial("control", 3, {}, evidence=(outage("blackhole", 100, 100),), exclusions=("load-not-met",))
    chart = sound(by_fault.draw([*trials, lost, trial("control", 4, {}, evidence=(bare,))], width=width))
    assert [row[:4] for row in chart.rows] == [
        ("black hole", "off", "180", "200"),
        ("black hole", "on", "6", "200"),
        ("TCP reset", "off", "2", "100"),
        ("TCP reset", "on", "2", "100"),
    ]
    assert "black hole 90.0\u00a0% with Stalwart off, 3.0\u00a0% with Stalwart on" in chart.alt
    assert "180 of 200 off" in chart.svg


@pytest.mark.parametrize("width", [760.0, 358.0])
def test_connections_cost_time_and_are_held(width: float) -> None:
    """The price stands beside the gain: less time, more connections held; each arm is named by its plan."""
    plan = Plan(
        drill="d",
        claims=("DB-4",),
        title="",
        arms=(Arm("control", "CONN_MAX_AGE=0"), Arm("treatment", "a pool")),
        blocks=3,
        seed=1,
    )
    trials = [
        trial(
            arm,
            block,
            {
                "acquire_time": Metric(seconds, "s"),
                "connections_held": Metric(held, "connections"),
                "sessions_opened": Metric(opened, "sessions per request"),
                "throughput": Metric(40, "requests/s"),
            },
        )
        for block in (1, 2, 3)
        for arm, seconds, held, opened in (("control", 0.008, 0.4, 1.0), ("treatment", 0.0004, 8, 0.05))
    ]
    chart = sound(connections.draw(plan, trials, width=width))
    assert "per request 8.0\u00a0ms off, 0.4\u00a0ms on" in chart.alt
    assert "held at the server 0.4\u00a0connections off, 8\u00a0connections on" in chart.alt
    assert "Off: CONN_MAX_AGE=0; on: a pool." in chart.caption
    assert len(chart.rows) == 6
    assert chart.rows[0][-1] == "40\u00a0requests/s"


def verdicts(known: dict[str, Verdict]) -> list[Verdict]:
    """A verdict on every claim."""
    return [known.get(one.id) or Verdict(one.id, "not-run", "no-drill", "None.") for one in CLAIMS]


@pytest.mark.parametrize("width", [920.0, 358.0])
def test_intervals_have_a_row_for_every_claim(width: float) -> None:
    """All claims are drawn; those with judged parts by part; an interval beyond the axis ends in an arrow head."""
    part = Part("rows-100000", "supported", "interval-above", 0.96, 0.95, 0.97, 0.7, 3, "Above.")
    known = {
        "DB-1": Verdict(
            "DB-1", "refuted", "interval-below", "Below.", -0.2, -0.4, 0.1, threshold=0.95, trials=8
        ),
        "MEM-4": Verdict(
            "MEM-4",
            "inconclusive",
            "part-not-run",
            "Not run: 10⁶.",
            0.96,
            0.95,
            0.97,
            threshold=0.7,
            trials=3,
            parts=(part, Part("rows-1000000", "not-run", "skipped", None, None, None, 0.7, 0, "Quick.")),
        ),
    }
    chart = sound(intervals.draw(CLAIMS, verdicts(known), width=width))
    assert len(chart.rows) == len(CLAIMS) + 1
    assert "1 refuted, 1 inconclusive, 25 not run" in chart.alt
    assert all(one.id in chart.svg for one in CLAIMS)
    assert chart.rows[0][2:] == (
        "refuted",
        "−20.0\u00a0%",
        "−40.0\u00a0%",
        "10.0\u00a0%",
        "at least 95\u00a0%",
    )


def statements(number: int, *, line: int = 7, sql: str = "SELECT <1>") -> tuple[Query, ...]:
    """Runs of one statement from one line, a millisecond each, a hundredth of it apart."""
    place = Site("app/views.py", line)
    return tuple(Query(sql, 1.0, 1, site=place, began=1.01 * n) for n in range(number))


@pytest.mark.parametrize("width", [760.0, 358.0])
def test_the_waterfall_has_a_row_for_each_place_and_text(width: float) -> None:
    """Runs of one place stand side by side in its row; a table has every one of them."""
    view = PageView("/", "warm", 200, queries=(*statements(40), *statements(1, line=9)))
    chart = sound(waterfall.draw(view, width=width))
    assert "40 × app/views.py:7 SELECT &lt;1&gt;" in chart.svg
    assert "app/views.py:9" in chart.svg
    assert chart.alt.startswith("41 statements in 40.4 ms, from 2 places")
    assert len(chart.rows) == 41
    assert waterfall.draw(PageView("/", "warm", 200, queries=(Query("SELECT 1", 1.0),))) is None


def test_a_long_waterfall_stays_small() -> None:
    """Ten thousand runs within a pixel of each other are one bar, and of many places the first are drawn."""
    chart = sound(waterfall.draw(PageView("/", "warm", 200, queries=statements(10_000))))
    assert len(chart.svg) < 10_000
    many = tuple(query for line in range(60) for query in statements(1, line=line + 1))
    chart = sound(waterfall.draw(PageView("/", "warm", 200, queries=many)))
    assert "The first 24 of 60 rows are drawn." in chart.caption


@pytest.mark.parametrize("one", CLAIMS, ids=lambda one: one.id)
def test_every_claim_has_a_strip(one: Any) -> None:
    """Each kind of rule can be drawn without an interval, and with one that lies far off its axis."""
    bare = ET.fromstring(strip(one, Verdict(one.id, "not-run", "no-drill", "None.")))
    assert "no interval" in bare.get("aria-label", "")
    judged = Verdict(one.id, "inconclusive", "x", "Wide.", 0.5, -1e6, 1e6, trials=1)
    drawn = ET.fromstring(strip(one, judged))
    for element in drawn.iter():
        for name in ("x1", "x2", "x", "cx"):
            assert 0 <= float(element.get(name, 0)) <= 300
    assert sum(element.get("class") == "off" for element in drawn.iter()) == 2


def test_the_strip_escapes_its_text() -> None:
    """A verdict's words stand in the strip's name as text."""
    said = strip(
        claim("NET-1"),
        Verdict("NET-1", "supported", "exceeded", "Above.", 0.84, 0.82, 0.86, threshold=0.6, trials=8),
    )
    assert ET.fromstring(said).get("aria-label") == (
        "60–80 % less bandwidth: measured 84.0\u00a0%, interval 82.0\u00a0% to 86.0\u00a0%; published: 60–80\u00a0%; supported."
    )
