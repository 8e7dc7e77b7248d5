"""A profile as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence

from workbench.profile import ranking
from workbench.profile.ranking import Problem
from workbench.profile.records import Advice, Measured, Profile, UrlRow

#: Pages named below a problem that has several.
PAGES = 3
#: Lines of a change that are shown; the record and the document have all.
LINES = 30


def lines(profile: Profile, width: int = 100, fresh: Collection[Problem] | None = None) -> Iterator[str]:
    """The whole profile.

    Args:
        profile: as measured.
        width: of the terminal.
        fresh: the problems that are in no baseline; None where there is none.
    """
    facts = profile.project
    yield f"{facts.name}: Django {facts.django}, Python {facts.python} ({facts.interpreter or 'ours'})"
    yield from textwrap.wrap(facts.database, width)
    yield ""
    yield from _pages(profile.urls, width)
    yield ""
    yield from _findings(profile, width, fresh)
    missing = [row for row in facts.settings_rows if not row.good]
    if missing:
        yield ""
        yield "Settings that matter for resilience, and what is missing:"
        for setting in missing:
            yield from _hanging(f"  {setting.name}: ", setting.advice, width)
    if facts.blocked:
        asked = (
            f"{name} ({times} time{'' if times == 1 else 's'})" if times else name
            for name, times in facts.blocked.items()
        )
        yield ""
        yield from _hanging("Stubbed or blocked: ", ", ".join(sorted(asked)), width)
    if profile.notes:
        yield ""
        yield "Notes:"
        for note in profile.notes:
            yield from _hanging("  - ", note, width)


def seconds(profile: Profile) -> str:
    """What each stage took."""
    return ", ".join(f"{name} {value:.0f} s" for name, value in profile.seconds.items())


def _pages(rows: Sequence[UrlRow], width: int) -> Iterator[str]:
    visited = [row for row in rows if row.status or (row.url and row.error)]
    left = [row for row in rows if row not in visited]
    longest = max([len(str(row.url)) for row in visited] + [4])
    room = min(longest, max(20, width - 46))
    if visited:
        yield f"{'page'.ljust(room)}  status  queries  (cold)      ms      bytes"
    for row in visited:
        marks = " wrote" if row.wrote else ""
        figures = f"{row.status or '–':>6}  {row.queries:>7}  {f'({row.cold_queries})':>6}  {row.milliseconds:>6.1f}  {row.bytes:>9,}"
        yield f"{_cut(str(row.url), room).ljust(room)}  {figures}{marks}"
        if row.error:
            yield from _hanging("    ", row.error, width)
    if any(row.wrote for row in visited):
        yield "wrote: the page changes data when it is only read; that was rolled back"
    if left:
        named = ", ".join(row.template or "/" for row in left[:6])
        more = f" and {len(left) - 6} more" if len(left) > 6 else ""
        yield from _hanging(
            f"not visited, {len(left)}: ", f"{named}{more} (no GET, or no value for their arguments)", width
        )
    waiting = [row for row in visited if row.status in (301, 302, 401, 403) and row.login]
    if waiting:
        yield f'{len(waiting)} pages ask for a login: --login USER, or --header "Authorization: …"'


def _findings(profile: Profile, width: int, fresh: Collection[Problem] | None) -> Iterator[str]:
    found = ranking.problems(profile.findings)
    if not found:
        yield "No findings."
        return
    pages = len({one.url for one in profile.findings})
    known = "" if fresh is None else f", {len(found) - len(fresh)} of them in the baseline"
    yield f"{len(found)} findings on {pages} page{'' if pages == 1 else 's'}{known}:"
    for number, problem in enumerate(found, 1):
        yield ""
        yield from _problem(number, problem, width, fresh is not None and problem not in fresh)
    for url, advice in profile.together.items():
        yield ""
        yield "all changes of a page together"
        yield from _advice(advice, width, url)


def _problem(number: int, problem: Problem, width: int, known: bool) -> Iterator[str]:
    worst = problem.worst
    head = f"{number:>2}. {worst.kind} ({ranking.standing(worst)}{', in the baseline' if known else ''})"
    yield f"{head}  {worst.location or '(no line of the project)'}"
    spent = f", {worst.milliseconds:.1f} ms" if worst.milliseconds else ""
    yield from _hanging("    ", f"{worst.text}{spent}", width)
    others = len(problem.urls) - PAGES
    named = ", ".join(problem.urls[:PAGES]) + (f" and {others} more" if others > 0 else "")
    yield from _hanging("    on ", named, width)
    tried = problem.tried
    held = [pair for pair in tried if pair[1].rejected is None]
    for url, advice in held or tried[:1]:
        yield from _advice(advice, width, url)
    rest = len(tried) - len(held or tried[:1])
    if rest > 0:
        yield f"    {rest} more {'was' if rest == 1 else 'were'} tried and rejected: see --json or the report"


def _advice(advice: Advice, width: int, url: str) -> Iterator[str]:
    if advice.rejected is not None:
        first = advice.change.strip().splitlines()
        if not first:
            yield from _hanging("    not tried: ", advice.rejected, width)
            return
        changed = next((line for line in first if line.startswith("+") and not line.startswith("+++")), "")
        what = changed[1:].strip() or first[0]
        yield from _hanging("    rejected: ", f"{what}   {advice.rejected}", width)
        return
    if advice.before and advice.after:
        same = {True: "same response", False: "other response", None: "response not compared"}
        yield f"    tried on {url}: {same[advice.same_response]}"
        yield f"      before {measured(advice.before)}"
        yield f"      after  {measured(advice.after)}"
    if advice.note:
        yield from _hanging("      ", advice.note, width)
    shown = advice.change.rstrip().splitlines()
    for line in shown[:LINES]:
        yield f"      {line}"
    if len(shown) > LINES:
        yield f"      … {len(shown) - LINES} more lines"


def measured(one: Measured) -> str:
    """The figures of one side of a trial."""
    memory = "" if one.mebibytes is None else f", {one.mebibytes:.1f} MiB"
    return f"{one.queries} queries, {one.milliseconds:.1f} ms ({one.low:.1f} to {one.high:.1f}){memory}"


def _hanging(head: str, text: str, width: int) -> Iterator[str]:
    indent = " " * min(len(head), 8)
    yield from textwrap.wrap(
        text,
        max(40, width),
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
