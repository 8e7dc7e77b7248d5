"""One step, observed: the statements of a call, a page or a notebook's cell, by call site and by time, and what they look like."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.profile import fingerprints, places, scaling
from workbench.profile.records import Finding, PageView, Query

if TYPE_CHECKING:
    from workbench.charts import Chart

#: Rows of the table, and characters of a statement in it.
ROWS, WIDTH = 20, 90
_CLASS = "stalwart-step"


@dataclass(frozen=True)
class SiteRow:
    """The runs of one statement from one place.

    Attributes:
        location: "file:line" of the nearest frame that is the project's, or the cell's; "" where there is none.
        runs: how often it ran.
        distinct: with how many different values; None where that was not looked at.
        milliseconds: in the database, of all runs.
        rows: that all runs returned or changed; -1 where the driver does not tell.
        relation: "app.Model.field" where Django's frames name it.
        sql: with placeholders.
    """

    location: str
    runs: int
    distinct: int | None
    milliseconds: float
    rows: int
    relation: str | None
    sql: str


@dataclass(frozen=True)
class Step:
    """What one step asked of the database.

    Attributes:
        view: its statements, as those of a page.
        findings: as in a profile's document; where a verdict is "untested", one run alone has been seen.
        attributed: relations and repetitions were looked for.
        timed: the time of the whole step counts: nothing but a clock was added to it.
    """

    view: PageView
    findings: tuple[Finding, ...] = ()
    attributed: bool = True
    timed: bool = False

    @property
    def queries(self) -> tuple[Query, ...]:
        return self.view.queries

    def by_site(self) -> tuple[SiteRow, ...]:
        """The statements grouped by place and text, the most time first."""
        groups: dict[tuple[str, str], list[int]] = {}
        for position, query in enumerate(self.queries):
            groups.setdefault((places.of_query(query), fingerprints.of(query)), []).append(position)
        rows = [self._row(location, positions) for (location, _), positions in groups.items()]
        return tuple(sorted(rows, key=lambda row: (-row.milliseconds, -row.runs)))

    def _row(self, location: str, positions: list[int]) -> SiteRow:
        queries = [self.queries[position] for position in positions]
        values = {
            position if (first := self.queries[position].same_as) is None else first for position in positions
        }
        counts = [fingerprints.rows_of(self.view, query) for query in queries]
        return SiteRow(
            location,
            len(queries),
            len(values) if self.attributed else None,
            sum(query.milliseconds for query in queries),
            -1 if min(counts) < 0 else sum(counts),
            next((query.relation for query in queries if query.relation), None),
            queries[0].sql,
        )

    def chart(self) -> Chart | None:
        """The waterfall: every statement by time, a row for each place and text; None without statements.

        Raises:
            ImportError: there is no matplotlib.
        """
        from workbench.charts import waterfall

        return waterfall.draw(self.view)

    def to_dataframe(self) -> Any:
        """Every statement in its order, as a pandas DataFrame.

        Raises:
            ImportError: there is no pandas.
        """
        import pandas as pd

        columns = [
            "location",
            "began",
            "milliseconds",
            "rows",
            "origin",
            "relation",
            "alias",
            "thread",
            "failed",
            "sql",
        ]
        lines = [
            [places.of_query(query), *(getattr(query, name) for name in columns[1:])]
            for query in self.queries
        ]
        return pd.DataFrame(lines, columns=columns)

    def __repr__(self) -> str:
        lines = [self._summary(), *(f"  {one.location}: {_told(one)}" for one in self.findings)]
        for row in self.by_site()[:ROWS]:
            lines.append(f"{row.runs:>5} × {row.milliseconds:8.2f} ms  {row.location or '-'}")
            lines.append(f"        {_short(row.sql)}")
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        heads = ("place", "runs", "distinct", "ms in the database", "rows", "relation", "statement")
        head = "".join(f"<th>{name}</th>" for name in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in _texts(row)) + "</tr>"
            for row in self.by_site()[:ROWS]
        )
        found = "".join(
            f"<li><b>{html.escape(one.kind)}</b> at {html.escape(one.location)}: {html.escape(_told(one))}</li>"
            for one in self.findings
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""
        list_ = f"<ul>{found}</ul>" if found else ""
        return f'<div class="{_CLASS}"><p>{html.escape(self._summary())}</p>{list_}{table}{self._picture()}{notes}</div>'

    def _picture(self) -> str:
        if len(self.queries) < 2:
            return ""
        try:
            from workbench.charts.palette import theme_css

            chart = self.chart()
        except ImportError:  # a project's own environment need not have matplotlib
            return ""
        if chart is None:
            return ""
        style = f"<style>{theme_css(f'.{_CLASS}')}.{_CLASS} svg{{max-width:100%;height:auto}}</style>"
        return f"{style}<figure>{chart.svg}<figcaption>{html.escape(chart.caption)}</figcaption></figure>"

    def _summary(self) -> str:
        number = len(self.queries)
        if not number:
            return "no statement: a queryset asks when it is read, not when it is made"
        spent = sum(query.milliseconds for query in self.queries)
        text = f"{number} statement{'' if number == 1 else 's'}, {len(self.by_site())} by place and text, {spent:.1f} ms in the database"
        if self.timed:
            text += f" of {self.view.milliseconds:.1f} ms"
        if self.attributed and not self.findings and not self.view.error:
            text += ", none repeated for rows"
        return text

    def _notes(self) -> Iterator[str]:
        left = len(self.by_site()) - ROWS
        if left > 0:
            yield f"{left} more places; .by_site() and .to_dataframe() have all"
        if self.view.error:
            yield f"it ended with {self.view.error}"
        if any(one.verdict == "untested" and one.kind in scaling.KINDS for one in self.findings):
            yield "untested: one run cannot show whether they follow the number of rows"
        if self.view.blocked:
            yield f"the sandbox kept it from: {', '.join(self.view.blocked)}"


def _texts(row: SiteRow) -> tuple[str, ...]:
    return (
        row.location,
        str(row.runs),
        "" if row.distinct is None else str(row.distinct),
        f"{row.milliseconds:.2f}",
        "" if row.rows < 0 else str(row.rows),
        row.relation or "",
        _short(row.sql),
    )


def _told(finding: Finding) -> str:
    if finding.kind not in scaling.KINDS:  # nothing that could follow rows
        return finding.text
    steep = "" if finding.slope is None else f", {finding.slope:g} for each row"
    return f"{finding.text} ({finding.verdict}{steep})"


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
