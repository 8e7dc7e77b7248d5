"""What a usable connection costs a request, and how many the server holds for it, per arm."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import number
from workbench.charts.palette import colour
from workbench.charts.trials import ARMS, SHORT, arm_label, counted
from workbench.records import Plan, Trial

BAR = 22.0
#: Each on an axis of its own: they have no unit in common.
SHOWN = {
    "acquire_time": "time to a usable connection, per request",
    "connections_held": "connections held at the server",
    "sessions_opened": "connections opened at the server, per request",
}
BESIDE = ("acquire_p95", "connections_most", "throughput")


def draw(plan: Plan, trials: Sequence[Trial], name: str = "connections", width: float = 760) -> Chart | None:
    """One group of bars per metric, each from nought; None where no trial that counts carries them.

    Args:
        plan: of the drill, for the arms' names.
        trials: of the drill.
        name: of the chart.
        width: in pixels.
    """
    groups = []
    for metric in SHOWN:
        values = {
            arm: [t.metrics[metric].value for t in counted(trials, arm) if metric in t.metrics]
            for arm in ARMS
        }
        values = {arm: found for arm, found in values.items() if found}
        if values:
            groups.append((metric, values))
    if not groups:
        return None
    units = {n: m.unit.partition(" per ")[0] for t in trials for n, m in t.metrics.items()}
    heights = [26 + BAR * len(values) + 12 for _, values in groups]
    fig = figure(width, sum(heights) + 12)
    ax = axes(fig, 20, 6, 168, 6)
    ax.set_xlim(0, 1)
    ax.set_ylim(sum(heights), 0)
    ax.set_xticks([])
    ax.set_yticks([])
    y, told = 0.0, []
    for (metric, values), height in zip(groups, heights, strict=True):
        top = max(value for found in values.values() for value in found) or 1.0
        text(ax, 0.005, y + 13, SHOWN[metric], ha="left", weight="bold")
        ax.plot([0, 0], [y + 24, y + height - 10], color=colour("line"), linewidth=1)
        for j, (arm, found) in enumerate(values.items()):
            at = y + 26 + BAR * j + BAR / 2
            ax.barh(
                at, median(found) / top, BAR - 6, color=colour(arm), alpha=0.85, linewidth=0, clip_on=False
            )
            ax.plot(
                [value / top for value in found],
                [at] * len(found),
                "o",
                color=colour("bg"),
                markeredgecolor=colour(arm),
                markersize=5,
                clip_on=False,
            )
            words = f"{number(median(found), units[metric])} {SHORT[arm]}"
            text(ax, max(found) / top + 0.018, at, words, arm, fontsize=12)
        said = ", ".join(f"{number(median(v), units[metric])} {SHORT[arm]}" for arm, v in values.items())
        told.append(f"{SHOWN[metric]} {said}")
        y += height
    alt = f"Medians: {'; '.join(told)}."
    names = "; ".join(f"{SHORT[arm]}: {clean(arm_label(plan, arm))}" for arm in groups[0][1])
    beside = (*SHOWN, *BESIDE)
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption=f"Bars: medians; dots: single trials; each group has an axis of its own. {names[:1].upper()}{names[1:]}.",
        columns=("block", "arm", *(SHOWN.get(key, key.replace("_", " ")) for key in beside)),
        rows=tuple(
            (
                str(trial.block),
                SHORT.get(trial.arm, trial.arm),
                *(number(trial.metrics[k].value, units[k]) if k in trial.metrics else "–" for k in beside),
            )
            for trial in sorted(trials, key=lambda one: (one.block, one.order))
            if trial.counts
        ),
    )
