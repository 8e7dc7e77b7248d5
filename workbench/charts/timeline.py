"""Share of requests answered correctly, second by second, in one representative pair, with the faults shaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import SPACE, count, share
from workbench.charts.palette import colour
from workbench.charts.trials import SHORT, fault_words, pairs, series
from workbench.records import Phase, Plan, Series, Trial

LEFT, RIGHT = 52.0, 44.0
LETTER = 6.9  # pixels of an average letter at this size; on the wide side, so that labels never meet
MOST_POINTS = 2000


def draw(
    plan: Plan, trials: Sequence[Trial], metric: str = "failures", name: str = "timeline", width: float = 920
) -> Chart | None:
    """The timeline of the pair whose difference in `metric` is the median one; None where no pair has a series.

    Args:
        plan: of the drill.
        trials: of the drill; those that do not count are not chosen.
        metric: by which the pair is chosen.
        name: of the chart.
        width: in pixels.
    """
    chosen = representative(trials, metric)
    if chosen is None:
        return None
    control, treatment = chosen
    lines = [
        (arm, found)
        for arm, trial in (("control", control), ("treatment", treatment))
        if (found := series(trial, "good")) is not None
    ]
    end = max([found.start + found.step * len(found.values) for _, found in lines] + [1.0])
    faults = [phase for phase in control.phases if phase.fault and phase.start < end]
    scale = (width - LEFT - RIGHT) / end
    rows = _label_rows(faults, scale, width)
    top = 14 + 17 * (max(rows, default=-1) + 1)
    fig = figure(width, (200 if width > 600 else 170) + top + 30)
    ax = axes(fig, LEFT, top, RIGHT, 30)
    ax.set_xlim(0, end)
    ax.set_ylim(0, 1.005)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], [share(tick, 0) for tick in (0, 0.25, 0.5, 0.75, 1)])
    ticks = _ticks(end, 9 if width > 600 else 5)
    ax.set_xticks(ticks, [f"{count(tick)}{SPACE}s" for tick in ticks])
    ax.grid(True, axis="y", color=colour("line"), linewidth=1)
    _shade(ax, faults, rows, end, width)
    _warm_up(ax, control.phases)
    for arm, found in lines:
        seconds, values = _points(found)
        ax.plot(seconds, values, color=colour(arm), linewidth=2.2, clip_on=False, solid_capstyle="round")
    _name_lines(ax, lines, end)
    alt = _alt(lines, faults)
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption=f"Requests answered correctly, per second, in block {control.block}: the pair whose difference is"
        f" the median of {len(pairs(trials, metric))}. Shaded: the faults.",
        columns=("second", "off, correct", "on, correct", "fault"),
        rows=_table(lines, faults),
    )


def representative(trials: Sequence[Trial], metric: str) -> tuple[Trial, Trial] | None:
    """The pair with a series whose difference in the metric is the (lower) median; None without one."""
    found = [pair for pair in pairs(trials, metric) if any(series(trial, "good") for trial in pair)]
    found.sort(key=lambda pair: pair[0].metrics[metric].value - pair[1].metrics[metric].value)
    return found[(len(found) - 1) // 2] if found else None


def _points(found: Series) -> tuple[list[float], list[float]]:
    stride = max(1, -(-len(found.values) // MOST_POINTS))
    kept = [(i, found.values[i]) for i in range(0, len(found.values), stride)]
    nothing = float("nan")  # a second without requests is a gap in the line
    return [found.start + i * found.step for i, _ in kept], [nothing if v is None else v for _, v in kept]


def _label_rows(faults: Sequence[Phase], scale: float, width: float) -> list[int]:
    """The row above the picture in which each fault's words stand, so that none meets another."""
    # From the last fault to the first, upwards: the line from a word down to its fault then meets no other word.
    taken: list[float] = []
    rows = []
    for phase in reversed(faults):
        start, length = _label_place(phase, scale, width)
        row = next((i for i, left in enumerate(taken) if start + length + 10 <= left), len(taken))
        taken[row : row + 1] = [start]
        rows.append(row)
    return rows[::-1]


def _label_place(phase: Phase, scale: float, width: float) -> tuple[float, float]:
    """Left edge and width of a fault's words, in pixels from the axes' left."""
    length = LETTER * len(_words(phase))
    room = width - LEFT - 6
    return max(0.0, min(phase.start * scale, room - length)), length


