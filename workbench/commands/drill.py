"""`workbench drill ID`: one drill, and what its measurements say."""

from __future__ import annotations

import argparse
import sys
import time

from workbench import drills
from workbench import judge as judging
from workbench.commands.opening import new_run, shortest, terminable
from workbench.commands.progress_line import DrillLine
from workbench.drills import bank
from workbench.drills.base import Drill
from workbench.errors import WorkbenchError, was_interrupted
from workbench.records import End
from workbench.run import RunFolder
from workbench.servers import binaries
from workbench.session import Session


def run(arguments: argparse.Namespace) -> int:
    """Run one drill in a run folder of its own and print its claims' verdicts.

    Returns:
        0 when it was run, whatever the verdicts. A drill that decides no claim: 1 when something was broken with Stalwart
        on, 3 when it is void, else 0.
    """
    if arguments.id == "list":
        for one in drills.DRILLS.values():
            print(f"{one.id:18} {', '.join(one.claims) or '–':8} {one.title}")
        return 0
    found = _timed(drills.find(arguments.id), arguments)
    binaries.find_binaries()
    folder = new_run(arguments)
    begun = time.monotonic()
    line = DrillLine()

    with terminable():
        try:
            with Session(folder, line.show) as session:
                session.run(found, pairs=arguments.pairs)
        except BaseException as error:
            took = time.monotonic() - begun
            if was_interrupted(error):
                folder.append(End("interrupted", took))
                line.close()
                if not found.claims:
                    print("\n".join(_compared(folder)[0]))
                print(
                    f"\nwhat was measured so far: workbench judge {shortest(folder.journal_path)}",
                    file=sys.stderr,
                )
            else:
                folder.append(End("failed", took, str(error).partition("\n")[0]))
            raise
        finally:
            line.close()
            folder.progress_path.unlink(missing_ok=True)
    folder.append(End("complete", time.monotonic() - begun))
    code = 0
    if found.claims:
        verdicts = [one for one in judging.judge(folder.journal()) if one.claim in found.claims]
        print("\n".join(judging.lines(verdicts)))
    else:
        text, code = _compared(folder)
        print("\n".join(text))
    print(folder.journal_path)
    return code


def _timed(found: Drill, arguments: argparse.Namespace) -> Drill:
    """The bank takes the time that it is given, or that the depth has for it."""
    if found.id == bank.BANK.id:
        return bank.bank(bank.MINUTES[arguments.depth] if arguments.minutes is None else arguments.minutes)
    if arguments.minutes is not None:
        raise WorkbenchError(
            f"{found.id} has no length in minutes", "leave --minutes away; --pairs says how often it is run"
        )
    return found


def _compared(folder: RunFolder) -> tuple[list[str], int]:
    """The tables of the run's drills without a claim, and their exit code."""
    found = judging.comparisons(folder.journal())
    return [line for one in found for line in one.lines()], max((one.exit_code for one in found), default=0)
