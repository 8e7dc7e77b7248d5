"""All claims in one picture: every interval against its published number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import share
from workbench.charts.palette import colour
from workbench.charts.scale import Scale, deciding, of_part
from workbench.claims import Claim
from workbench.records import Outcome, Part, Verdict

ROW, GAP = 23.0, 12.0
Numbers = tuple[float | None, float | None, float | None]


def draw(
    claims: Sequence[Claim], verdicts: Sequence[Verdict], name: str = "intervals", width: float = 920
) -> Chart:
    """One row per claim; one per part for claims whose parts were judged.

    Shares stand on one axis from 0 to 100 %. A claim in another unit has an axis of its own, which is not drawn: only
    the side of the published number on which its interval lies is to be read from it.

    Args:
        claims: in the order of the page.
        verdicts: of these claims, in the same order.
        name: of the chart.
        width: in pixels; below 600 the figures are left to the table.
    """
    rows = [row for claim, verdict in zip(claims, verdicts, strict=True) for row in _rows(claim, verdict)]
    areas = [claim.area for claim, _, _, _, _ in rows]
    places, y = [], 0.0
    for i, area in enumerate(areas):
        y += GAP if i and area != areas[i - 1] else 0.0
        places.append(y + ROW / 2)
        y += ROW
    roomy = width >= 600
    left, right = (160.0, 230.0) if roomy else (64.0, 62.0)
    unit = 1 / (width - left - right)  # a pixel, on the axis
    fig = figure(width, y + 30)
    ax = axes(fig, left, 4, right, 26)
    ax.set_xlim(0, 1)
    ax.set_ylim(y, 0)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], [share(tick, 0) for tick in (0, 0.25, 0.5, 0.75, 1)])
    ax.set_yticks([])
    ax.grid(True, axis="x", color=colour("line"), linewidth=1)
    for (claim, label, scale, outcome, numbers), at in zip(rows, places, strict=True):
        _draw_row(ax, at, f"{claim.id}{f' {label}' if label else ''}", scale, outcome, numbers, unit, roomy)
    alt = _alt(verdicts)
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption="Dots: estimates; bars: 95 % intervals; dashed: the published number; shaded: where the claim holds."
        " Claims in seconds, counts or slopes have an axis of their own, which is left out; of them, read only on which"
        " side of the dashed line the bar lies.",
        columns=("claim", "published", "outcome", "measured", "interval from", "to", "published number"),
        rows=tuple(
            (
                f"{claim.id}{f', {label}' if label else ''}",
                claim.published,
                outcome.replace("-", " "),
                *(scale.write(value) for value in numbers),
                scale.published,
            )
            for claim, label, scale, outcome, numbers in rows
        ),
    )


def _rows(claim: Claim, verdict: Verdict) -> list[tuple[Claim, str, Scale, Outcome, Numbers]]:
    judged: list[Part] = [part for part in verdict.parts if part.low is not None]
    if len(verdict.parts) > 1 and judged:
        labels = {part.name: part.label for part in claim.design.parts}
        return [
            (
                claim,
                labels.get(part.name) or part.name,
                of_part(claim, part.name),
                part.outcome,
                (part.estimate, part.low, part.high),
            )
            for part in verdict.parts
        ]
    numbers = (verdict.estimate, verdict.low, verdict.high)
    return [(claim, "", deciding(claim, verdict), verdict.outcome, numbers)]


def _draw_row(
    ax: Any,
    at: float,
    label: str,
    scale: Scale,
    outcome: Outcome,
    numbers: Numbers,
    unit: float,
    roomy: bool,
) -> None:
    start, end = scale.zone
    edge = scale.place(scale.threshold)
    half = ROW * 0.36
    ax.fill_between([start, end], at - half, at + half, color=colour("zone"), linewidth=0, zorder=0.5)
    ax.plot(
        [edge, edge],
        [at - half, at + half],
        color=colour("fg"),
        linewidth=1.5,
        linestyle=(0, (3, 2)),
        clip_on=False,
        zorder=2.5,
    )
    head, _, tail = label.partition(" ")
    text(ax, (-156 if roomy else -60) * unit, at, head, "fg", weight="bold", fontsize=12)
    if tail and roomy:
        text(ax, -9 * unit, at, clean(tail, 16), "mute", fontsize=11, ha="right")
    estimate, low, high = numbers
    words = outcome.replace("-", " ")
    if estimate is None or low is None or high is None:
        text(ax, 1 + 12 * unit, at, words, outcome, fontsize=12)
        return
    ink = colour(outcome)
    ax.plot(
        [scale.place(low), scale.place(high)],
        [at, at],
        color=ink,
        linewidth=3.2,
        clip_on=False,
        zorder=3,
        solid_capstyle="round",
    )
    ax.plot([scale.place(estimate)], [at], "o", color=ink, markersize=9, mew=0, clip_on=False, zorder=3)
    for value, marker, x in ((low, "<", 0.0), (high, ">", 1.0)):
        if scale.beyond(value) and scale.place(value) == x:
            ax.plot([x], [at], marker, color=ink, markersize=8, mew=0, clip_on=False, zorder=4)
    text(
        ax,
        1 + 12 * unit,
        at,
        f"{scale.write(estimate)} ({scale.write(low)} to {scale.write(high)})"
        if roomy
        else scale.write(estimate),
        "fg",
        fontsize=12,
    )


def _alt(verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.outcome for verdict in verdicts)
    told = [
        f"{counts[o]} {o.replace('-', ' ')}"
        for o in ("supported", "refuted", "inconclusive", "void", "not-run")
        if counts[o]
    ]
    return f"The intervals of all {len(verdicts)} claims against their published numbers: {', '.join(told)}."
