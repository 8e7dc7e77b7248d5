"""Indexes that were tried: really made on the private database, planned and timed with, and dropped again."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stalwart.database.conditions import conditions, sort_columns
from stalwart.database.plans import nodes
from stalwart.database.suggestions import LARGE, Suggestion
from workbench.errors import WorkbenchError
from workbench.profile import fingerprints, interleaved, model_edits, pages, plan_table, planned, plans
from workbench.profile.grown import Grown
from workbench.profile.loading import Loaded
from workbench.profile.records import Advice, Finding, PageView, Plan, Query, TableFacts
from workbench.profile.settings_file import Change
from workbench.profile.source_files import read
from workbench.profile.trial_index import Place, TrialIndex
from workbench.project_process import ProjectProcess

#: Indexes that are tried for one profile.
MOST = 12
#: Statistics of a table that would be large enough, for asking what would then be suggested.
_LARGE = 1_000_000.0


@dataclass(frozen=True)
class Wanted:
    """An index as a plan suggests it.

    Attributes:
        table: its name.
        columns: in order, with a minus sign before one that falls.
        expression: in their place, as the plan has it.
        pattern: for patterns that begin with a percent sign.
    """

    table: str
    columns: tuple[str, ...]
    expression: str = ""
    pattern: bool = False


def advised(
    loaded: Loaded,
    findings: Sequence[Finding],
    all_plans: Sequence[Plan],
    *,
    headers: Mapping[str, str] | None = None,
    most: int = MOST,
) -> tuple[Finding, ...]:
    """The same findings; each missing index was made, and its advice says what came of it.

    Args:
        loaded: the project; nothing else may use its private databases meanwhile.
        findings: of any kind.
        all_plans: that they came of.
        headers: as the pages were visited with.
        most: indexes that are tried, those of the costliest findings first.
    """
    missing = [n for n, one in enumerate(findings) if one.kind == "missing-index"]
    missing.sort(key=lambda n: -findings[n].milliseconds)
    done = list(findings)
    for position, number in enumerate(missing):
        finding = findings[number]
        if position >= most:
            tried: tuple[Advice, ...] = (_untried(finding.text, f"not tried: {most} indexes were"),)
        else:
            tried = _tried(loaded, finding, all_plans, headers)
        done[number] = replace(finding, advice=(*finding.advice, *tried))
    return tuple(done)


def foreseen(
    loaded: Loaded,
    view: PageView,
    all_plans: Sequence[Plan],
    *,
    headers: Mapping[str, str] | None = None,
    rows: int = 12_000,
) -> tuple[Finding, ...]:
    """A second opinion where tables are small: indexes that a page will miss when they have grown.

    Tables whose rows the page's statements choose by a column without an index get made-up rows, in a copy of the private
    database that is thrown away; what is then found, and helps, is told as a finding of grown data.

    Args:
        loaded, all_plans, headers: as for `advised`.
        view: the warm one of the page.
        rows: that each of these tables gets.
    """
    found: list[Finding] = []
    for plan in all_plans:
        small = {name: one for name, one in plan.tables.items() if one.rows < LARGE}
        tables = {name: replace(one, rows=_LARGE) for name, one in small.items()}
        wanted = [
            one.finding for one in planned.planned(view, [_seen_large(plan, {**plan.tables, **tables})])
        ]
        names = {str(one.relation).partition(".")[0] for one in wanted if one.kind == "missing-index"} & set(
            small
        )
        if names:
            found += _grown(loaded, view, plan, sorted(names), headers, rows)
    return tuple(found)


def _seen_large(plan: Plan, tables: Mapping[str, TableFacts]) -> Plan:
    return replace(plan, tables=dict(tables))


def _grown(
    loaded: Loaded,
    view: PageView,
    plan: Plan,
    names: Sequence[str],
    headers: Mapping[str, str] | None,
    rows: int,
) -> list[Finding]:
    try:
        with Grown(loaded, plan.alias) as grown, loaded.process(grown.settings()) as process:
            grown.place.check(process)
            there = {
                name: int(process.call("workbench.guest.generate:grow", 300, table=name, rows=rows)["rows"])
                for name in names
            }
            grown.analyze()
            query = next(one for one in view.queries if one.alias == plan.alias and one.sql == plan.sql)
            if not plans.catch(process, view.url, [query], headers):
                return []
            again = plans.explained(process, plan.alias, plan.sql)
            found = []
            for one in planned.planned(view, [again]):
                table = str(one.finding.relation).partition(".")[0]
                if one.finding.kind != "missing-index" or table not in there:
                    continue
                before = f"{plan.tables[table].rows:,.0f} rows here, {there[table]:,} made up for this"
                advice = [
                    replace(tried, note=f"{before}. {tried.note}".strip())
                    for wanted in _wanted(again, one.finding)
                    for tried in [
                        _trial(loaded, grown.place, process, one.finding, again, wanted, headers, page=False)
                    ]
                ]
                if any(tried.rejected is None for tried in advice):
                    text = f"on grown data: {one.finding.text} ({before})"
                    found.append(replace(one.finding, text=text, advice=tuple(advice)))
            return found
    except WorkbenchError:
        return []  # an opinion that cannot be had


def _tried(
    loaded: Loaded, finding: Finding, all_plans: Sequence[Plan], headers: Mapping[str, str] | None
) -> tuple[Advice, ...]:
    plan = _plan_of(finding, all_plans)
    if plan is None:
        return (_untried(finding.text, "not tried: there is no plan of the statement"),)
    place = Place.of(loaded, plan.alias)
    found: list[Advice] = []
    try:
        with loaded.process() as process:
            place.check(process)
            pages.visit(process, finding.url, "cold", headers=headers)
            plans.catch(process, finding.url, [Query(plan.sql, 0.0, alias=plan.alias)], headers)
            found += [
                _trial(loaded, place, process, finding, plan, wanted, headers)
                for wanted in _wanted(plan, finding)
            ]
    except WorkbenchError as error:
        found.append(_untried(finding.text, f"it could not be tried: {error.problem}"))
    found.sort(key=lambda one: (one.rejected is not None, -(one.reduction or 0.0)))
    # One that helps is enough; of several that do not, the first says why.
    good = [one for one in found if one.rejected is None]
    return tuple(good[:1] or found[:1])


def _plan_of(finding: Finding, all_plans: Sequence[Plan]) -> Plan | None:
    text = fingerprints.of_text(finding.sql)
    return next((one for one in all_plans if one.sql == finding.sql), None) or next(
        (one for one in all_plans if fingerprints.of_text(one.sql) == text), None
    )


def _wanted(plan: Plan, finding: Finding) -> list[Wanted]:
    """The indexes to try for a finding, the plainest first."""
    for one in planned.suggestions(plan):
        if one.kind in planned.INDEXES and (
            one.text == finding.text or planned.relation_of(one) == finding.relation
        ):
            return _of_suggestion(plan, one)
    table, _, columns = str(finding.relation).partition(".")
    return [Wanted(table, tuple(columns.split(",")))] if columns else []


def _of_suggestion(plan: Plan, one: Suggestion) -> list[Wanted]:
    if one.kind == "sort-index":
        return _for_sort(plan, one)
    if one.kind in ("functional-index", "trigram"):
        pattern = one.kind == "trigram"
        for node in nodes(plan.tree):
            for known in conditions(str(node.facts.get("Filter", ""))) if node.relation == one.table else ():
                if known.columns == one.columns and known.pattern_open == pattern:
                    return [Wanted(one.table, one.columns, known.left if known.computed else "", pattern)]
    return [Wanted(one.table, one.columns)]


def _for_sort(plan: Plan, one: Suggestion) -> list[Wanted]:
    """In the order of the sort; and behind the columns that are compared with one value, where there are some."""
    keys: list[str] = next(
        (
            [str(key) for key in node.facts.get("Sort Key", ())]
            for node in nodes(plan.tree)
            if node.kind == "Sort" and sort_columns(node.facts.get("Sort Key", ())) == one.columns
        ),
        [],
    )
    falling = [" DESC" in key for key in keys] or [False] * len(one.columns)
    # Read backwards, an index serves an order that falls in all columns as well.
    mixed = len(set(falling)) > 1
    columns = tuple(
        ("-" if mixed and down else "") + name for name, down in zip(one.columns, falling, strict=True)
    )
    equal: list[str] = []
    for node in nodes(plan.tree):
        if node.relation == one.table:
            known = conditions(str(node.facts.get("Filter", "")))
            equal += [each.columns[0] for each in known if each.equal and not each.computed]
    first = [name for name in dict.fromkeys(equal) if name not in one.columns]
    found = [Wanted(one.table, columns)]
    return [Wanted(one.table, (*first, *columns)), *found] if first else found


def _trial(
    loaded: Loaded,
    place: Place,
    process: ProjectProcess,
    finding: Finding,
    plan: Plan,
    wanted: Wanted,
    headers: Mapping[str, str] | None,
    *,
    page: bool = True,
) -> Advice:
    """Make the index, and see what plan, statement and page say; the statement's values are in the process."""
    made = process.call(
        "workbench.guest.indexes:described",
        alias=plan.alias,
        table=wanted.table,
        columns=list(wanted.columns),
        expression=wanted.expression,
        pattern=wanted.pattern,
    )
    if made["problem"]:
        return _untried(finding.text, f"not tried: {made['problem']}")
    change, note = _change(loaded, made)
    try:
        with TrialIndex(place, made["name"], made["sql"], wanted.table, made["extension"]) as index:
            tried = _compared(
                process, index, finding, plan, made["name"], headers, change.diff, note, page=page
            )
    except WorkbenchError as error:
        return Advice(
            change.diff, applied=False, rejected=f"it could not be tried: {error.problem}", note=note
        )
    if tried.rejected is None:
        return replace(tried, rejected=_undeclared(loaded, change, made, plan, wanted.table))
    return tried


