"""Settings that keep database connections, tried on requests as a server makes them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.errors import WorkbenchError
from workbench.profile import interleaved, pages
from workbench.profile.loading import Loaded
from workbench.profile.pages import PATIENCE, Baseline
from workbench.profile.records import Advice, Finding, PageView
from workbench.profile.settings_file import Change, SettingsFile
from workbench.project_process import ProjectProcess

#: Requests of one arm in one round, and findings that are tried.
REQUESTS, MOST = 4, 5
_POSTGRESQL = ("postg", "psycopg", "psql")
_POOL = ((("OPTIONS", "pool"), "True"),)
_AGE = ((("CONN_MAX_AGE",), "60"), (("CONN_HEALTH_CHECKS",), "True"))
_LOOPBACK = "measured on this machine's own loopback, where a connection costs least"


def advised(
    loaded: Loaded,
    findings: Sequence[Finding],
    views: Sequence[PageView],
    *,
    headers: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """The same findings, those of connections with advice; behind them one of the project, where each request opens its own.

    Args:
        loaded: the project.
        findings: of any kind; pages that open a connection for each statement are tried with a pool.
        views: warm ones of the project's pages; what a request costs is seen on one that writes nothing.
        headers: as they were visited with.

    Raises:
        WorkbenchError: the project does not start, which it did before.
    """
    done = list(findings)
    wrote = {one.url for one in views if one.wrote}
    asked = [n for n, one in enumerate(findings) if one.kind == "connection-per-query"]
    typical = _typical(views)
    if not asked and (typical is None or loaded.server is None):
        return tuple(done)
    with loaded.process() as process:
        file, facts = SettingsFile.of(loaded, process), process.call("workbench.guest.responses:facts")
        for position, number in enumerate(asked):
            finding = findings[number]
            if position >= MOST:
                advice = _untried("a pool", f"not tried: {MOST} pages were")
            elif finding.url in wrote:
                advice = _untried(
                    "a pool", "not tried: the page writes, and requests as a server makes them stay"
                )
            else:
                advice = _pooled(loaded, process, file, facts, _alias(finding, views), finding.url, headers)
            done[number] = replace(finding, advice=(*finding.advice, advice))
        if typical is not None:
            done += _per_request(loaded, process, file, facts, typical, headers)
    return tuple(done)


def _typical(views: Sequence[PageView]) -> PageView | None:
    """The page in the middle by its time, of those that read and do not write."""
    found = [one for one in views if one.status == 200 and one.queries and not one.wrote and not one.error]
    found.sort(key=lambda one: one.milliseconds)
    return found[len(found) // 2] if found else None


def _alias(finding: Finding, views: Sequence[PageView]) -> str:
    for view in views:
        for query in view.queries:
            if view.url == finding.url and query.sql == finding.sql:
                return query.alias
    return "default"


def _untried(change: str, why: str) -> Advice:
    return Advice(change, applied=False, rejected=why)


def _hindrance(loaded: Loaded, facts: Mapping[str, Any], alias: str, *, pool: bool) -> str | None:
    """Why it would say nothing of the project's own database."""
    own = facts["databases"].get(alias)
    if own is None or not any(word in own["engine"] for word in _POSTGRESQL):
        return f"not tried: the project's own {alias} is no PostgreSQL"
    if loaded.server is None:
        return (
            "not tried: SQLite stands in for the project's database, and opening a file costs next to nothing"
        )
    if pool and own["pool"]:
        return "it has a pool"
    if pool and own["age"] not in (0, None):
        return "not tried: a pool and CONN_MAX_AGE exclude each other"
    if pool and not facts["pooling"]:
        return "not tried: a pool needs Django 5.1 and psycopg_pool in the project's environment"
    return None


def _pooled(
    loaded: Loaded,
    process: ProjectProcess,
    file: SettingsFile,
    facts: Mapping[str, Any],
    alias: str,
    url: str,
    headers: Mapping[str, str] | None,
) -> Advice:
    change = file.with_database(alias, _POOL)
    if why := _hindrance(loaded, facts, alias, pool=True):
        return _untried(change.diff, why)
    note = "its size must suffice for all threads of a process that ask at once, and the server's max_connections for all processes"
    return _tried(loaded, process, url, change, headers, note)


