"""The project's section: what its pages ask of the database, what was proven, which changes were tried, and what stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.charts import pages as page_chart
from workbench.charts.numbers import count, data, seconds
from workbench.profile import ranking
from workbench.profile.ranking import Problem
from workbench.profile.records import Advice, Measured, ModelRow, Profile, ResponseRow
from workbench.report import pictures
from workbench.report.tables import Cell, Chip, Table, limited
from workbench.report.words import plural

#: What a kind is called for people, and what it costs.
KINDS = {
    "n-plus-one": "N+1",
    "query-in-loop": "Query in a loop",
    "count-in-loop": "Counting in a loop",
    "duplicate": "The same again",
    "per-row-write": "Row by row writes",
    "unused-eager-load": "Loaded along for nothing",
    "over-fetching": "Columns for nothing",
    "missing-iterator": "All rows at once",
    "missing-index": "Missing index",
    "slow-plan": "Slow plan",
    "long-transaction": "Transaction held too long",
    "connection-per-query": "A connection for each query",
    "connection-per-request": "A connection for each request",
    "uncompressed-response": "Uncompressed answers",
    "no-conditional-get": "Unchanged pages sent again",
}
#: Pages that are named at a problem.
NAMED = 6


@dataclass(frozen=True)
class Line:
    """One line of a change: `sign` is "+", "-", "@" or ""."""

    sign: str
    text: str


@dataclass(frozen=True)
class Tried:
    """A change, for the page."""

    url: str
    lines: tuple[Line, ...]
    figures: Table | None
    verdict: str
    note: str
    rejected: str


@dataclass(frozen=True)
class Shown:
    """One problem, for the page."""

    anchor: str
    name: str
    chip: Chip
    location: str
    text: str
    pages: str
    sql: str
    accepted: tuple[Tried, ...]
    rejected: tuple[Tried, ...]


@dataclass(frozen=True)
class Section:
    """All that the template shows; a table that is None is left out with its heading."""

    name: str
    meta: str
    tally: tuple[tuple[str, str], ...]
    interrupted: str
    problems: tuple[Shown, ...]
    together: tuple[tuple[str, Tried], ...]
    chart: pictures.Picture | None
    chart_table: Table | None
    pages: Table
    responses: Table | None
    models: Table | None
    settings: Table | None
    blocked: str
    notes: tuple[str, ...]
    took: str


def section(profile: Profile) -> Section:
    """Build the section of a project."""
    facts = profile.project
    found = ranking.problems(profile.findings)
    seen = [row for row in profile.urls if row.status]
    proven = sum(ranking.standing(one.worst).startswith("proven") for one in found)
    accepted = sum(any(a.rejected is None for a in one.worst.advice) for one in found)
    drawn, narrow = page_chart.draw(profile), page_chart.draw(profile, width=pictures.NARROW)
    return Section(
        name=facts.name,
        meta=f"Django {facts.django}, Python {facts.python} ({facts.interpreter}) · {facts.database}",
        tally=(
            (count(len(seen)), "pages visited"),
            (count(len(found)), "findings"),
            (count(proven), "proven by cutting rows"),
            (count(accepted), "with a change that held"),
        ),
        interrupted="The run was interrupted; this is what had been seen." if profile.interrupted else "",
        problems=tuple(_shown(number, one) for number, one in enumerate(found, 1)),
        together=tuple((url, _tried(advice, url)) for url, advice in profile.together.items()),
        chart=None if drawn is None else pictures.picture(drawn, narrow),
        chart_table=None if drawn is None else pictures.data_table(drawn),
        pages=_pages(profile),
        responses=_responses(profile.responses),
        models=_models(facts.models),
        settings=_settings(profile),
        blocked=", ".join(
            f"{name} ({plural(times, 'time')})" if times else name
            for name, times in sorted(facts.blocked.items())
        ),
        notes=profile.notes,
        took=", ".join(f"{name} {seconds(value)}" for name, value in profile.seconds.items()),
    )


def _shown(number: int, problem: Problem) -> Shown:
    worst = problem.worst
    more = len(problem.urls) - NAMED
    tried = [_tried(advice, url) for url, advice in problem.tried]
    return Shown(
        anchor=f"finding-{number}",
        name=KINDS.get(worst.kind, worst.kind),
        chip=_chip(problem),
        location=worst.location or "no line of the project",
        text=worst.text + (f", {seconds(worst.milliseconds / 1000)}" if worst.milliseconds else ""),
        pages=", ".join(problem.urls[:NAMED]) + (f" and {more} more" if more > 0 else ""),
        sql=worst.sql,
        accepted=tuple(one for one in tried if not one.rejected),
        rejected=tuple(one for one in tried if one.rejected),
    )


def _chip(problem: Problem) -> Chip:
    standing = ranking.standing(problem.worst)
    if standing.startswith("proven"):
        return Chip("refuted", standing.capitalize())
    if standing == "does not follow the rows":
        return Chip("not-run", "Does not follow the rows")
    return Chip("inconclusive", standing.capitalize())


def _tried(advice: Advice, url: str) -> Tried:
    lines = tuple(
        Line(sign if sign in "+-@" and not line.startswith(("+++", "---")) else "", line)
        for line in advice.change.rstrip().splitlines()
        for sign in (line[:1] or " ",)
    )
    same = {True: "The response is the same.", False: "The response is another one.", None: ""}
    return Tried(
        url,
        lines,
        _figures(advice),
        f"Tried on {url}. {same[advice.same_response]}".strip(),
        advice.note,
        "" if advice.rejected is None else advice.rejected,
    )


def _figures(advice: Advice) -> Table | None:
    sides = [
        (name, one) for name, one in (("before", advice.before), ("after", advice.after)) if one is not None
    ]
    if not sides:
        return None
    return Table(
        caption="Fresh processes of each side; the interval is that of the milliseconds, at 95 %.",
        columns=("", "Queries", "Time", "Interval", "Memory"),
        rows=tuple((name, *_side(one)) for name, one in sides),
        right=frozenset({1, 2, 3, 4}),
    )


def _side(one: Measured) -> tuple[str, str, str, str]:
    memory = "–" if one.mebibytes is None else f"{one.mebibytes:.1f} MiB"
    return (
        count(one.queries),
        seconds(one.milliseconds / 1000),
        f"{seconds(one.low / 1000)} – {seconds(one.high / 1000)}",
        memory,
    )


def _pages(profile: Profile) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for row in profile.urls:
        said = [row.error or ""]
        said += ["changes data when it is read; that was rolled back"] if row.wrote else []
        said += [f"kept from: {', '.join(row.blocked)}"] if row.blocked else []
        said += ["asks for a login"] if row.login else []
        if row.url is None and not row.error:
            said.append("no GET")
        figures = (
            (
                str(row.status),
                count(row.queries),
                count(row.cold_queries),
                seconds(row.milliseconds / 1000),
                data(row.bytes),
            )
            if row.status
            else ("–",) * 5
        )
        rows.append((row.url or row.template, *figures, "; ".join(filter(None, said))))
    return limited(
        "The pages, one warm view each; cold is the first view, with empty caches.",
        ("Page", "Status", "Queries", "Cold", "Time", "Size", "Noticed"),
        rows,
        right=(1, 2, 3, 4, 5),
    )


def _responses(rows: Sequence[ResponseRow]) -> Table | None:
    if not rows:
        return None
    codings = list(dict.fromkeys(coding for row in rows for coding in row.sizes))
    made = [
        (
            row.url,
            row.kind.partition(";")[0],
            data(row.bytes),
            f"{data(row.sent)} {row.coding}".strip(),
            *(data(row.sizes[coding]) if coding in row.sizes else "–" for coding in codings),
            "whole" if row.repeated is None else f"{data(row.repeated)} ({row.validator})",
        )
        for row in sorted(rows, key=lambda row: row.sizes.get("gzip", 0) - row.sent)
    ]
    return limited(
        "Responses: their size, what a browser is sent, how small they could be, and what is sent when it asks again and"
        " nothing has changed. Those that could save most come first.",
        ("Page", "Type", "Size", "As sent", *codings, "Asked again"),
        made,
        right=range(2, 4 + len(codings)),
    )


def _models(rows: Sequence[ModelRow]) -> Table | None:
    if not rows:
        return None
    made = []
    for row in rows:
        each, number = row.instance_bytes, row.rows
        made.append(
            (
                row.model,
                "–" if number is None else count(number),
                "–" if row.bytes is None else data(row.bytes),
                "–" if each is None else data(each),
                "–" if each is None or number is None else data(each * number),
                row.error or "; ".join(row.indexes),
            )
        )
    return limited(
        "Models in the private copy. Memory is what Python allocates for an instance with its values; the last figure is what a"
        " list of all rows would take.",
        ("Model", "Rows", "Table and indexes", "One instance", "All instances", "Indexes"),
        made,
        right=(1, 2, 3, 4),
    )


def _settings(profile: Profile) -> Table | None:
    rows = sorted(profile.project.settings_rows, key=lambda row: row.good)
    if not rows:
        return None
    made: list[tuple[Cell, ...]] = [
        (
            row.name,
            row.value,
            Chip("supported", "Good") if row.good else Chip("inconclusive", "Missing"),
            row.advice,
        )
        for row in rows
    ]
    return limited(
        "Settings that matter for resilience.", ("Setting", "Value", "Verdict", "What is missing"), made
    )