def _compared(
    process: ProjectProcess,
    index: TrialIndex,
    finding: Finding,
    plan: Plan,
    name: str,
    headers: Mapping[str, str] | None,
    change: str,
    note: str,
    *,
    page: bool,
) -> Advice:
    index.show(True)
    with_it = plans.explained(process, plan.alias, plan.sql)
    if not _uses(with_it, name):
        rows = with_it.tables.get(finding.relation.partition(".")[0] if finding.relation else "")
        why = "" if rows is None else f": the table has {rows.rows:,.0f} rows, and another way is cheaper"
        return Advice(change, applied=True, rejected=f"the planner does not use it{why}", note=note)

    def run(shown: bool) -> dict[str, Any]:
        index.show(shown)
        answer: dict[str, Any] = process.call(
            "workbench.guest.plans:timed", alias=plan.alias, sql=plan.sql, times=3
        )
        return answer

    before, after = interleaved.alternated(lambda: run(False), lambda: run(True))
    # The least of three: whatever else the machine did can only have added to it.
    off, on = ([min(one["milliseconds"]) for one in arm] for arm in (before, after))
    gain = interleaved.saving(off, on)
    said = f"the statement alone: {statistics.median(off):,.2f} → {statistics.median(on):,.2f} ms ({gain})"
    size = index.mebibytes
    cost = "" if size is None else f"; the index takes {size:,.1f} MiB, and every write keeps it up"
    note = f"{said}{cost}. {note}"
    rejected = None
    if len({one["digest"] for one in (*before, *after)}) > 1:
        rejected = "with it the statement gives other rows: its order leaves open which"
    elif not gain.shown:
        rejected = f"the statement is not measurably faster with it: {gain}"
    tried = Advice(change, applied=True, rejected=rejected, note=note)
    return _with_page(process, index, finding, tried, headers) if page else tried


