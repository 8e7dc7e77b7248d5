"""The statements of each page, and how many of them follow the rows."""

from __future__ import annotations

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import SPACE, count, ticks
from workbench.charts.palette import colour
from workbench.profile.ranking import is_proven
from workbench.profile.records import Profile

BAR, MOST = 22.0, 20


def draw(profile: Profile, name: str = "pages", width: float = 760) -> Chart | None:
    """A bar for each page, the most statements first; None where no page asked anything.

    Args:
        profile: of the project.
        name: of the chart.
        width: in pixels.
    """
    asked = sorted(
        (row for row in profile.urls if row.url and row.queries), key=lambda row: (-row.queries, str(row.url))
    )
    if not asked:
        return None
    following: dict[str, int] = {}
    for one in profile.findings:
        if one.verdict == "scales" and is_proven(one):
            following[one.url] = following.get(one.url, 0) + one.queries
    rows = [(str(row.url), row.queries, min(row.queries, following.get(str(row.url), 0))) for row in asked]
    shown = rows[:MOST]
    wide = width > 600
    top = max(queries for _, queries, _ in shown)
    fig = figure(width, 34 + (BAR if wide else BAR + 16) * len(shown))
    left = 230.0 if wide else 6.0
    ax = axes(fig, left, 6, 74, 28)
    step = BAR if wide else BAR + 16
    ax.set_xlim(0, top)
    ax.set_ylim(step * len(shown), 0)
    ax.set_yticks([])
    marks = ticks(float(top)) if top >= 5 else [float(n) for n in range(top + 1)]
    ax.set_xticks(marks, [count(mark) for mark in marks])
    ax.grid(True, axis="x", color=colour("line"), linewidth=1)
    for index, (url, queries, follow) in enumerate(shown):
        y = step * index + (BAR / 2 if wide else 16 + BAR / 2)
        if wide:
            text(ax, -0.012 * top, y, clean(url, 34), ha="right", fontsize=12)
        else:
            text(ax, 0, y - BAR / 2 - 7, clean(url, 44), ha="left", fontsize=12)
        ax.barh(y, queries, BAR - 7, color=colour("treatment"), linewidth=0)
        ax.barh(y, follow, BAR - 7, color=colour("refuted"), linewidth=0)
        text(ax, queries + 0.012 * top, y, count(queries), "mute", fontsize=11.5)
    worst = max(rows, key=lambda row: row[2])
    alt = f"Statements of {len(rows)} pages: {rows[0][0]} has the most, {count(rows[0][1])}."
    if worst[2]:
        alt += f" Of {worst[0]}, {count(worst[2])} were proven to follow the rows."
    more = "" if len(rows) == len(shown) else f" The {MOST} with the most are drawn, all are in the table."
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption=f"Statements for one warm view of each page. Red:{SPACE}those that were proven to follow the number of rows.{more}",
        columns=("page", "statements", "follow the rows"),
        rows=tuple((url, count(queries), count(follow)) for url, queries, follow in rows),
    )
