"""`workbench drill ID`: one drill, and what its measurements say."""

from __future__ import annotations

import argparse
import sys
import time

from workbench import drills
from workbench import judge as judging
from workbench.commands.opening import new_run, shortest, terminable
from workbench.errors import was_interrupted
from workbench.progress import Step
from workbench.records import End
from workbench.servers import binaries
from workbench.session import Session


def run(arguments: argparse.Namespace) -> int:
    """Run one drill in a run folder of its own and print its claims' verdicts."""
    if arguments.id == "list":
        for one in drills.DRILLS.values():
            print(f"{one.id:18} {', '.join(one.claims):8} {one.title}")
        return 0
    found = drills.find(arguments.id)
    binaries.find_binaries()
    folder = new_run(arguments)
    begun = time.monotonic()

    def show(step: Step) -> None:
        print(step.line(), flush=True)

    with terminable():
        try:
            with Session(folder, show) as session:
                session.run(found.id, pairs=arguments.pairs)
        except BaseException as error:
            took = time.monotonic() - begun
            if was_interrupted(error):
                folder.append(End("interrupted", took))
                print(
                    f"\nwhat was measured so far: workbench judge {shortest(folder.journal_path)}",
                    file=sys.stderr,
                )
            else:
                folder.append(End("failed", took, str(error).partition("\n")[0]))
            raise
        finally:
            folder.progress_path.unlink(missing_ok=True)
    folder.append(End("complete", time.monotonic() - begun))
    verdicts = [one for one in judging.judge(folder.journal()) if one.claim in found.claims]
    print("\n".join(judging.lines(verdicts)))
    print(folder.journal_path)
    return 0