def _with_page(
    process: ProjectProcess,
    index: TrialIndex,
    finding: Finding,
    tried: Advice,
    headers: Mapping[str, str] | None,
) -> Advice:
    """The page itself, with the index and without."""
    index.show(False)
    base = pages.baseline(process, finding.url, headers=headers)

    def visit(shown: bool) -> PageView:
        index.show(shown)
        views = [
            pages.visit(process, finding.url, "warm", headers=headers, masks=base.masks) for _ in range(2)
        ]
        return min(views, key=lambda one: one.milliseconds)

    before, after = interleaved.alternated(lambda: visit(False), lambda: visit(True), rounds=8)
    off, on = ([one.milliseconds for one in arm] for arm in (before, after))
    gain = interleaved.saving(off, on)
    tried = replace(
        tried,
        before=interleaved.measured(len(before[-1].queries), off),
        after=interleaved.measured(len(after[-1].queries), on),
        reduction=gain.share,
        reduction_low=gain.low,
        reduction_high=gain.high,
    )
    if not base.stable:
        note = f"{tried.note} The page's answer changes by itself ({base.reason}); the statement's rows are the same."
        return replace(tried, note=note)
    same = {one.digest for one in (*before, *after)} == {base.digest}
    error = next((one.error for one in after if one.error), None)
    if not same and tried.rejected is None:
        tried = replace(
            tried,
            rejected=f"the page fails with it: {error}" if error else "the page's answer is another with it",
        )
    return replace(tried, same_response=same)


