"""`workbench judge JOURNAL`: the verdicts again, from the journal alone."""

from __future__ import annotations

import argparse
import json

from workbench import judge as judging
from workbench.claims import claim
from workbench.journal import read
from workbench.schema import to_json


def run(arguments: argparse.Namespace) -> int:
    """Judge a journal from nothing but itself; exits by the worst verdict."""
    verdicts = judging.judge(read(arguments.journal))
    if arguments.claim:
        wanted = claim(arguments.claim).id
        verdicts = [one for one in verdicts if one.claim == wanted]
    if arguments.json:
        print(json.dumps([to_json(one) for one in verdicts], indent=1, ensure_ascii=False))
    else:
        print("\n".join(judging.lines(verdicts)))
    return judging.exit_code(verdicts)