def _words(phase: Phase) -> str:
    return clean(fault_words(phase.fault or phase.name), 40)


def _shade(ax: Any, faults: Sequence[Phase], rows: Sequence[int], end: float, width: float) -> None:
    scale = (width - LEFT - RIGHT) / end
    for phase, row in zip(faults, rows, strict=True):
        # A fault of an instant (a reset) still needs a band that can be seen.
        until = min(end, max(phase.end, phase.start + 3 / scale))
        ax.axvspan(phase.start, until, color=colour("fault"), linewidth=0, zorder=0.5)
        above = 10 + 17 * row
        ax.annotate(
            _words(phase),
            (_label_place(phase, scale, width)[0] / scale, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, above),
            textcoords="offset pixels",
            color=colour("refuted"),
            fontsize=12.5,
            va="center",
            parse_math=False,
        )
        if row:
            ax.annotate(
                "",
                (phase.start, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, above - 8),
                textcoords="offset pixels",
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour("refuted"),
                    "linewidth": 0.8,
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
            )


def _warm_up(ax: Any, phases: Sequence[Phase]) -> None:
    first = next((phase for phase in phases if not phase.fault), None)
    if first is None or first.end <= 0:
        return
    ax.axvline(first.end, color=colour("mute"), linewidth=1, linestyle=(0, (2, 3)), zorder=0.6)
    text(ax, first.end / 2, 0.06, clean(first.name, 16), "mute", ha="center", fontsize=11.5)


def _name_lines(ax: Any, lines: Sequence[tuple[str, Series]], end: float) -> None:
    """Write "on" and "off" at the lines: both at the right end where they differ, else off at its lowest point."""
    for arm, found in lines:
        known = [(found.start + i * found.step, v) for i, v in enumerate(found.values) if v is not None]
        if not known:
            continue
        x, y = known[-1]
        dx = 0.01 * end
        if arm == "control" and len(lines) > 1:
            x, y = min(known, key=lambda point: (point[1], point[0]))
            near_right = x > 0.9 * end
            ha, dx = ("right", -dx) if near_right else ("left", dx)
            text(ax, x + dx, max(0.04, y), SHORT[arm], arm, weight="bold", ha=ha)
        else:
            text(ax, x + dx, y, SHORT[arm], arm, weight="bold", ha="left")


def _ticks(end: float, most: int) -> list[float]:
    step = next((s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800) if end / s <= most), end / 6)
    return [i * step for i in range(int(end / step) + 1)]


def _alt(lines: Sequence[tuple[str, Series]], faults: Sequence[Phase]) -> str:
    told = []
    for arm, found in lines:
        known = [value for value in found.values if value is not None]
        if known:
            bad = sum(value < 0.9 for value in known) * found.step
            told.append(
                f"with Stalwart {SHORT[arm]} its lowest value is {share(min(known), 0)} and it is below"
                f" {share(0.9, 0)} for {count(round(bad, 1))} of {count(round(len(known) * found.step, 1))} seconds"
            )
    during = ", ".join(dict.fromkeys(_words(phase) for phase in faults))
    return (
        "Share of requests answered correctly, per second"
        + (f", under these faults: {during}" if during else "")
        + (f": {'; '.join(told)}." if told else ": nothing was answered.")
    )


def _table(lines: Sequence[tuple[str, Series]], faults: Sequence[Phase]) -> tuple[tuple[str, ...], ...]:
    by_arm = dict(lines)
    step = lines[0][1].step
    starts = sorted({round(s.start + i * s.step, 3) for s in by_arm.values() for i in range(len(s.values))})
    stride = max(1, -(-len(starts) // MOST_POINTS))

    def value(arm: str, at: float) -> str:
        found = by_arm.get(arm)
        index = -1 if found is None else round((at - found.start) / found.step)
        known = found.values[index] if found is not None and 0 <= index < len(found.values) else None
        return "–" if known is None else share(known)

    return tuple(
        (
            count(at),
            value("control", at),
            value("treatment", at),
            ", ".join(_words(phase) for phase in faults if phase.start < at + step and phase.end >= at),
        )
        for at in starts[::stride]
    )
