"""A change of the project's source text: calls put into an expression, pieces replaced, and the unified diff of all that.

The text around stays as it is, to the byte: comments, quotes, line ends, encoding. Nothing is written anywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from workbench.profile.sources import Replacement, Source, Sources

#: Calls that may stand as one with the arguments of both.
_MERGED = frozenset({"select_related", "prefetch_related", "only", "defer"})


@dataclass(frozen=True)
class Spot:
    """A place where calls on a queryset can be put.

    Attributes:
        file: as a site names it.
        offset: the position of the character before which they go.
        line: for people.
        lead: what must stand before the first of them (`.objects`, or a whole new line).
        joint: what goes before each, where the chain has a line for each call.
        words: what happens there, for people.
    """

    file: str
    offset: int
    line: int
    lead: str = ""
    joint: str = ""
    words: str = ""


@dataclass(frozen=True)
class Call:
    """A call to be put at a spot.

    Attributes:
        spot: where.
        verb: the method.
        names: arguments that are texts.
        code: arguments that are code, as they stand.
    """

    spot: Spot
    verb: str
    names: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edit:
    """Everything that one change does to the text; two of them make one by `+`."""

    calls: tuple[Call, ...] = ()
    replacements: tuple[Replacement, ...] = field(default=())

    def __add__(self, other: Edit) -> Edit:
        return Edit(
            tuple(dict.fromkeys((*self.calls, *other.calls))),
            tuple(dict.fromkeys((*self.replacements, *other.replacements))),
        )

    @property
    def files(self) -> tuple[str, ...]:
        found = [*(one.spot.file for one in self.calls), *(one.file for one in self.replacements)]
        return tuple(dict.fromkeys(found))


def texts(edit: Edit, sources: Sources) -> dict[str, str]:
    """The text of each file that an edit changes.

    Raises:
        NoEditError: the changes do not go together, or what comes out is no Python.
    """
    wanted = [*edit.replacements, *_insertions(edit.calls, sources)]
    return {
        file: sources.read(file).changed(one for one in wanted if one.file == file) for file in edit.files
    }


def overlay(edit: Edit, sources: Sources) -> dict[str, bytes]:
    """The same as the bytes that the user's editor would write, by the file's whole path."""
    return {
        str(sources.read(file).path): text.encode(sources.read(file).encoding)
        for file, text in texts(edit, sources).items()
    }


def diff(edit: Edit, sources: Sources) -> str:
    """The unified diff of an edit, as `patch -p1` and `git apply` take it.

    Raises:
        NoEditError: as `texts`.
    """
    changed = texts(edit, sources)
    return "".join(_diff(sources.read(file), changed[file]) for file in sorted(changed))


def _diff(source: Source, text: str) -> str:
    name = source.file.lstrip("/")
    before, after = _lines(source.text), _lines(text)
    # difflib knows nothing of a last line without an end.
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
    )


def _lines(text: str) -> list[str]:
    """Lines as diff and patch know them: a line feed ends one and nothing else does."""
    *whole, rest = text.split("\n")
    return [f"{line}\n" for line in whole] + ([rest] if rest else [])


def _insertions(calls: Iterable[Call], sources: Sources) -> Iterable[Replacement]:
    by_spot: dict[Spot, list[Call]] = {}
    for call in calls:
        by_spot.setdefault(call.spot, []).append(call)
    for spot, here in by_spot.items():
        source = sources.read(spot.file)
        text = spot.lead + "".join(f"{spot.joint}.{one}" for one in _rendered(here, source.quote))
        yield Replacement(spot.file, spot.offset, spot.offset, text)


def _rendered(calls: Iterable[Call], quote: str) -> list[str]:
    """The calls, those that may be one as one, `select_related` before `prefetch_related`; what ends a chain last."""
    arguments: dict[tuple[str, int], list[str]] = {}
    for number, call in enumerate(sorted(calls, key=lambda call: _order(call.verb))):
        key = (call.verb, -1 if call.verb in _MERGED else number)
        given = [*(f"{quote}{name}{quote}" for name in call.names), *call.code]
        known = arguments.setdefault(key, [])
        known += [one for one in given if one not in known]
    return [f"{verb}({', '.join(given)})" for (verb, _), given in arguments.items()]


def _order(verb: str) -> int:
    known = ("annotate", "select_related", "prefetch_related", "only", "defer")
    return known.index(verb) if verb in known else len(known)
