"""How the database runs the statements of a page: their plans, without a value in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from stalwart.database.explain import TABLES, numbered
from stalwart.database.plans import without_values
from stalwart.database.watch import first_word
from workbench.profile import fingerprints
from workbench.profile.pages import PATIENCE
from workbench.profile.records import PageView, Plan, Query, TableFacts
from workbench.project_process import ProjectProcess

#: Statements of one page that are looked at.
MOST = 12
#: The first words of what has a plan and changes nothing.
_PLANNED = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})
_LONGEST = 50_000  #: from this length on the record of a statement is cut


def of(
    process: ProjectProcess,
    view: PageView,
    *,
    headers: Mapping[str, str] | None = None,
    known: Collection[Plan] = (),
    most: int = MOST,
) -> tuple[Plan, ...]:
    """Plans of the statements with which a page reads, each once; the costliest first.

    On a private database they are run once more for it (in a transaction that may only read), so that the plans tell what
    really happened; on any other, and where that takes too long, the plans are the planner's expectation.

    Args:
        process: the one that was visited; the page is visited once more, to have the values.
        view: the warm one.
        headers: as it was visited with.
        known: plans of pages before; what they tell is not asked again.
        most: statements that are looked at.

    Returns:
        One for each statement; without a tree, and with the reason, where there is no plan.

    Raises:
        WorkbenchError: the process died or hangs; a statement that cannot be explained says so in its record.
    """
    chosen = list(_chosen(view, known))[:most]
    if not chosen:
        return ()
    catch(process, view.url, chosen, headers)
    return tuple(explained(process, query.alias, query.sql) for query in chosen)


def catch(
    process: ProjectProcess, url: str, queries: Collection[Query], headers: Mapping[str, str] | None = None
) -> int:
    """Have the process keep the values that a page gives to these statements; they stay there. How many it ran."""
    wanted = [[query.alias, query.sql] for query in queries]
    return int(process.call("workbench.guest.plans:catch", PATIENCE, url=url, wanted=wanted, headers=headers))


def explained(process: ProjectProcess, alias: str, sql: str) -> Plan:
    """The plan of one statement, with its values where `catch` has them."""
    answer = process.call(
        "workbench.guest.plans:explained",
        PATIENCE,
        alias=alias,
        sql=sql,
        numbered=numbered(sql),
        tables=TABLES,
    )
    tables = {
        name: TableFacts(float(one["rows"]), tuple((str(how), str(first)) for how, first in one["indexes"]))
        for name, one in answer["tables"].items()
    }
    return Plan(
        sql,
        alias,
        _clean(answer["plan"]),
        tables,
        answer["work_mem"],
        analysed=bool(answer["analysed"]),
        note=str(answer["note"]),
    )


def _clean(tree: Any) -> Any:
    """Without values; SQLite's lines name tables and columns only."""
    if isinstance(tree, list) and all(isinstance(line, str) for line in tree):
        return tree
    return without_values(tree)


def _chosen(view: PageView, known: Collection[Plan]) -> Iterator[Query]:
    """Of each text its slowest run, those first that took the most time together."""
    seen = {(plan.alias, fingerprints.of_text(plan.sql)) for plan in known}
    groups: dict[tuple[str, str], list[Query]] = {}
    for query in view.queries:
        if query.failed or len(query.sql) >= _LONGEST or not fingerprints.reads(query):
            continue
        if first_word(query.sql) not in _PLANNED:
            continue
        key = (query.alias, fingerprints.of(query))
        if key not in seen:
            groups.setdefault(key, []).append(query)
    for same in sorted(groups.values(), key=lambda one: -sum(query.milliseconds for query in one)):
        yield max(same, key=lambda query: query.milliseconds)
