"""`workbench profile`: what the pages of a project ask of its database, proven, with advice that was tried."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial

from workbench import report as pages
from workbench.commands.opening import shortest, terminable
from workbench.commands.profile_options import Wanted, command
from workbench.commands.progress_line import PageLine
from workbench.errors import WorkbenchError
from workbench.profile import baseline, document, ranking, text
from workbench.profile.advising import advise
from workbench.profile.journalled import finding_of
from workbench.profile.ranking import Problem
from workbench.profile.records import Profile
from workbench.profile.run import profiled
from workbench.project import Project
from workbench.records import End
from workbench.run import RunFolder


def run(arguments: argparse.Namespace) -> int:
    """Profile a project and print what was found.

    Returns:
        0 when it was profiled; 1 when `--fail-on` names the kind of a finding that is proven and in no baseline.
    """
    wanted = Wanted.of(arguments)
    folder = _folder(arguments, wanted.project)
    begun = time.monotonic()
    line = PageLine()
    try:
        with terminable():
            found = profiled(
                wanted.project, wanted.options, line.show, partial(advise, budget=arguments.advice_seconds)
            )
    except BaseException as error:
        if folder is not None:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            folder.append(End(status, time.monotonic() - begun, getattr(error, "problem", "")))  # type: ignore[arg-type]
        raise
    finally:
        line.close()
    profile = document.hidden(found.profile, wanted.options.headers.values())
    if folder is not None:
        _write(folder, profile, wanted.project, time.monotonic() - begun)
    problems = ranking.problems(profile.findings)
    fresh = None if wanted.known is None else wanted.known.fresh(problems, wanted.key)
    if arguments.json:
        print(json.dumps(document.document(profile), indent=1, ensure_ascii=False))
    else:
        width = max(60, shutil.get_terminal_size((110, 24)).columns)
        print("\n".join(text.lines(profile, width, fresh)))
        print(f"\ntook {text.seconds(profile)}")
        if folder is not None:
            print(folder.path / "report.html")
    return _ended(arguments, wanted, profile, problems, fresh, folder)


def _ended(
    arguments: argparse.Namespace,
    wanted: Wanted,
    profile: Profile,
    problems: Sequence[Problem],
    fresh: Sequence[Problem] | None,
    folder: RunFolder | None,
) -> int:
    """The exit code, and what is to be said about it on standard error."""
    if profile.interrupted:
        seen = sum(1 for row in profile.urls if row.status)
        where = "" if folder is None else f"; it is kept in {shortest(folder.path)}"
        print(
            f"workbench: {seen} of {sum(1 for row in profile.urls if row.url)} pages were seen{where}",
            file=sys.stderr,
        )
        raise KeyboardInterrupt
    if wanted.known is not None and (gone := wanted.known.gone(problems, wanted.key)):
        names = ", ".join(
            f"{one.kind} {one.relation or ''} in {one.file}".replace("  ", " ") for one in gone[:5]
        )
        print(f"workbench: {len(gone)} of the baseline were not found this time: {names}", file=sys.stderr)
    if arguments.write_baseline is not None:
        number = baseline.write(arguments.write_baseline, problems, wanted.key)
        print(f"workbench: {number} findings are accepted in {arguments.write_baseline}", file=sys.stderr)
    if not wanted.fail_on:
        return 0
    if not any(0 < row.status < 400 and row.error is None for row in profile.urls):
        # A check that looks at nothing must not be green.
        raise WorkbenchError(
            f"none of the {len(profile.urls)} pages could be looked at, so that --fail-on says nothing",
            "see the pages' errors; --login, --header or --urls may lead to pages that answer",
        )
    failing = [
        one
        for one in (problems if fresh is None else fresh)
        if one.worst.kind in wanted.fail_on and any(map(ranking.is_proven, one.findings))
    ]
    for one in failing:
        worst = one.worst
        named = f" {worst.relation}" if worst.relation else ""
        print(
            f"workbench: {worst.kind}{named} at {worst.location}: {ranking.standing(worst)}", file=sys.stderr
        )
    return 1 if failing else 0


def _folder(arguments: argparse.Namespace, found: Project) -> RunFolder | None:
    """Where the record goes; with --json the document is the record, unless a folder is named."""
    if arguments.out is None and arguments.json:
        return None
    if str(arguments.out or "") == ".":
        raise WorkbenchError(
            "--out is empty or the working directory itself", "name a folder for the run, or leave --out away"
        )
    return RunFolder.new(arguments.out, measured=found, command=command(arguments))


def _write(folder: RunFolder, profile: Profile, measured: Project, took: float) -> None:
    folder.append(finding_of(document.shared(profile, str(measured.root))))
    folder.append(End("interrupted" if profile.interrupted else "complete", took))
    page = folder.path / "report.html"
    page.write_text(pages.render(folder.journal()), encoding="utf-8")
