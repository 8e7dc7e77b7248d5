"""Peak memory of each part, per arm: every trial a dot, the median a bar."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import data, number, ticks, whole
from workbench.charts.palette import colour
from workbench.charts.trials import ARMS, SHORT, counted, middle
from workbench.records import Trial

BAR = 22.0


def draw(
    trials: Sequence[Trial],
    metric: str = "peak_memory",
    beside: Sequence[str] = ("rss_growth", "rows", "seconds"),
    name: str = "memory",
    width: float = 760,
) -> Chart | None:
    """Bars from nought, one group per part; None where no trial that counts carries the metric.

    Args:
        trials: of a drill.
        metric: in bytes.
        beside: further metrics for the table.
        name: of the chart.
        width: in pixels.
    """
    groups = []
    for part in dict.fromkeys(trial.part for trial in trials):
        values = {
            arm: [t.metrics[metric].value for t in counted(trials, arm, part) if metric in t.metrics]
            for arm in ARMS
        }
        values = {arm: found for arm, found in values.items() if found}
        if values:
            groups.append((part, values))
    if not groups:
        return None
    top = max(value for _, values in groups for found in values.values() for value in found) or 1.0
    heights = [26 + BAR * len(values) + 10 for _, values in groups]
    fig = figure(width, 8 + sum(heights) + 32)
    ax = axes(fig, 20, 8, 124, 32)
    ax.set_xlim(0, top)
    ax.set_ylim(sum(heights), 0)
    marks = ticks(top, 4)
    ax.set_xticks(marks, [whole(data(mark)) for mark in marks])
    ax.set_yticks([])
    ax.grid(True, axis="x", color=colour("line"), linewidth=1)
    y, told = 0.0, []
    for (part, values), height in zip(groups, heights, strict=True):
        text(ax, 0.005 * top, y + 13, part_words(part), ha="left", weight="bold")
        for j, arm in enumerate(values):
            at = y + 26 + BAR * j + BAR / 2
            usual = middle(counted(trials, arm, part), metric) or 0.0
            ax.barh(at, usual, BAR - 6, color=colour(arm), alpha=0.85, linewidth=0, clip_on=False)
            ax.plot(
                values[arm],
                [at] * len(values[arm]),
                "o",
                color=colour("bg"),
                markeredgecolor=colour(arm),
                markersize=5,
                clip_on=False,
            )
            text(ax, max(values[arm]) + 0.018 * top, at, f"{data(usual)} {SHORT[arm]}", arm, fontsize=12)
        usual_off, usual_on = (middle(counted(trials, a, part), metric) for a in ("control", "treatment"))
        if usual_off and usual_on is not None:
            words = f"{data(usual_off)} with Stalwart off, {data(usual_on)} with it on"
            told.append(f"{part_words(part)}: {words}" if part else words)
        y += height
    alt = f"Peak of allocated memory, medians: {'; '.join(told) or 'one arm only'}."
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption="Peak of allocated memory in each part. Bars: medians; dots: single trials.",
        columns=("part", "block", "arm", "peak", *(key.replace("_", " ") for key in beside)),
        rows=tuple(
            (
                part_words(trial.part),
                str(trial.block),
                SHORT.get(trial.arm, trial.arm),
                *(
                    number(trial.metrics[key].value, trial.metrics[key].unit) if key in trial.metrics else "–"
                    for key in (metric, *beside)
                ),
            )
            for trial in sorted(trials, key=lambda one: (one.part, one.block, one.order))
            if trial.counts
        ),
    )


def part_words(part: str) -> str:
    """A part in words: "rows-1000000" is "1,000,000 rows"."""
    head, _, tail = part.partition("-")
    if head == "rows" and tail.isdigit():
        return f"{int(tail):,} rows"
    return clean(part.replace("-", " ") or "all", 40)