def _per_request(
    loaded: Loaded,
    process: ProjectProcess,
    file: SettingsFile,
    facts: Mapping[str, Any],
    view: PageView,
    headers: Mapping[str, str] | None,
) -> list[Finding]:
    alias = view.queries[0].alias
    own = facts["databases"].get(alias) or {}
    if own.get("age", 0) not in (0, "0") or own.get("pool") or _hindrance(loaded, facts, alias, pool=False):
        return []
    kept = "each thread then keeps a connection, which max_connections must allow for; under ASGI take a pool instead"
    advice = [_tried(loaded, process, view.url, file.with_database(alias, _AGE), headers, kept)]
    if not _hindrance(loaded, facts, alias, pool=True):
        advice.append(_pooled(loaded, process, file, facts, alias, view.url, headers))
    advice.sort(key=lambda one: (one.rejected is not None, -(one.reduction or 0.0)))
    text = f"each request opens a connection to {alias}: CONN_MAX_AGE is 0, and there is no pool"
    location = file.location("DATABASES")
    return [Finding("connection-per-request", view.url, None, location, len(view.queries), view.milliseconds, text=text, advice=tuple(advice))]  # fmt: skip


def _tried(
    loaded: Loaded,
    process: ProjectProcess,
    url: str,
    change: Change,
    headers: Mapping[str, str] | None,
    note: str,
) -> Advice:
    """The edited settings file, run beside the one as it is."""
    if change.edits is None:
        return _untried(change.diff, "not tried: the settings file could not be edited")
    base = pages.baseline(process, url, headers=headers)
    try:
        with loaded.process(edits=change.edits) as edited:
            before, after = interleaved.alternated(
                lambda: _requests(process, url, headers, base),
                lambda: _requests(edited, url, headers, base),
                rounds=6,
            )
            unused = edited.call("workbench.guest.edited:unused")
        seen = {one for arm in (before, after) for answer in arm for one in answer["digests"]}
        stable = base.stable
        if stable and len(seen) > 1:
            # Two processes may differ without any edit: by what each has cached, or drawn at its start.
            with loaded.process() as control:
                pages.visit(control, url, "warm", headers=headers)
                known = {one for answer in before for one in answer["digests"]}
                stable = known == set(_requests(control, url, headers, base)["digests"])
    except WorkbenchError as error:
        return _untried(change.diff, f"it could not be tried: {error.problem}")
    if unused:
        return _untried(change.diff, f"not tried: {unused[0]} is not imported")
    off, on = ([statistics.median(one["milliseconds"]) for one in arm] for arm in (before, after))
    gain = interleaved.saving(off, on)
    opened = [sum(one["opened"] for one in arm) for arm in (before, after)]
    number = REQUESTS * len(before)
    failed = next((one["error"] for one in (*before, *after) if one["error"]), None)
    rejected = None
    if failed:
        rejected = f"the page fails: {failed}"
    elif stable and len(seen) > 1:
        rejected = "the page's answer is another with it"
    elif not gain.shown:
        rejected = f"a request is not measurably faster with it: {gain}"
    queries = len(pages.visit(process, url, "warm", headers=headers).queries)
    return Advice(
        change.diff,
        applied=True,
        before=interleaved.measured(queries, off),
        after=interleaved.measured(queries, on),
        same_response=len(seen) == 1 if stable else None,
        rejected=rejected,
        reduction=gain.share,
        reduction_low=gain.low,
        reduction_high=gain.high,
        note=f"{opened[0]} → {opened[1]} connections opened for {number} requests, {_LOOPBACK}; {note}",
    )


def _requests(
    process: ProjectProcess, url: str, headers: Mapping[str, str] | None, base: Baseline
) -> dict[str, Any]:
    answer: dict[str, Any] = process.call(
        "workbench.guest.connections:requests",
        REQUESTS * PATIENCE,
        url=url,
        times=REQUESTS,
        headers=headers,
        masks=list(base.masks),
    )
    if not answer["milliseconds"]:
        raise WorkbenchError(
            f"{url} fails: {answer['error']}", "visit it alone: its error is in the table of pages"
        )
    return answer
