"""`workbench drill ID`: one drill, and what its measurements say."""

from __future__ import annotations

import argparse
import sys
import time

from workbench import drills
from workbench import judge as judging
from workbench.commands.opening import new_run, shortest, terminable
from workbench.commands.progress_line import DrillLine
from workbench.errors import was_interrupted
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
    found = drills.lasting(drills.find(arguments.id), arguments.depth, arguments.minutes)
    binaries.find_binaries()
    folder = new_run(arguments)
    begun = time.monotonic()
    line = DrillLine()

    with terminable():
        try:
            with Session(folder, line.show) as session:
                session.run(found.id, pairs=arguments.pairs, minutes=arguments.minutes)
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


def _compared(folder: RunFolder) -> tuple[list[str], int]:
    """The tables of the run's drills without a claim, and their exit code."""
    found = judging.comparisons(folder.journal())
    return [line for one in found for line in one.lines()], max((one.exit_code for one in found), default=0)
