"""A share of units, as of injected errors that recovered, by kind, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import share
from workbench.charts.palette import colour
from workbench.charts.trials import SHORT, counted, fault_words
from workbench.records import Trial

Z = 1.959963984540054  # of a two-sided 95 % interval


def wilson(events: int, exposure: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion, for display; verdicts rest on the exact one.

    Raises:
        ZeroDivisionError: for an exposure of nought, which has no proportion.
    """
    p, n = events / exposure, exposure
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def draw(
    trials: Sequence[Trial],
    metric: str = "recovered",
    threshold: float | None = None,
    name: str = "proportions",
    width: float = 760,
    phrase: str = "of injected errors that recovered",
    columns: tuple[str, str] = ("recovered", "injected and seen"),
    at_most: bool = False,
) -> Chart | None:
    """One row per kind (`metric:kind`) and one for all together; None where nothing was counted.

    Args:
        trials: of a drill.
        metric: with events and exposure.
        threshold: the published share, drawn as a line.
        name: of the chart.
        width: in pixels.
        phrase: what the share is, as it follows "Share".
        columns: heads of the table's counts: events, exposure.
        at_most: the published share is a ceiling.
    """
    kinds = list(dict.fromkeys(n for t in trials for n in t.metrics if n.startswith(f"{metric}:")))
    arms = [arm for arm in ("control", "treatment", "peer") if counted(trials, arm)]
    rows = []
    for key in [*kinds, metric]:
        label = "all kinds" if key == metric else fault_words(key.partition(":")[2])
        found = {arm: total for arm in arms if (total := _total(trials, arm, key)) is not None}
        if found:
            rows.append((clean(label, 28 if width > 600 else 21), found))
    if not rows:
        return None
    band = 13.0 * len(arms) + 15
    fig = figure(width, 34 + band * len(rows) + 34)
    ax = axes(fig, 190 if width > 600 else 128, 30, 46, 34)
    ax.set_xlim(0, 1)
    ax.set_ylim(band * len(rows), 0)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], [share(tick, 0) for tick in (0, 0.25, 0.5, 0.75, 1)])
    ax.set_yticks([])
    ax.grid(True, axis="x", color=colour("line"), linewidth=1)
    if threshold is not None and 0 <= threshold <= 1:
        ax.axvspan(
            0 if at_most else threshold,
            threshold if at_most else 1,
            color=colour("zone"),
            linewidth=0,
            zorder=0.4,
        )
        ax.axvline(threshold, color=colour("fg"), linewidth=1.5, linestyle=(0, (3, 2)), zorder=0.6)
        text(ax, threshold, -12, f"published {share(threshold, 0)}", ha="center")
    for i, (label, found) in enumerate(rows):
        y = band * i + 14
        text(
            ax,
            -0.02,
            y + 6.5 * (len(found) - 1),
            label,
            ha="right",
            weight="bold" if label == "all kinds" else "normal",
        )
        for j, (arm, (events, exposure)) in enumerate(found.items()):
            low, high = wilson(events, exposure)
            at = y + 13 * j
            ax.plot(
                [low, high], [at, at], color=colour(arm), linewidth=3, clip_on=False, solid_capstyle="round"
            )
            ax.plot([events / exposure], [at], "o", color=colour(arm), markersize=9, clip_on=False, mew=0)
            text(ax, 1.025, at, SHORT[arm], arm, weight="bold", fontsize=11.5)
    table = tuple(
        (
            label,
            SHORT[arm],
            str(events),
            str(exposure),
            share(events / exposure),
            *map(share, wilson(events, exposure)),
        )
        for label, found in rows
        for arm, (events, exposure) in found.items()
    )
    alt = _alt(rows[-1][1], len(rows) - 1, phrase)
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption=f"Share {phrase}, by kind, with Wilson's 95 % interval (for display; the verdict rests on the exact one).",
        columns=("kind", "arm", *columns, "share", "low", "high"),
        rows=table,
    )


def _total(trials: Sequence[Trial], arm: str, key: str) -> tuple[int, int] | None:
    found = [trial.metrics[key] for trial in counted(trials, arm) if key in trial.metrics]
    events = sum(metric.events or 0 for metric in found)
    exposure = sum(metric.exposure or 0 for metric in found)
    return (events, exposure) if exposure else None


def _alt(total: dict[str, tuple[int, int]], kinds: int, phrase: str) -> str:
    told = [
        f"{share(events / exposure)} ({events:,} of {exposure:,}) with Stalwart {SHORT[arm]}"
        if arm != "peer"
        else f"{share(events / exposure)} ({events:,} of {exposure:,}) with the peer"
        for arm, (events, exposure) in total.items()
    ]
    over = f", over {kinds} kinds" if kinds > 1 else ""
    return f"Share {phrase}{over}: {', '.join(told)}."
