"""A source file of the project, read as Python reads it, and changed in nothing but what an edit says."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

#: Python's line ends; `str.splitlines` knows more, a form feed among them.
_ENDS = re.compile(r"\r\n|\r|\n")
#: Folders of other people's code: a change there is none that the user can make.
FOREIGN = frozenset({"site-packages", "dist-packages"})


class NoEditError(Exception):
    """Why no edit is made, in words for people."""


@dataclass(frozen=True)
class Replacement:
    """A stretch of a file's text, and what stands there instead; an insertion where it is empty.

    Attributes:
        file: as a site names it.
        start, end: positions of characters.
        text: the new text.
    """

    file: str
    start: int
    end: int
    text: str


class Source:
    """One file; its tree has the positions of the text as it stands.

    Args:
        file: as a site names it.
        path: where it lies.
        data: what it holds.

    Raises:
        NoEditError: it is not Python that our interpreter can read.
    """

    def __init__(self, file: str, path: Path, data: bytes) -> None:
        self.file, self.path, self.data = file, path, data
        try:
            self.encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            self.text = data.decode(self.encoding)
            self.tree = ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise NoEditError(f"{file} cannot be read as Python: {error}") from error
        self.starts = [0, *(match.end() for match in _ENDS.finditer(self.text))]

    @cached_property
    def newline(self) -> str:
        """The file's own kind of line end."""
        found = _ENDS.search(self.text)
        return found.group() if found else "\n"

    @cached_property
    def quote(self) -> str:
        """The file's own kind of quotation mark."""
        return "'" if self.text.count("'") > self.text.count('"') else '"'

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node above each."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def line(self, number: int) -> str:
        """A line, from 1, without its end."""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n")

    def offset(self, line: int, column: int) -> int:
        """The position of a character, from `ast`'s line and column, which counts bytes of UTF-8."""
        return self.starts[line - 1] + len(self.line(line).encode()[:column].decode())

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        return self.text[self.start(node) : self.end(node)]

    def end_of_line(self, position: int) -> int:
        """Where the line of a position ends, before what ends it."""
        found = _ENDS.search(self.text, position)
        return found.start() if found else len(self.text)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around one, the nearest first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The function that a node stands in."""
        for one in self.above(node):
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                return one
        return None

    def changed(self, replacements: Iterable[Replacement]) -> str:
        """The text with replacements of this file in it.

        Raises:
            NoEditError: two of them overlap, or the result is no Python, or the file's encoding has not all of its characters.
        """
        parts, last = [], 0
        for one in sorted(set(replacements), key=lambda one: (one.start, one.end)):
            if one.start < last:
                raise NoEditError(f"two changes of {self.file} overlap")
            parts += [self.text[last : one.start], one.text]
            last = one.end
        text = "".join([*parts, self.text[last:]])
        try:
            ast.parse(text)
            text.encode(self.encoding)
        except (SyntaxError, ValueError) as error:
            raise NoEditError(f"the change would break {self.file}: {error}") from error
        return text


class Sources:
    """The files of a project, each read once.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._known: dict[str, Source | NoEditError] = {}

    def read(self, file: str) -> Source:
        """A file that the user can change.

        Args:
            file: as a site names it.

        Raises:
            NoEditError: it is another package's, cannot be read, or is no Python.
        """
        if file not in self._known:
            try:
                self._known[file] = self._read(file)
            except NoEditError as error:
                self._known[file] = error
        found = self._known[file]
        if isinstance(found, NoEditError):
            raise found
        return found

    def _read(self, file: str) -> Source:
        path = self.root / file
        if FOREIGN & set(path.parts):
            package = path.parts[max(path.parts.index(one) for one in FOREIGN & set(path.parts)) + 1]
            raise NoEditError(f"it is made in {package}, which is not the project's own code ({path.name})")
        try:
            return Source(file, path, path.read_bytes())
        except OSError as error:
            raise NoEditError(f"{file} cannot be read: {error.strerror}") from error
