"""One metric in each pair: control on the left, treatment on the right, a line between the two."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, figure, text, to_svg
from workbench.charts.numbers import number, ticks, whole
from workbench.charts.palette import colour
from workbench.charts.trials import pairs
from workbench.records import Metric, Trial

MOST = 200  # pairs drawn; more would be a block of ink, and all are in the table


def draw(
    trials: Sequence[Trial],
    metric: str,
    what: str,
    name: str = "pairs",
    part: str | None = None,
) -> Chart | None:
    """The paired slope plot; None where no pair counts.

    Args:
        trials: of a drill.
        metric: by name.
        what: the metric in words, as "failed requests".
        name: of the chart.
        part: of the claim; None for all.
    """
    found = pairs(trials, metric, part)
    if not found:
        return None
    unit = found[0][0].metrics[metric].unit
    offs = [control.metrics[metric].value for control, _ in found]
    ons = [treatment.metrics[metric].value for _, treatment in found]
    top = max([*offs, *ons]) or 1.0
    fig = figure(330, 260)
    ax = axes(fig, 72, 14, 24, 34)
    ax.set_xlim(-0.25, 1.25)
    ax.set_ylim(-0.03 * top, 1.05 * top)
    marks = ticks(top)
    ax.set_yticks(marks, [whole(number(mark, unit)) for mark in marks])
    ax.set_xticks([])
    ax.grid(True, axis="y", color=colour("line"), linewidth=1)
    for off, on in list(zip(offs, ons, strict=True))[:MOST]:
        ax.plot([0, 1], [off, on], color=colour("mute"), linewidth=1.2, alpha=0.45, clip_on=False)
    for x, values, arm in ((0, offs, "control"), (1, ons, "treatment")):
        shown = values[:MOST]
        ax.plot([x] * len(shown), shown, "o", color=colour(arm), markersize=8, clip_on=False, mew=0)
        ax.plot([x - 0.13, x + 0.13], [median(values)] * 2, color=colour(arm), linewidth=2.4, clip_on=False)
    for x, word, arm in ((0, "off", "control"), (1, "on", "treatment")):
        text(ax, x, -0.13 * top, word, arm, weight="bold", ha="center", va="top")
    alt = (
        f"{what[:1].upper()}{what[1:]} in each of {len(found)} {'pair' if len(found) == 1 else 'pairs'}: "
        f"{_range(offs, unit)} with Stalwart off, {_range(ons, unit)} with it on."
    )
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption=f"{what[:1].upper()}{what[1:]} in each pair, off and on. Bars: medians.",
        columns=("block", f"off, {what}", f"on, {what}"),
        rows=tuple(
            (str(control.block), _cell(control.metrics[metric]), _cell(treatment.metrics[metric]))
            for control, treatment in found
        ),
    )


def _cell(metric: Metric) -> str:
    told = ("≥ " if metric.censored else "") + number(metric.value, metric.unit)
    if metric.events is not None and metric.exposure is not None:
        told += f" ({metric.events:,} of {metric.exposure:,})"
    return told


def _range(values: Sequence[float], unit: str) -> str:
    low, high = number(min(values), unit), number(max(values), unit)
    return low if low == high else f"{low} to {high}"
