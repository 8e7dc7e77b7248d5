"""The plain records of a profile: observations that come from the project's process, and what is concluded from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from workbench.records import Json

Pass = Literal["cold", "warm", "attributed", "truncated", "advised"]
Verdict = Literal["scales", "flat", "untested"]
Kind = Literal[
    "n-plus-one",
    "query-in-loop",
    "count-in-loop",
    "duplicate",
    "per-row-write",
    "unused-eager-load",
    "over-fetching",
    "missing-iterator",
    "missing-index",
    "slow-plan",
    "long-transaction",
    "connection-per-query",
    "connection-per-request",
    "uncompressed-response",
    "no-conditional-get",
]


#: Kinds whose statements can follow the number of rows; of the others it is enough that they were seen.
FOLLOWING: frozenset[Kind] = frozenset({"n-plus-one", "query-in-loop", "count-in-loop", "per-row-write"})


@dataclass(frozen=True)
class Site:
    """A place in the project's code.

    Attributes:
        file: path below the project's root where it lies there, else absolute.
        line: from 1.
        function: name of the code object.
        lasti: offset of the instruction, which tells two calls on one line apart; -1 when unknown.
    """

    file: str
    line: int
    function: str = ""
    lasti: int = -1

    @property
    def location(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Query:
    """One statement of one page view.

    Attributes:
        sql: with placeholders; never the values.
        milliseconds: from execute to its return.
        rows: that it returned or changed; -1 when unknown.
        alias: of the database.
        thread: name of the thread.
        origin: what in Django made it: "lazy", "related", "prefetch", "deferred", "get", "count", "exists", "aggregate",
            "first", "iterate", "bulk", "delete", "save", "raw", "other".
        site: first frame of the project; None when there is none.
        template: place in a template where one caused it, line as Django counts.
        relation: "app.Model.field" where Django's own frames name it.
        producer: id of the batch whose instance asked for it.
        batch: id of the batch that it filled.
        failed: it raised.
        same_as: position of the first statement of this view with the same text and the same values; None when it is that one
            itself, or the pass does not tell (only one that tells producers does).
        opened: a connection had to be opened for it: the first statement of a thread, or one after the page closed its own.
        began: milliseconds from the beginning of the view; None when unknown.
    """

    sql: str
    milliseconds: float
    rows: int = -1
    alias: str = "default"
    thread: str = ""
    origin: str = "other"
    site: Site | None = None
    template: Site | None = None
    relation: str | None = None
    producer: int | None = None
    batch: int | None = None
    failed: bool = False
    same_as: int | None = None
    opened: bool = False
    began: float | None = None


@dataclass(frozen=True)
class Batch:
    """One evaluation of a queryset that made instances; only in an attributed pass.

    Attributes:
        id: within the page view.
        model: "app.Model".
        rows: instances made.
        created: the places of the project where the queryset came into being and was refined, first to last.
        evaluated: the place where it was evaluated.
        template: that of a template, where one evaluated it.
        parent: the batch whose instances it was fetched for, and by which step ("lazy owner", "related items", ...).
        step: see parent.
        kept: the whole result was kept in memory, as the queryset's cache does; `iterator()` does not.
        unread: what `select_related` loaded along, by its path, and nothing ever read.
        ignored: a prefetch that nothing ever read.
        bytes: of texts, binary values and JSON in its rows, roughly.
        unread_columns: those of columns that nothing ever read.
    """

    id: int
    model: str
    rows: int
    created: tuple[Site, ...] = ()
    evaluated: Site | None = None
    template: Site | None = None
    parent: int | None = None
    step: str = ""
    kept: bool = False
    unread: tuple[str, ...] = ()
    ignored: bool = False
    bytes: int = 0
    unread_columns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Transaction:
    """One transaction of the page's own, or the one that `ATOMIC_REQUESTS` opens for it.

    Attributes:
        alias: of the database.
        site: where the block is entered, or its first statement; None when the project has no line there.
        milliseconds: that it was open.
        busy: of these, within its statements; the rest its connection waited, and whatever it had locked.
        queries: statements in it.
        wrote: one of them changes data.
    """

    alias: str
    site: Site | None
    milliseconds: float
    busy: float
    queries: int
    wrote: bool = False


@dataclass(frozen=True)
class PageView:
    """One request, observed.

    Attributes:
        url: as visited.
        pass_: cold, warm (its times count), attributed (its times do not), truncated or advised; `pass` in JSON.
        status: of the response; 0 when the view raised.
        bytes: of the body.
        milliseconds: of the whole request.
        digest: of status, body and the headers that matter, with what changes by itself masked.
        queries: in order.
        batches: of an attributed pass.
        wrote: a statement that changes data ran (and was rolled back).
        error: what the view raised, in one line.
        blocked: what the sandbox kept the page from: mail, HTTP, tasks.
        transactions: in the order in which they began.
    """

    url: str
    pass_: Pass
    status: int
    bytes: int = 0
    milliseconds: float = 0.0
    digest: str = ""
    queries: tuple[Query, ...] = ()
    batches: tuple[Batch, ...] = ()
    wrote: bool = False
    error: str | None = None
    blocked: tuple[str, ...] = ()
    transactions: tuple[Transaction, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A page with or without a change: figures of fresh processes, medians.

    Attributes:
        queries: statements for one warm view.
        milliseconds: of one warm view.
        low, high: 95 % interval of the milliseconds.
        mebibytes: peak of allocated memory of one view, None where it was not measured.
    """

    queries: int
    milliseconds: float
    low: float
    high: float
    mebibytes: float | None = None


