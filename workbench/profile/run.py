"""A whole profile: load the project, visit its pages, judge what they show, try advice; whatever one page does, the others are seen.

Each page is visited cold (with empty caches), warm (its times count), attributed (relations and producers are told) and, where
statements seem to follow rows, with a producer's rows cut. One page's failure is a row; a page that hangs is cut; a process that
dies is followed by another one.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.errors import WorkbenchError
from workbench.profile import answers, findings, loads, ranking, scaling
from workbench.profile.loading import DEMO, Data, Loaded
from workbench.profile.records import (
    Advice,
    Finding,
    PageView,
    Plan,
    Profile,
    ProjectFacts,
    ResponseRow,
    UrlRow,
)
from workbench.profile.suspects import Suspect
from workbench.profile.visitor import LostError, Visitor
from workbench.project import Project

#: Warm views of one page, of which the quickest counts; and milliseconds from which on one is enough.
WARM, SLOW = 2, 1_000.0

#: Told of each step: a stage ("pages"), how many are done, of how many, and what comes now.
Tell = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Options:
    """What is visited, and how.

    Attributes:
        data: where rows come from; None for the demo's own on the demo, else generated ones.
        urls: pages; None for those of the URL configuration.
        headers: of every request; never told to anybody.
        login: user name of the private copy whose session every request has.
        allow_network: other servers may be reached.
        seconds: that one view of a page may take.
        advise: advice is tried.
    """

    data: Data | None = None
    urls: tuple[str, ...] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: str | None = None
    allow_network: bool = False
    seconds: float = 30.0
    advise: bool = True


@dataclass(frozen=True)
class Page:
    """One page, as far as it was seen.

    Attributes:
        row: for the table.
        warm, attributed: its views; None where it did not get so far.
        suspects: judged.
        plans: of its statements.
    """

    row: UrlRow
    warm: PageView | None = None
    attributed: PageView | None = None
    suspects: tuple[Suspect, ...] = ()
    plans: tuple[Plan, ...] = ()


@dataclass(frozen=True)
class Advised:
    """What became of advice: the findings of all pages and of the project with what was tried, and words about it."""

    findings: tuple[Finding, ...]
    together: Mapping[str, Advice] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


#: Tries advice on what the pages showed: the project, its pages, headers, and whom to tell.
Advise = Callable[[Loaded, Sequence[Page], Mapping[str, str], Callable[[str], None]], Advised]


@dataclass(frozen=True)
class Profiled:
    """A profile with the warm views that it rests on, by URL."""

    profile: Profile
    views: Mapping[str, PageView]


def profiled(
    project: Project, options: Options | None = None, tell: Tell | None = None, advise: Advise | None = None
) -> Profiled:
    """Profile a project.

    Args:
        project: which.
        options: what is visited, and how.
        tell: told of each step.
        advise: tries advice; without it there is none.

    Returns:
        The profile. A Ctrl-C once pages are being visited ends it early, and `interrupted` says so.

    Raises:
        WorkbenchError: the project cannot be loaded, or its processes do not start.
        KeyboardInterrupt: before there was anything to keep.
    """
    chosen = options or Options()
    return _Run(project, chosen, tell or _silent, advise if chosen.advise else None).run()


def _silent(stage: str, done: int, total: int, text: str) -> None:
    pass


class _Run:
    def __init__(self, project: Project, options: Options, tell: Tell, advise: Advise | None) -> None:
        self._project = project
        self._options = options
        self._tell = tell
        self._advise = advise
        self._notes: list[str] = []
        self._seconds: dict[str, float] = {}
        self._pages: list[Page] = []
        self._rows: tuple[UrlRow, ...] = ()
        self._responses: list[ResponseRow] = []
        self._together: Mapping[str, Advice] = {}
        self._plans: list[Plan] = []
        self._headers: Mapping[str, str] = options.headers

    def run(self) -> Profiled:
        data = self._options.data or (DEMO if self._project.demo else Data())
        self._tell("loading", 0, 1, "private database, migrations and rows")
        began = time.monotonic()
        interrupted = False
        with Loaded(self._project, data, allow_network=self._options.allow_network) as loaded:
            facts = self._facts(loaded)
            self._seconds["loading"] = time.monotonic() - began
            found: tuple[Finding, ...] = ()
            try:
                facts = self._visit(loaded, facts)
                found = self._found()
                with self._timed("advice"):
                    found = self._advised(loaded, found)
            except KeyboardInterrupt:
                interrupted = True
                found = found or self._found()
            self._notes = [*loaded.notes, *self._notes]
        profile = Profile(
            project=facts,
            urls=self._table(),
            findings=ranking.ranked(found),
            notes=tuple(dict.fromkeys(self._notes)),
            responses=tuple(self._responses),
            together=self._together,
            seconds={name: round(value, 2) for name, value in self._seconds.items()},
            interrupted=interrupted,
        )
        return Profiled(profile, {one.row.url: one.warm for one in self._pages if one.row.url and one.warm})

    def _facts(self, loaded: Loaded) -> ProjectFacts:
        """The inventory, and the rows of the pages that are wanted."""
        with loaded.process() as process:
            self._tell("loading", 0, 1, "models and settings")
            facts = loaded.facts(process)
            if self._options.urls is not None:
                self._rows = tuple(UrlRow(template=url, view="", url=url) for url in self._options.urls)
            else:
                self._tell("loading", 0, 1, "URL configuration")
                self._rows = loaded.urls(process)
            try:
                # Last: its traces are no concern of what was asked before.
                sizes: dict[str, float] = process.call("workbench.guest.footprints:instances", 120)
            except WorkbenchError as error:
                self._notes.append(f"memory of instances was not measured: {error.problem}")
                return facts
        models = tuple(replace(row, instance_bytes=sizes.get(row.model)) for row in facts.models)
        return replace(facts, models=models)

    def _visit(self, loaded: Loaded, facts: ProjectFacts) -> ProjectFacts:
        rows = [row for row in self._rows if row.url]
        options = self._options
        with Visitor(loaded, options.headers, options.login, options.seconds) as visitor:
            try:
                with self._timed("pages"):
                    for number, row in enumerate(rows):
                        self._tell("pages", number, len(rows), str(row.url))
                        try:
                            self._pages.append(self._page(visitor, row))
                        except LostError as lost:
                            text = f"{lost}; another process was started for the pages after it"
                            self._pages.append(Page(replace(row, error=text)))
                with self._timed("responses"):
                    self._answers(visitor)
                self._headers = visitor.headers
            finally:
                visitor.close()
                asked = {**facts.blocked}
                for name, times in visitor.blocked.items():
                    asked[name] = asked.get(name, 0) + times
                facts = replace(facts, blocked=asked)
        return facts

    def _page(self, visitor: Visitor, row: UrlRow) -> Page:
        url = str(row.url)
        cold = visitor.visit(url, "cold")
        row = replace(row, cold_queries=len(cold.queries), cold_milliseconds=cold.milliseconds)
        if cold.error is not None and cold.error.startswith("cut "):
            return Page(_row(row, cold))
        warm = visitor.visit(url, "warm")
        for _ in range(WARM - 1):
            if warm.error or warm.milliseconds > SLOW:
                break
            warm = min(
                warm, visitor.visit(url, "warm"), key=lambda view: (bool(view.error), view.milliseconds)
            )
        row = _row(row, warm)
        if warm.error:
            return Page(row, warm)
        try:
            return self._looked_at(visitor, row, cold, warm)
        except LostError as lost:
            self._notes.append(f"{url}: what it asks for was not attributed: {lost}")
            return Page(row, warm)

    def _looked_at(self, visitor: Visitor, row: UrlRow, cold: PageView, warm: PageView) -> Page:
        url = str(row.url)
        attributed = visitor.visit(url, "attributed")
        if attributed.error or attributed.status != warm.status:
            why = attributed.error or f"it answered {attributed.status}, and {warm.status} before"
            self._notes.append(f"{url}: what it asks for was not attributed: {why}")
            return Page(row, warm)
        known = cold if cold.status == warm.status and not cold.error else None
        new = self._planned(visitor, warm)
        self._plans += new
        suspects = findings.suspects(known, warm, attributed, self._plans)

        def cut(limit: dict[str, Any]) -> PageView:
            try:
                return visitor.visit(url, "truncated", limit)
            except LostError as lost:
                return PageView(url, "truncated", 0, error=str(lost))

        return Page(row, warm, attributed, scaling.judged(suspects, attributed, cut), new)

    def _planned(self, visitor: Visitor, warm: PageView) -> tuple[Plan, ...]:
        try:
            return visitor.plans(warm, self._plans)
        except LostError as lost:
            self._notes.append(f"{warm.url}: its statements were not explained: {lost}")
            return ()

    def _answers(self, visitor: Visitor) -> None:
        seen = [one for one in self._pages if one.warm and one.warm.status == 200 and not one.row.error]
        for number, page in enumerate(seen):
            url = str(page.row.url)
            self._tell("responses", number, len(seen), url)
            try:
                told = visitor.call(
                    "workbench.guest.bodies:answers",
                    2 * self._options.seconds + 15,
                    url=url,
                    headers=visitor.headers,
                    seconds=self._options.seconds,
                )
            except LostError as lost:
                self._notes.append(f"{url}: its response was not weighed: {lost}")
                continue
            row = _weighed(url, told)
            if row is not None:
                self._responses.append(row)

    def _found(self) -> tuple[Finding, ...]:
        """The findings of all pages, without what another page has read after all."""
        self._pages = _kept(self._pages)
        return tuple(one.finding for page in self._pages for one in page.suspects)

    def _advised(self, loaded: Loaded, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
        if self._advise is None:
            return found
        self._tell("advice", 0, 1, "trying changes")
        pages = [page for page in self._pages if page.warm is not None]
        if not pages:
            return found
        tried = self._advise(loaded, pages, self._headers, lambda text: self._tell("advice", 0, 1, text))
        self._notes += tried.notes
        self._together = tried.together
        return tried.findings

    def _table(self) -> tuple[UrlRow, ...]:
        """All rows in the order of the configuration, those that were not reached too."""
        seen = {id(row): row for row in self._rows}
        visited = iter(self._pages)
        made = []
        for row in seen.values():
            page = next(visited, None) if row.url else None
            if page is not None:
                made.append(page.row)
            elif row.url:
                made.append(replace(row, error="not visited: the run was interrupted"))
            else:
                made.append(row)
        return tuple(made)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = time.monotonic() - began


def _row(row: UrlRow, view: PageView) -> UrlRow:
    return replace(
        row,
        status=view.status,
        queries=len(view.queries),
        milliseconds=round(view.milliseconds, 3),
        cold_milliseconds=round(row.cold_milliseconds, 3),
        bytes=view.bytes,
        error=view.error,
        wrote=view.wrote,
        blocked=view.blocked,
    )


def _weighed(url: str, told: Mapping[str, Any]) -> ResponseRow | None:
    """None where there is no body, or one that cannot be unpacked here."""
    if told["body"] is None:
        return None
    body = answers.plain(base64.b64decode(told["body"]), told["coding"])
    if body is None:
        return None
    sizes = answers.sizes(body) if body else {}
    return ResponseRow(
        url,
        told["kind"],
        len(body),
        sizes,
        told["sent"],
        told["coding"],
        told["validator"],
        told["repeated"],
    )


def _kept(pages: Sequence[Page]) -> list[Page]:
    views = [page.attributed for page in pages if page.attributed is not None]
    everything = [one.finding for page in pages for one in page.suspects]
    left = {id(one) for one in loads.read_elsewhere(everything, views)}
    return [
        replace(page, suspects=tuple(one for one in page.suspects if id(one.finding) in left))
        for page in pages
    ]
