"""`workbench report`: every notebook, the verdicts, the page."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from workbench import drills, notebooks
from workbench import judge as judging
from workbench import report as pages
from workbench.commands.opening import new_run, shortest, terminable
from workbench.commands.progress_line import ProgressLine
from workbench.errors import WorkbenchError
from workbench.progress import duration
from workbench.records import End, Finding
from workbench.run import RunFolder
from workbench.servers import binaries

#: Notebooks that mean something on a project without the demo's models.
ANY_PROJECT = ("00_start_here", "03_compression", "08_your_project", "09_scorecard")
#: That says of the demo what another one has said.
OTHERS_PROJECT = "08_your_project"


def run(arguments: argparse.Namespace) -> int:
    """Run every notebook, judge, and write the page; the last printed line is its path."""
    notebooks.require_kernel()
    binaries.find_binaries()
    sources = sorted(notebooks.folder().glob("[0-9]*.ipynb"))
    folder = new_run(arguments)
    with terminable():
        return _measure(folder, sources)


def _measure(folder: RunFolder, sources: list[Path]) -> int:
    if not folder.project.demo:
        sources = [source for source in sources if source.stem in ANY_PROJECT]
        for one in drills.DRILLS.values():
            if one.demo_only:
                for name in one.claims:
                    folder.append(Finding(name, "not-run", one.reason_elsewhere))
    else:
        sources = [source for source in sources if source.stem != OTHERS_PROJECT]
    print(
        f"{folder.project.name}, depth {folder.depth}, seed {folder.seed}: {len(sources)} notebooks",
        flush=True,
    )
    begun = time.monotonic()
    line = ProgressLine(folder, len(sources), begun)
    runner = notebooks.Runner(folder, line.watch)
    try:
        for number, source in enumerate(sources):
            line.next(number, source.stem)
            runner.execute(source)
    except (notebooks.Interrupted, KeyboardInterrupt):
        folder.append(End("interrupted", time.monotonic() - begun))
        print(f"\nwhat was measured so far: workbench judge {shortest(folder.journal_path)}", file=sys.stderr)
        raise KeyboardInterrupt from None
    except WorkbenchError as error:
        folder.append(End("failed", time.monotonic() - begun, error.problem))
        raise
    finally:
        line.close()
        folder.progress_path.unlink(missing_ok=True)
    folder.append(End("complete", time.monotonic() - begun))
    journal = folder.journal()
    page = folder.path / "report.html"
    page.write_text(pages.render(journal), encoding="utf-8")
    print("\n".join(judging.lines(judging.judge(journal))))
    print(
        f"\ntook {duration(time.monotonic() - begun)}; journal and executed notebooks are beside the report"
    )
    print(page)
    return 0