def _uses(plan: Plan, name: str) -> bool:
    return any(row.index == name or f" {name} " in f" {row.node} " for row in plan_table.rows(plan))


def _untried(change: str, why: str) -> Advice:
    return Advice(change, applied=False, rejected=why)


def _change(loaded: Loaded, made: Mapping[str, Any]) -> tuple[Change, str]:
    """What to change in the project, and what to know of it."""
    root = loaded.project.root.resolve()
    path = Path(made["file"])
    note = "makemigrations makes its migration; on PostgreSQL AddIndexConcurrently lets a table in use be written meanwhile."
    if made["extension"]:
        note += f" It needs the extension {made['extension']} (TrigramExtension() in a migration before)."
    if made["app_needed"]:
        note += f" It needs {made['app_needed']} in INSTALLED_APPS."
    if made["call"] and path.is_file() and path.is_relative_to(root) and "site-packages" not in path.parts:
        source, encoding = read(path)
        index = model_edits.IndexCode(made["call"], tuple((name, module) for name, module in made["imports"]))
        text = source and model_edits.with_index(
            source, made["qualname"], index, inherited=made["inherited"], meta_base=made["meta_base"]
        )
        if source and text:
            edits = {str(path): text.encode(encoding)}
            return Change(model_edits.diff(path.relative_to(root).as_posix(), source, text), edits), note
        return Change(f"in the Meta of {made['model']}: indexes = [..., models.{made['call']}]"), note
    return Change(
        _migration(made)
    ), f"{made['model']} is not the project's own, so its models file is left alone."


def _undeclared(
    loaded: Loaded, change: Change, made: Mapping[str, Any], plan: Plan, table: str
) -> str | None:
    """Why the edited models file is not what was tried, seen in a process that runs with it; None when it is."""
    if change.edits is None:
        return None
    try:
        with loaded.process(edits=change.edits) as edited:
            unused = edited.call("workbench.guest.edited:unused")
            answer = edited.call("workbench.guest.indexes:declared", alias=plan.alias, table=table)
    except WorkbenchError as error:
        return f"the project does not start with the edited file: {error.problem}"
    if unused:
        return f"the edited file is not imported: {Path(unused[0]).name}"
    errors = [one for one in answer["errors"] if not made["app_needed"] or made["app_needed"] not in one]
    if errors:
        return f"Django refuses the edited model: {errors[0]}"
    return (
        None
        if made["sql"] in answer["sql"]
        else "the edited file declares another index than the one that was tried"
    )


def _migration(made: Mapping[str, Any]) -> str:
    create = made["create"]
    index = create.split(" ON ")[0].rpartition(" ")[2]
    concurrently = " CONCURRENTLY" if "CONCURRENTLY" in create else ""
    operations = [
        f"        migrations.RunSQL({create!r}, {f'DROP INDEX{concurrently} {index}'!r}),",
    ]
    if made["extension"]:
        operations.insert(
            0,
            "        # from django.contrib.postgres.operations import TrigramExtension\n        TrigramExtension(),",
        )
    return "\n".join(
        [
            f"{create};",
            "",
            "# In a migration of an app of yours:",
            "class Migration(migrations.Migration):",
            "    atomic = False",
            f'    dependencies = [("{made["app"]}", "{made["migration"]}")]  # and your own latest one',
            "    operations = [",
            *operations,
            "    ]",
            "",
        ]
    )
