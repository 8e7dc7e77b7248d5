"""Bytes on the wire of each endpoint, per arm, as a share of what the control arm sent."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import data, share
from workbench.charts.palette import colour
from workbench.charts.trials import ARMS, SHORT, counted, middle
from workbench.records import Trial

MOST = 20  # endpoints drawn; all are in the table
BAR = 15.0


def draw(
    trials: Sequence[Trial],
    metric: str = "bytes",
    reduction: float | None = None,
    name: str = "bars",
    width: float = 760,
) -> Chart | None:
    """One group of bars per endpoint, the largest first; None without an endpoint that both arms answered.

    Args:
        trials: of a drill, with metrics `bytes:<METHOD path>`.
        metric: the part of the metric's name before the colon.
        reduction: the published one, drawn as a line.
        name: of the chart.
        width: in pixels.
    """
    arms = [arm for arm in ARMS if counted(trials, arm)]
    endpoints = []
    for key in dict.fromkeys(n for t in trials for n in t.metrics if n.startswith(f"{metric}:")):
        sizes = {arm: size for arm in arms if (size := middle(counted(trials, arm), key)) is not None}
        if sizes.get("control", 0) > 0 and "treatment" in sizes:
            endpoints.append((key.partition(":")[2], sizes))
    if not endpoints:
        return None
    endpoints.sort(key=lambda one: -one[1]["control"])
    drawn = endpoints[:MOST]
    most = max(1.0, max(size / sizes["control"] for _, sizes in drawn for size in sizes.values()))
    heights = [26 + BAR * len(sizes) + 8 for _, sizes in drawn]
    fig = figure(width, 26 + sum(heights) + 32)
    ax = axes(fig, 20, 26, 124, 32)
    ax.set_xlim(0, min(most, 2.0))
    ax.set_ylim(sum(heights), 0)
    ticks = [i / 4 for i in range(int(min(most, 2.0) * 4) + 1)]
    ax.set_xticks(ticks, [share(tick, 0) for tick in ticks])
    ax.set_yticks([])
    ax.grid(True, axis="x", color=colour("line"), linewidth=1)
    if reduction is not None:
        left = 1 - reduction
        ax.axvspan(0, left, color=colour("zone"), linewidth=0, zorder=0.4)
        ax.axvline(left, color=colour("fg"), linewidth=1.5, linestyle=(0, (3, 2)), zorder=2.5)
        text(ax, left, -10, f"published: {share(reduction, 0)} less", ha="center")
    y = 0.0
    for (endpoint, sizes), height in zip(drawn, heights, strict=True):
        text(ax, 0.005, y + 13, clean(endpoint, 80 if width > 600 else 40), ha="left", weight="bold")
        for j, (arm, size) in enumerate(sizes.items()):
            at = y + 26 + BAR * j + BAR / 2
            width = min(size / sizes["control"], 2.0)
            ax.barh(at, width, BAR - 3, color=colour(arm), linewidth=0, clip_on=False)
            text(ax, width + 0.012, at, f"{data(size)} {SHORT[arm]}", arm, fontsize=11.5)
        y += height
    saved = [1 - sizes["treatment"] / sizes["control"] for _, sizes in endpoints]
    alt = (
        f"Bytes on the wire of {len(endpoints)} {'endpoint' if len(endpoints) == 1 else 'endpoints'}, compared with"
        f" Stalwart off: with it on, between {share(min(saved))} and {share(max(saved))} less."
    )
    more = "" if len(drawn) == len(endpoints) else f" The {MOST} largest are drawn, all are in the table."
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption="Bytes on the wire, both directions, headers included, of each endpoint; 100 % is what plain Django"
        f" sent.{more}",
        columns=("endpoint", *(f"{SHORT[arm]}" for arm in arms), "on, less than off"),
        rows=tuple(
            (
                endpoint,
                *(data(sizes[arm]) if arm in sizes else "–" for arm in arms),
                share(1 - sizes["treatment"] / sizes["control"]),
            )
            for endpoint, sizes in endpoints
        ),
    )
