"""What `%django load` is asked for, read from its line."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, field
from typing import NoReturn

from workbench.errors import WorkbenchError
from workbench.profile.loading import DEMO, Data

_USAGE = "%django load [PATH [MODULE]] [--here] [--env NAME=VALUE] [--copy-database | --seed COMMAND | --fixture FILE | --rows N] [--allow-network]"


@dataclass(frozen=True)
class Wish:
    """What `%django load` was asked for."""

    path: str | None = None
    module: str | None = None
    here: bool = False
    env: tuple[str, ...] = ()
    data: Data = field(default_factory=Data)
    allow_network: bool = False


def parsed(line: str) -> Wish:
    """Read the words after `%django load`.

    Raises:
        WorkbenchError: they say nothing.
    """
    parser = _Parser(prog="%django load", add_help=False)
    parser.add_argument("path", nargs="?")
    parser.add_argument("module", nargs="?")
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--env", action="append", default=[])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--copy-database", action="store_true")
    source.add_argument("--seed", action="append", default=[])
    source.add_argument("--fixture", action="append", default=[])
    source.add_argument("--rows", type=int)
    parser.add_argument("--allow-network", action="store_true")
    try:
        said = parser.parse_args(shlex.split(line))
    except ValueError as error:  # a quotation that does not end
        parser.error(str(error))
    given = said.copy_database or said.seed or said.fixture or said.rows is not None
    data = Data(
        said.copy_database, tuple(said.seed), tuple(said.fixture), 50 if said.rows is None else said.rows
    )
    if said.path is None and not given:
        data = DEMO
    return Wish(said.path, said.module, said.here, tuple(said.env), data, said.allow_network)


class _Parser(argparse.ArgumentParser):
    """Its errors are ours, and it ends no kernel."""

    def error(self, message: str) -> NoReturn:
        raise WorkbenchError(f"%django load: {message}", _USAGE)
