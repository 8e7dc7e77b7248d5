"""One step, observed: the statements of a call or of a notebook's cell, by call site, and what they look like."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from workbench.profile import findings, fingerprints, places
from workbench.profile.records import Finding, PageView, Query
from workbench.schema import from_json

#: Rows of the table, and characters of a statement in it.
ROWS, WIDTH = 20, 90


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
        findings: candidates: one run cannot show whether they follow the number of rows.
    """

    view: PageView
    findings: tuple[Finding, ...] = ()

    @property
    def queries(self) -> tuple[Query, ...]:
        return self.view.queries

    @property
    def attributed(self) -> bool:
        return self.view.pass_ == "attributed"  # noqa: S105 no password

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

    def to_frame(self) -> Any:
        """Every statement in its order, as a pandas DataFrame.

        Raises:
            ImportError: there is no pandas.
        """
        import pandas as pd

        columns = [
            "location",
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
        lines = [self._summary(), *(f"  {finding.location}: {finding.text}" for finding in self.findings)]
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
            f"<li><b>{html.escape(finding.kind)}</b> at {html.escape(finding.location)}: {html.escape(finding.text)}</li>"
            for finding in self.findings
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""
        return f"<div><p>{html.escape(self._summary())}</p>{f'<ul>{found}</ul>' if found else ''}{table}{notes}</div>"

    def _summary(self) -> str:
        number = len(self.queries)
        if not number:
            return "no statement: a queryset asks when it is read, not when it is made"
        spent = sum(query.milliseconds for query in self.queries)
        text = f"{number} statement{'' if number == 1 else 's'}, {len(self.by_site())} by place and text, {spent:.1f} ms in the database"
        if not self.attributed:
            text += f" of {self.view.milliseconds:.1f} ms"
        if self.attributed and not self.findings:
            text += ", none repeated for rows"
        return text

    def _notes(self) -> Iterator[str]:
        left = len(self.by_site()) - ROWS
        if left > 0:
            yield f"{left} more places; .by_site() and .to_frame() have all"
        if self.view.error:
            yield f"it ended with {self.view.error}"
        if self.findings:
            yield "candidates from one run: whether they follow the number of rows, workbench profile tests"
        if self.view.blocked:
            yield f"the sandbox kept it from: {', '.join(self.view.blocked)}"


class Observing:
    """Gets its step when what it observes has ended, well or not."""

    step: Step


@contextmanager
def observed(
    label: str, *, attributed: bool = True, named: Callable[[Any], Any] = lambda record: record
) -> Iterator[Observing]:
    """Observe what runs in this process meanwhile; Django is set up in it.

    Args:
        label: for people.
        attributed: relations and repetitions are told; without, the time of the whole step counts, and there are no findings.
        named: puts other names in the place of files.

    Raises:
        WorkbenchError: something is being observed already.
    """
    from workbench.errors import WorkbenchError
    from workbench.guest.calls import observing

    watching = observing(label, attributed=attributed)
    try:
        watching.__enter__()
    except RuntimeError as error:
        raise WorkbenchError(str(error), "let the other one end first") from error
    made = Observing()
    try:
        yield made
    except BaseException as error:
        watching.__exit__(type(error), error, error.__traceback__)
        made.step = step_of(named(watching.as_json()))
        raise
    watching.__exit__(None, None, None)
    made.step = step_of(named(watching.as_json()))


def step_of(record: Mapping[str, Any]) -> Step:
    """The step of what `workbench.guest.calls` has taken down."""
    view: PageView = from_json(PageView, dict(record))
    if view.pass_ != "attributed":  # noqa: S105 no password
        return Step(view)
    # What ran before an error stays of interest, unlike a page that failed.
    whole = replace(view, error=None)
    return Step(view, findings.findings(None, whole, whole))


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


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
