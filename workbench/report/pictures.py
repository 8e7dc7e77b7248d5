"""Which charts tell a claim's story, and how a chart stands in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from workbench.charts import bars, by_fault, connections, memory, pairs, proportions, timeline
from workbench.charts.chart import Chart
from workbench.claims import Claim, Payloads, Proportion, Reduction
from workbench.records import Plan, Trial
from workbench.report.tables import Table, limited

#: Pixels from which on a chart gets the whole width.
LARGE = 400
#: Pixels of a chart on a telephone.
NARROW = 358.0
#: And in a window.
WIDE = 760.0
#: And of those that run along time or claims.
FULL = 920.0


@dataclass(frozen=True)
class Picture:
    """A chart as the template wants it: its SVG is our own, its texts are escaped."""

    svg: Markup
    narrow: Markup | None
    caption: str
    title: str
    large: bool


def picture(chart: Chart, narrow: Chart | None = None) -> Picture:
    """A chart for the page.

    Args:
        chart: as drawn for a wide window.
        narrow: the same, drawn for a telephone; without it the chart scrolls in a box of its own there.
    """
    width = float(chart.svg.partition('width="')[2].partition('"')[0])
    return Picture(
        svg=Markup(chart.svg),  # noqa: S704 drawn by us; its texts went through an XML writer
        narrow=Markup(narrow.svg) if narrow and width >= LARGE else None,  # noqa: S704 as above
        caption=chart.caption,
        title=f"Chart: {chart.name}",
        large=width >= LARGE,
    )


def data_table(chart: Chart) -> Table:
    """A chart's data; columns after the first that begin with a figure are set to the right."""
    right = [
        i
        for i in range(1, len(chart.columns))
        if chart.rows and all(row[i][:1].isdigit() or row[i][:1] in "–−≥" for row in chart.rows)
    ]
    return limited(chart.alt, chart.columns, chart.rows, right)


def charts(claim: Claim, plan: Plan, trials: Sequence[Trial], *, narrow: bool = False) -> list[Chart]:
    """The charts of a claim, the most telling first; none where no trial counts.

    Args:
        claim, plan, trials: what was claimed, and what its drill planned and measured.
        narrow: draw them for a telephone.
    """
    width = NARROW if narrow else WIDE
    key = claim.id.lower()
    found: list[Chart | None] = []
    for part in claim.design.parts:
        match part.rule:
            case Payloads(threshold=threshold):
                found.append(
                    bars.draw(trials, part.rule.prefix.rstrip(":"), threshold, f"bars-{key}", width=width)
                )
            case Proportion(metric=metric) as rule:
                found.append(
                    proportions.draw(
                        trials,
                        metric,
                        rule.threshold,
                        f"proportions-{key}-{metric}",
                        width,
                        rule.phrase,
                        ("counted", rule.unit),
                        rule.at_most,
                    )
                )
            case Reduction(metric="peak_memory" as metric):
                found.append(memory.draw(trials, metric, name=f"memory-{key}", width=width))
            case Reduction(metric="acquire_time" as metric, fewer=fewer):
                found.append(connections.draw(plan, trials, f"connections-{key}", width))
                found.append(pairs.draw(trials, metric, _noun(fewer), f"pairs-{key}-{metric}"))
            case Reduction(metric=metric, events=events, fewer=fewer):
                what = "failed requests" if events == "failures" else events or _noun(fewer)
                found.append(
                    timeline.draw(plan, trials, metric, f"timeline-{key}", width=NARROW if narrow else FULL)
                )
                found.append(by_fault.draw(trials, f"by-fault-{key}", width))
                found.append(pairs.draw(trials, metric, what, f"pairs-{key}-{metric}", part.trials or None))
            case _:
                pass
    if any("recovery" in trial.metrics for trial in trials):
        found.append(pairs.draw(trials, "recovery", "time to recovery", f"pairs-{key}-recovery"))
    # Parts that share a chart (peak memory of two sizes) draw it once.
    return list({chart.name: chart for chart in found if chart is not None}.values())


def _noun(fewer: str) -> str:
    """ "less collection pause" is about "collection pause"."""
    return fewer.partition(" ")[2] or fewer
