"""The statements of one page or step by time: a row for each place and text, in the order in which they first ran."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.chart import Chart
from workbench.charts.drawing import axes, clean, figure, text, to_svg
from workbench.charts.numbers import SPACE, count, number, ticks
from workbench.charts.palette import colour
from workbench.profile import places
from workbench.profile.records import PageView, Query

MOST = 24  # rows drawn; all statements are in the table
ROW, TOP, RIGHT, BOTTOM = 34.0, 8.0, 24.0, 32.0


def draw(view: PageView, name: str = "waterfall", width: float = 760) -> Chart | None:
    """Each run as a bar from its beginning to its end; None where no statement has a time.

    Args:
        view: of a pass whose statements have times.
        name: of the chart.
        width: in pixels.
    """
    timed = [query for query in view.queries if query.began is not None]
    if not timed:
        return None
    lanes: dict[tuple[str, str], list[Query]] = {}
    for query in timed:
        lanes.setdefault((places.of_query(query), query.sql), []).append(query)
    drawn = list(lanes.items())[:MOST]
    end = max(_end(query) for query in timed) or 1.0
    fig = figure(width, TOP + ROW * len(drawn) + BOTTOM)
    ax = axes(fig, 20, TOP, RIGHT, BOTTOM)
    ax.set_xlim(0, end)
    ax.set_ylim(ROW * len(drawn), 0)
    marks = ticks(end, 5)
    ax.set_xticks(marks, [f"{count(mark)}{SPACE}ms" for mark in marks])
    ax.set_yticks([])
    ax.grid(True, axis="x", color=colour("line"), linewidth=1)
    pixel = end / (width - 20 - RIGHT)
    for row, ((place, sql), queries) in enumerate(drawn):
        words = f"{len(queries)} × " if len(queries) > 1 else ""
        words += f"{place or 'no place of the project'}  {sql}"
        text(ax, 0, ROW * row + 9, clean(words, 100 if width > 600 else 45), ha="left", fontsize=11.5)
        bars = _bars(queries, pixel)
        ax.broken_barh(bars, (ROW * row + 18, 11), color=colour("treatment"), linewidth=0)
    alt = (
        f"{len(timed)} statement{'' if len(timed) == 1 else 's'} in {count(round(end, 1))} ms, from {len(lanes)} "
        f"place{'' if len(lanes) == 1 else 's'}; the most repeated ran {max(map(len, lanes.values()))} times."
    )
    more = f" The first {MOST} of {len(lanes)} rows are drawn." if len(lanes) > MOST else ""
    return Chart(
        name=name,
        svg=to_svg(fig, alt),
        alt=alt,
        caption=f"When each statement ran, by place and text, in the order of their first runs.{more}",
        columns=("began", "took", "rows", "place", "statement"),
        rows=tuple(
            (
                number(round(query.began or 0.0, 2), "ms"),
                number(round(query.milliseconds, 2), "ms"),
                "–" if query.rows < 0 else count(query.rows),
                places.of_query(query),
                query.sql,
            )
            for query in timed
        ),
    )


def _end(query: Query) -> float:
    return (query.began or 0.0) + query.milliseconds


def _bars(queries: Sequence[Query], pixel: float) -> list[tuple[float, float]]:
    """Beginnings and lengths; what would lie within one pixel is one bar, so that ten thousand runs stay a small picture."""
    bars: list[tuple[float, float]] = []
    for query in sorted(queries, key=lambda one: one.began or 0.0):
        began, end = query.began or 0.0, max(_end(query), (query.began or 0.0) + 2 * pixel)
        if bars and began - sum(bars[-1]) < pixel:
            start = bars[-1][0]
            bars[-1] = (start, max(end, sum(bars[-1])) - start)
        else:
            bars.append((began, end - began))
    return bars