@dataclass(frozen=True)
class TableFacts:
    """What the server knows of a table, for judging a plan.

    Attributes:
        rows: by its statistics.
        indexes: of each valid index without a condition its method ("btree") and its first column or expression.
    """

    rows: float
    indexes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Plan:
    """How the database runs one statement.

    Attributes:
        sql: with placeholders, as the statement's record has it.
        alias: of the database.
        tree: of `EXPLAIN (FORMAT JSON)`, without values; with actual figures where it was analysed. Of SQLite, the lines of
            `EXPLAIN QUERY PLAN`. None when there is none.
        tables: those that it reads, by name.
        work_mem: bytes that a sort may take; None where it is unknown.
        analysed: the statement was run for it, so that the tree has actual rows.
        note: why there is no plan, or what kind it is, as one without the values; "" for one with them.
    """

    sql: str
    alias: str
    tree: Json
    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    work_mem: int | None = None
    analysed: bool = False
    note: str = ""


@dataclass(frozen=True)
class Advice:
    """A change that was tried.

    Attributes:
        change: a unified diff of the project's file, the statement or setting to add, or, where no edit can be made, what
            would help in words; never applied to the project.
        applied: it could be tried.
        before, after: figures of both sides, None when it was not tried.
        same_response: status, body and headers were as before.
        rejected: why it is not recommended; None when it is.
        reduction: share of the milliseconds that it saves; None where that was not measured.
        reduction_low, reduction_high: its 95 % interval.
        note: what to know before it is applied; "" when nothing.
    """

    change: str
    applied: bool
    before: Measured | None = None
    after: Measured | None = None
    same_response: bool | None = None
    rejected: str | None = None
    reduction: float | None = None
    reduction_low: float | None = None
    reduction_high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """One problem of one page.

    Attributes:
        kind: its label.
        url: of the page.
        relation: "app.Model.field", None where there is none.
        location: "file:line" in the project's code or template.
        queries: statements that it causes on one view.
        milliseconds: that they took.
        verdict: whether the number of statements was seen to follow the number of rows.
        slope: statements per row, where it was tested.
        sql: a sample, with placeholders.
        text: one sentence for the reader.
        advice: what was tried, best first.
    """

    kind: Kind
    url: str
    relation: str | None
    location: str
    queries: int
    milliseconds: float = 0.0
    verdict: Verdict = "untested"
    slope: float | None = None
    sql: str = ""
    text: str = ""
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True)
class UrlRow:
    """A page of the project.

    Attributes:
        template: the route as the project writes it.
        view: dotted name.
        methods: that it answers, as far as that can be read.
        login: it asks for a login.
        url: what was visited for it; None when no value for its arguments was found.
        status, queries, milliseconds, bytes: of the warm view.
        error: what went wrong; None when nothing did.
        cold_queries, cold_milliseconds: of the first view, with empty caches.
        wrote: a statement that changes data ran, and was rolled back.
        blocked: what the sandbox kept the page from.
    """

    template: str
    view: str
    methods: tuple[str, ...] = ()
    login: bool = False
    url: str | None = None
    status: int = 0
    queries: int = 0
    milliseconds: float = 0.0
    bytes: int = 0
    error: str | None = None
    cold_queries: int = 0
    cold_milliseconds: float = 0.0
    wrote: bool = False
    blocked: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResponseRow:
    """How large an answer is, and how small it could be.

    Attributes:
        url: of the page.
        kind: its content type.
        bytes: of the body without a coding.
        sizes: of the body by coding.
        sent: bytes that the project itself sends to a browser, which takes every coding.
        coding: in which coding; "" without one.
        validator: by which a browser can ask whether the page has changed; "" without one.
        repeated: bytes of the body when it asks so and nothing has changed: 0 after a 304; None without a validator.
    """

    url: str
    kind: str
    bytes: int
    sizes: Mapping[str, int] = field(default_factory=dict)
    sent: int = 0
    coding: str = ""
    validator: str = ""
    repeated: int | None = None


