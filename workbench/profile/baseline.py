"""Findings that are known and accepted, so that a build fails on new ones only.

A finding is known by its kind, its relation and where it is: the file and the function (or class) around its line, in a template
the text of the line. Lines may so move, and a function may be edited. How many lines of one function show the same is
kept as well: one more is new.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError
from workbench.profile.ranking import Problem
from workbench.profile.records import Finding

VERSION = 1
_INSTALLED = re.compile(r"^.*[/\\](?:site|dist)-packages[/\\]")


class Key(NamedTuple):
    """What one accepted finding is told by; `place` is a function's dotted name or a template's line."""

    kind: str
    relation: str
    file: str
    place: str


@dataclass(frozen=True)
class Baseline:
    """Accepted findings.

    Attributes:
        known: how many lines show each.
    """

    known: Mapping[Key, int]

    def fresh(self, problems: Iterable[Problem], key: Callable[[Finding], Key]) -> tuple[Problem, ...]:
        """Those that are not known, or are there more often than known; of those the cheapest count as known."""
        left = dict(self.known)
        found = []
        for one in sorted(problems, key=lambda problem: problem.worst.queries):
            place = key(one.worst)
            if left.get(place, 0) > 0:
                left[place] -= 1
            else:
                found.append(one)
        return tuple(found)

    def gone(self, problems: Iterable[Problem], key: Callable[[Finding], Key]) -> tuple[Key, ...]:
        """Those that were not found this time."""
        seen = {key(one.worst) for one in problems}
        return tuple(sorted(place for place in self.known if place not in seen))


def key_of(root: Path) -> Callable[[Finding], Key]:
    """What tells a finding of a project in a folder."""

    def key(finding: Finding) -> Key:
        file, _, number = finding.location.rpartition(":")
        if not number.isdigit():
            file, number = finding.location, "0"
        path = Path(file)
        place = _place(path if path.is_absolute() else root / path, int(number))
        # An installed app has another path on every machine.
        name = _INSTALLED.sub("", file).replace("\\", "/")
        return Key(finding.kind, finding.relation or "", name, place)

    return key


def read(path: Path) -> Baseline:
    """A baseline file.

    Raises:
        WorkbenchError: it cannot be read, or is none.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkbenchError(
            f"cannot read the baseline {path} ({error.strerror})", f"make one first: --write-baseline {path}"
        ) from error
    except ValueError as error:
        raise WorkbenchError(
            f"the baseline {path} is no JSON ({error})", f"make it anew: --write-baseline {path}"
        ) from error
    version = held.get("version") if isinstance(held, dict) else None
    if version != VERSION:
        raise WorkbenchError(
            f"the baseline {path} is of version {version!r}, and {VERSION} is known",
            f"make it anew: --write-baseline {path}",
        )
    try:
        known: dict[Key, int] = {}
        for one in held["findings"]:
            place = Key(one["kind"], one["relation"] or "", one["file"], one["place"])
            known[place] = known.get(place, 0) + int(one["lines"])
    except (KeyError, TypeError, ValueError) as error:
        raise WorkbenchError(
            f"the baseline {path} has an entry that is none ({type(error).__name__}: {error})",
            f"make it anew: --write-baseline {path}",
        ) from error
    return Baseline(known)


def write(path: Path, problems: Sequence[Problem], key: Callable[[Finding], Key]) -> int:
    """Write the problems as accepted; their number.

    Raises:
        WorkbenchError: the file cannot be written.
    """
    entries: dict[Key, dict[str, Any]] = {}
    for one in problems:
        place = key(one.worst)
        if place in entries:
            entries[place]["lines"] += 1
        else:
            # The URL is for the reader: it is not compared.
            entries[place] = {
                **place._asdict(),
                "relation": place.relation or None,
                "lines": 1,
                "url": one.worst.url,
            }
    text = json.dumps(
        {"version": VERSION, "findings": [entries[place] for place in sorted(entries)]},
        indent=1,
        ensure_ascii=False,
    )
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise WorkbenchError(
            f"cannot write the baseline {path} ({error.strerror})",
            "name a file in a folder that you may write to",
        ) from error
    return len(problems)


def _place(path: Path, line: int) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # code without a file is known by its name
    if path.suffix == ".py":
        return _around(text, line)
    lines = text.splitlines()
    return " ".join(lines[line - 1].split()) if 0 < line <= len(lines) else ""


@lru_cache(maxsize=64)
def _scopes(text: str) -> tuple[tuple[int, int, str], ...]:
    """First and last line and dotted name of every function and class."""
    found: list[tuple[int, int, str]] = []

    def walk(node: ast.AST, above: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = above
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{above}.{child.name}" if above else child.name
                first = min([child.lineno, *(one.lineno for one in child.decorator_list)])
                found.append((first, child.end_lineno or child.lineno, name))
            walk(child, name)

    try:
        walk(ast.parse(text), "")
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(found)


def _around(text: str, line: int) -> str:
    """The innermost scope that holds a line; "" at the module's own level."""
    holding = [one for one in _scopes(text) if one[0] <= line <= one[1]]
    return max(holding, key=lambda one: (one[0], -one[1]))[2] if holding else ""
