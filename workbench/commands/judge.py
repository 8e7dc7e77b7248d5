"""`workbench judge JOURNAL`: the verdicts again, from the journal alone."""

from __future__ import annotations

import argparse
import json
import sys

from workbench import judge as judging
from workbench.claims import claim
from workbench.errors import WorkbenchError
from workbench.journal import read
from workbench.schema import to_json


def run(arguments: argparse.Namespace) -> int:
    """Judge a journal from nothing but itself; exits by the worst verdict."""
    try:
        journal = read(arguments.journal)
        wanted = claim(arguments.claim).id if arguments.claim else None
    except WorkbenchError as error:
        # 2 would say "inconclusive" to a script.
        raise WorkbenchError(error.problem, error.next_step, exit_code=3) from error
    if journal.torn:
        print(f"workbench: {journal.torn} unreadable lines of the journal were left out", file=sys.stderr)
    verdicts = judging.judge(journal)
    if wanted:
        verdicts = [one for one in verdicts if one.claim == wanted]
    if arguments.json:
        print(json.dumps([to_json(one) for one in verdicts], indent=1, ensure_ascii=False))
    else:
        print("\n".join(judging.lines(verdicts)))
    others = [] if wanted else judging.comparisons(journal)
    if not arguments.json:
        for one in others:
            print("\n".join(["", *one.lines()]))
    # 3 void, then 1 broken or refuted, then 2 inconclusive.
    codes = {judging.exit_code(verdicts), *(one.exit_code for one in others)}
    return next((code for code in (3, 1, 2) if code in codes), 0)