@dataclass(frozen=True)
class ModelRow:
    """A model with its table.

    Attributes:
        model: "app.Model".
        table: its name.
        rows: None where counting failed.
        bytes: of table and indexes, None where the database does not tell.
        indexes: names of the columns of each.
        error: why it could not be read.
        instance_bytes: memory of one instance with its values, on average, as Python's allocator counts it; None where it
            was not measured.
    """

    model: str
    table: str
    rows: int | None = None
    bytes: int | None = None
    indexes: tuple[str, ...] = ()
    error: str | None = None
    instance_bytes: float | None = None


@dataclass(frozen=True)
class SettingRow:
    """A setting that matters for resilience.

    Attributes:
        name: dotted.
        value: as text, redacted.
        good: nothing is missing.
        advice: what is missing, or "".
    """

    name: str
    value: str
    good: bool
    advice: str = ""


@dataclass(frozen=True)
class ProjectFacts:
    """What was loaded.

    Attributes:
        name, root, settings: which project.
        python, django: versions in its own environment.
        interpreter: whose interpreter ran it, as "its own .venv".
        database: what stood in for its database, and how it was filled.
        models, settings_rows: tables.
        blocked: what was stubbed or blocked, with how often it was asked for.
    """

    name: str
    root: str
    settings: str
    python: str = ""
    django: str = ""
    interpreter: str = ""
    database: str = ""
    models: tuple[ModelRow, ...] = ()
    settings_rows: tuple[SettingRow, ...] = ()
    blocked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """Everything that was learnt of a project; `workbench.profile.document` makes of it what `workbench profile --json` prints.

    Attributes:
        project: what was loaded.
        urls: its pages.
        findings: the worst first.
        responses: of the pages that answered.
        together: by URL, all changes of that page in one, where several were accepted.
        notes: what was assumed, replaced or could not be done, for people.
        seconds: that each stage took: loading, pages, responses, advice.
        interrupted: it was stopped before it had seen everything.
    """

    project: ProjectFacts
    urls: tuple[UrlRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    responses: tuple[ResponseRow, ...] = ()
    together: Mapping[str, Advice] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    interrupted: bool = False
