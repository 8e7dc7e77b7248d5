"""Failed requests by kind of fault, per arm: which fault hurts, and which one the treatment does not cure."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import share
from workbench.charts.palette import colour
from workbench.charts.trials import ARMS, SHORT, counted, fault_words
from workbench.records import Trial

BAR = 15.0


def draw(trials: Sequence[Trial], name: str = "by-fault", width: float = 760) -> Chart | None:
    """One group of bars per kind of fault; None where no fault's evidence says what failed.

    Args:
        trials: of a drill, whose evidence has the details `failed` and `requests`.
        name: of the chart.
        width: in pixels.
    """
    kinds = list(dict.fromkeys(one.fault for trial in trials for one in trial.evidence))
    groups = []
    for kind in sorted(kinds):
        sums = {arm: found for arm in ARMS if (found := _total(counted(trials, arm), kind)) is not None}
        if sums:
            groups.append((kind, sums))
    if not groups:
        return None
    heights = [26 + BAR * len(sums) + 8 for _, sums in groups]
    fig = figure(width, sum(heights) + 40)
    ax = axes(fig, 20, 8, 168, 32)
    ax.set_xlim(0, 1)
    ax.set_ylim(sum(heights), 0)
    ticks = (0, 0.25, 0.5, 0.75, 1)
    ax.set_xticks(ticks, [share(tick, 0) for tick in ticks])
    ax.set_yticks([])
    ax.grid(True, axis="x", color=colour("line"), linewidth=1)
    y = 0.0
    for (kind, sums), height in zip(groups, heights, strict=True):
        text(ax, 0.005, y + 13, clean(fault_words(kind), 40), ha="left", weight="bold")
        for j, (arm, (failed, requests)) in enumerate(sums.items()):
            at = y + 26 + BAR * j + BAR / 2
            ax.barh(at, failed / requests, BAR - 3, color=colour(arm), linewidth=0, clip_on=False)
            words = f"{failed:,} of {requests:,} {SHORT[arm]}"
            text(ax, failed / requests + 0.012, at, words, arm, fontsize=11.5)
        y += height
    alt = f"Share of requests that failed, by kind of fault: {'; '.join(_words(*group) for group in groups)}."
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption="Requests that were not answered correctly, from the begin of each fault to that of the next one, over all"
        " trials. A fault whose damage lasts also makes requests of the faults after it fail: threads that wait for what a"
        " black hole has swallowed wait until something resets their connections.",
        columns=("fault", "arm", "failed", "requests", "share"),
        rows=tuple(
            (fault_words(kind), SHORT[arm], f"{failed:,}", f"{requests:,}", share(failed / requests))
            for kind, sums in groups
            for arm, (failed, requests) in sums.items()
        ),
    )


def _total(trials: Sequence[Trial], kind: str) -> tuple[int, int] | None:
    """Failed and scheduled requests over all outages of a kind; None where the evidence does not say."""
    found = [one.detail for trial in trials for one in trial.evidence if one.fault == kind]
    known = [(one["failed"], one["requests"]) for one in found if "failed" in one and "requests" in one]
    failed, requests = (sum(column) for column in zip(*known, strict=True)) if known else (0, 0)
    return (failed, requests) if requests else None


def _words(kind: str, sums: dict[str, tuple[int, int]]) -> str:
    told = [
        f"{share(failed / requests)} {'with the peer' if arm == 'peer' else f'with Stalwart {SHORT[arm]}'}"
        for arm, (failed, requests) in sums.items()
    ]
    return f"{fault_words(kind)} {', '.join(told)}"
