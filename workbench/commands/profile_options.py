"""What `workbench profile` is asked for, checked before anything is started."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from workbench import project
from workbench.errors import WorkbenchError
from workbench.profile import baseline
from workbench.profile.loading import Data
from workbench.profile.records import Finding, Kind
from workbench.profile.run import Options
from workbench.project import Project

KINDS: tuple[str, ...] = typing.get_args(Kind)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for, checked before anything is started."""

    project: Project
    options: Options
    fail_on: frozenset[str]
    known: baseline.Baseline | None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Wanted:
        fail_on = _kinds(arguments.fail_on)
        headers = dict(map(_header, arguments.header))
        urls = None if arguments.urls is None else _urls(arguments.urls)
        data = _data(arguments)
        if not 0 < arguments.page_seconds <= 600:
            raise WorkbenchError(
                f"a page cannot have {arguments.page_seconds:g} seconds", "give --page-seconds from 1 to 600"
            )
        if not 0 < arguments.advice_seconds <= 86_400:
            raise WorkbenchError(
                f"advice cannot have {arguments.advice_seconds:g} seconds",
                "give --advice-seconds from 1 to 86400, or --no-advice",
            )
        known = None if arguments.baseline is None else baseline.read(arguments.baseline)
        out = arguments.write_baseline
        if out is not None and not (out.parent.is_dir() and not out.is_dir()):
            raise WorkbenchError(
                f"cannot write the baseline {out}",
                "name a file in a folder that is there: --write-baseline FILE",
            )
        found = project.find(
            arguments.project, arguments.settings, python=arguments.python, env=arguments.env
        )
        options = Options(
            data,
            urls,
            headers,
            arguments.login,
            arguments.allow_network,
            arguments.page_seconds,
            not arguments.no_advice,
        )
        return cls(found, options, fail_on, known)

    @property
    def key(self) -> Callable[[Finding], baseline.Key]:
        return baseline.key_of(self.project.root)


def _kinds(text: str | None) -> frozenset[str]:
    wanted = [one.strip() for one in (text or "").split(",") if one.strip()]
    for one in wanted:
        if one not in KINDS:
            near = difflib.get_close_matches(one, KINDS, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}? " if near else ""
            raise WorkbenchError(
                f"there is no kind of finding {one!r}", f"{hint}there are {', '.join(KINDS)}"
            )
    return frozenset(wanted)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or not _NAME.fullmatch(name.strip()) or not value or any(sign in value for sign in "\r\n\0"):
        # Its value is not repeated: it may be a secret.
        raise WorkbenchError("a --header is no header", 'write it as --header "Name: value"')
    return name.strip(), value


def _urls(path: Path) -> tuple[str, ...]:
    try:
        held = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise WorkbenchError(
            f"cannot read the URLs of {path} ({why})",
            "name a text file with a path such as /stocks/ on each line",
        ) from error
    found = []
    for number, line in enumerate(held, 1):
        url = line.strip()
        if not url or url.startswith("#"):
            continue
        if not url.startswith("/") and urlsplit(url).scheme not in ("http", "https"):
            raise WorkbenchError(
                f"{path}, line {number}: {url[:80]!r} is no URL",
                "write a path as /stocks/, or a whole http://… address",
            )
        found.append(url)
    if not found:
        raise WorkbenchError(f"{path} holds no URL", "write a path such as /stocks/ on each line")
    return tuple(dict.fromkeys(found))


def _data(arguments: argparse.Namespace) -> Data | None:
    given = {
        "--copy-database": arguments.copy_database,
        "--seed-command or --fixture": bool(arguments.seed_command or arguments.fixture),
        "--rows": arguments.rows is not None,
    }
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise WorkbenchError(
            f"rows come from one place, not from {' and '.join(chosen)}",
            f"keep one of {' and '.join(chosen)}",
        )
    for one in arguments.seed_command:
        if one.strip().isdigit():
            raise WorkbenchError(
                f"--seed {one} is no management command",
                'profile draws no random numbers of its own; what fills the copy is given as --seed "manage.py NAME ARGUMENTS"',
            )
    if not chosen:
        return None
    if arguments.rows is not None and not 0 <= arguments.rows <= 1_000_000:
        raise WorkbenchError(f"{arguments.rows} rows of each model cannot be made", "give 0 to 1000000")
    rows = 50 if arguments.rows is None else arguments.rows
    return Data(arguments.copy_database, tuple(arguments.seed_command), tuple(arguments.fixture), rows)


def command(arguments: argparse.Namespace) -> str:
    """What repeats this, without what may be secret and with the last names of paths: the journal gets shared."""
    words: list[str] = ["workbench", "profile"]

    def add(option: str, value: object) -> None:
        words.extend([option, str(value)])

    if arguments.project:
        add("--project", Path(arguments.project).name or arguments.project)
    if arguments.settings:
        add("--settings", arguments.settings)
    for pair in arguments.env:
        add("--env", f"{pair.partition('=')[0]}=…")
    for header in arguments.header:
        add("--header", f"{header.partition(':')[0]}: …")
    for one in arguments.seed_command:
        add("--seed-command", one)
    for one in arguments.fixture:
        add("--fixture", Path(one).name)
    if arguments.copy_database:
        words.append("--copy-database")
    if arguments.rows is not None:
        add("--rows", arguments.rows)
    if arguments.urls is not None:
        add("--urls", arguments.urls.name)
    if arguments.login is not None:
        add("--login", "…")
    flags = {"--allow-network": arguments.allow_network, "--no-advice": arguments.no_advice}
    words.extend(flag for flag, is_given in flags.items() if is_given)
    return shlex.join(words)
