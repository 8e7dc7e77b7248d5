"""Changes of a models file or a settings file, as new text and as a diff; nothing is written.

Lines are only inserted, or a list is lengthened, so comments, quotes and line ends stay as they are. What is written in a way that
is not understood for certain is left alone: then there is no text, and whoever asked says it in words.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Modules whose name `models` has all that an index needs.
_MODELS = ("django.db", "django.contrib.gis.db")
#: Middlewares that stand before whatever changes a body: they change none, or keep what is sent.
_FIRST = (".SecurityMiddleware", ".UpdateCacheMiddleware", ".WhiteNoiseMiddleware")


@dataclass(frozen=True)
class IndexCode:
    """An index as a model's Meta declares it.

    Attributes:
        call: as `Index(fields=["name"])`.
        imports: of each name in it the module, by name; `Index` itself may be found as `models.Index` instead.
    """

    call: str
    imports: tuple[tuple[str, str], ...] = ()


def diff(path: str, before: str, after: str) -> str:
    """A unified diff of a file, with the path as version control writes it."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def with_index(
    source: str, qualname: str, index: IndexCode, *, inherited: bool = False, meta_base: str | None = None
) -> str | None:
    """A models file in which one model has one more index; None where it cannot be said for certain.

    Args:
        source: the file's text.
        qualname: of the model's class.
        index: to add.
        inherited: the model has indexes that its own Meta may not declare; a list of its own would hide them.
        meta_base: the abstract model whose Meta it has; a Meta of its own must carry that on.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    found = _class(tree.body, qualname.split("."))
    if found is None or found.body[0].lineno == found.lineno:
        return None
    edit = _Lines(source)
    call = _named(tree, index, edit)
    meta = next((one for one in found.body if isinstance(one, ast.ClassDef) and one.name == "Meta"), None)
    if meta is None:
        done = not inherited and _new_meta(edit, found, call, meta_base)
    else:
        done = _into_meta(edit, meta, call, inherited=inherited)
    return _checked(edit) if done else None


def with_element(source: str, name: str, element: str, before: Sequence[str] = ()) -> str | None:
    """A settings file whose list has one more string in it.

    Args:
        source: the file's text.
        name: of the list, assigned once as a literal at the top level; otherwise a line at the end lengthens it.
        element: the string.
        before: it comes before the first of these that is there, else behind those middlewares that must be first.

    Returns:
        The text; None where the name does not stand in the file.
    """
    edit = _Lines(source)
    value = _literal(source, name)
    if isinstance(value, (ast.List, ast.Tuple)) and all(
        isinstance(one, ast.Constant) and isinstance(one.value, str) for one in value.elts
    ):
        texts = [str(one.value) for one in value.elts if isinstance(one, ast.Constant)]
        place = next((texts.index(one) for one in before if one in texts), None)
        if place is None:
            place = max((n + 1 for n, text in enumerate(texts) if text.endswith(_FIRST)), default=0)
        edit.into_list(value, place, edit.quoted(element))
        return _checked(edit)
    if not _mentions(source, name):
        return None
    # What must come before something else in a list that nobody can read here comes after all that comes first.
    items = f"*{name}, {edit.quoted(element)}" if before else f"{edit.quoted(element)}, *{name}"
    return edit.appended(f"{name} = [{items}]")


def with_key(source: str, name: str, alias: str, path: Sequence[str], value: str) -> str | None:
    """A settings file in which one entry of a dictionary, as `DATABASES["default"]`, has one more key.

    Args:
        source: the file's text.
        name, alias: of the dictionary and its entry.
        path: keys below it; those in between are made where they are missing.
        value: Python's text of it.

    Returns:
        The text, changed where the dictionary is a literal, else with a line at the end; None where the name is not there.
    """
    edit = _Lines(source)
    place = _literal(source, name)
    entry = _value_of(place, alias)
    *between, last = path
    inner: ast.expr | None = entry
    for key in between:
        inner = _value_of(inner, key)
    if isinstance(inner, ast.Dict) and _value_of(inner, last) is None and None not in inner.keys:
        edit.into_dict(inner, f"{edit.quoted(last)}: {value}")
        return _checked(edit)
    known = (
        {key.value for key in entry.keys if isinstance(key, ast.Constant)}
        if isinstance(entry, ast.Dict)
        else None
    )
    if isinstance(entry, ast.Dict) and known is not None and None not in entry.keys and path[0] not in known:
        made = value
        for key in reversed(path[1:]):
            made = f"{{{edit.quoted(key)}: {made}}}"
        edit.into_dict(entry, f"{edit.quoted(path[0])}: {made}")
        return _checked(edit)
    if not _mentions(source, name):
        return None
    steps = "".join(f".setdefault({edit.quoted(key)}, {{}})" for key in between)
    return edit.appended(f"{name}[{edit.quoted(alias)}]{steps}[{edit.quoted(last)}] = {value}")


class _Lines:
    """A file's text, into which pieces are put by line and column; from the end on, so that places stay right."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        first = self._lines[0] if self._lines else "\n"
        self.end = "\r\n" if first.endswith("\r\n") else "\n"
        self._pieces: list[tuple[int, int, str]] = []

    def quoted(self, text: str) -> str:
        """In the quotes that the file likes better."""
        double = self.source.count('"') >= self.source.count("'")
        return f'"{text}"' if double else f"'{text}'"

    def after_line(self, number: int, *lines: str) -> None:
        """Whole lines behind the line with this number."""
        self._pieces.append((number, 0, "".join(line + self.end for line in lines)))

    def at(self, line: int, column: int, text: str) -> None:
        """A piece at a line (from 1) and a column in bytes, as `ast` counts them."""
        row = self._lines[line - 1]
        self._pieces.append((line - 1, len(row.encode()[:column].decode()), text))

    def indent(self, line: int) -> str:
        row = self._lines[line - 1]
        return row[: len(row) - len(row.lstrip())]

    def text(self) -> str:
        lines = list(self._lines)
        if lines and not lines[-1].endswith("\n"):
            # What is put behind the last line must begin on a line of its own.
            lines[-1] += self.end if any(number == len(lines) for number, _, _ in self._pieces) else ""
        for number, column, piece in sorted(self._pieces, key=lambda one: one[:2], reverse=True):
            if number == len(lines):
                lines.append(piece)
            else:
                lines[number] = lines[number][:column] + piece + lines[number][column:]
        return "".join(lines)

    def appended(self, line: str) -> str | None:
        self.after_line(len(self._lines), "", line)
        return _checked(self)

    def into_list(self, value: ast.List | ast.Tuple, place: int, element: str) -> None:
        """One element more; on a line of its own where the others have theirs."""
        elements = value.elts
        if not elements:
            self.at(
                value.end_lineno or 0,
                (value.end_col_offset or 1) - 1,
                element + ("," if isinstance(value, ast.Tuple) else ""),
            )
            return
        alone = elements[0].lineno != value.lineno
        if place < len(elements):
            one = elements[place]
            self.at(
                one.lineno,
                one.col_offset,
                f"{element},{self.end}{self.indent(one.lineno)}" if alone else f"{element}, ",
            )
            return
        one = elements[-1]
        line, column = one.end_lineno or 0, one.end_col_offset or 0
        if alone and (value.end_lineno or 0) > line:
            if not self._has_comma(line, column, value.end_lineno or 0):
                self.at(line, column, ",")
            self.after_line(line, f"{self.indent(one.lineno)}{element},")
        else:
            self.at(line, column, f", {element}")

    def _has_comma(self, line: int, column: int, end: int) -> bool:
        """Whether one stands between a place and the end of a literal; comments do not count."""
        rest = [self._lines[line - 1].encode()[column:].decode(), *self._lines[line:end]]
        return any("," in row.partition("#")[0] for row in rest)

    def into_dict(self, value: ast.Dict, item: str) -> None:
        """One item more, as the first: the last one may or may not have a comma behind it."""
        key = value.keys[0] if value.keys else None
        if key is None:
            self.at(value.end_lineno or 0, (value.end_col_offset or 1) - 1, item)
        elif key.lineno != value.lineno:
            self.at(key.lineno, key.col_offset, f"{item},{self.end}{self.indent(key.lineno)}")
        else:
            self.at(key.lineno, key.col_offset, f"{item}, ")


def _checked(edit: _Lines) -> str | None:
    text = edit.text()
    try:
        ast.parse(text)
    except SyntaxError:
        return None
    return text


def _class(body: Sequence[ast.stmt], names: Sequence[str]) -> ast.ClassDef | None:
    """The class of a qualified name; None where there are two, as in two branches of an if."""
    found = [one for one in _statements(body) if isinstance(one, ast.ClassDef) and one.name == names[0]]
    if len(found) != 1:
        return None
    return found[0] if len(names) == 1 else _class(found[0].body, names[1:])


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for one in body:
        yield one
        for part in ("body", "orelse", "finalbody"):
            if isinstance(one, (ast.If, ast.Try)):
                yield from _statements(getattr(one, part, []))


def _named(tree: ast.Module, index: IndexCode, edit: _Lines) -> str:
    """The call as this file can write it; names that it lacks are imported behind its last import."""
    imports = [one for one in tree.body if isinstance(one, (ast.Import, ast.ImportFrom))]
    known = {
        (alias.name, one.module): alias.asname or alias.name
        for one in imports
        if isinstance(one, ast.ImportFrom) and not one.level
        for alias in one.names
    }
    call = index.call
    for name, module in index.imports:
        if (name, module) in known:
            call = call.replace(f"{name}(", f"{known[name, module]}(")
            continue
        holder = next((known["models", one] for one in _MODELS if ("models", one) in known), None)
        if module == "django.db.models" and holder is not None:
            call = call.replace(f"{name}(", f"{holder}.{name}(")
            continue
        edit.after_line(_last_import(tree, imports), f"from {module} import {name}")
    return call


def _last_import(tree: ast.Module, imports: Sequence[ast.stmt]) -> int:
    if imports:
        return imports[-1].end_lineno or 0
    first = tree.body[0] if tree.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first.end_lineno or 0
    return 0


def _new_meta(edit: _Lines, model: ast.ClassDef, call: str, meta_base: str | None) -> bool:
    head = "class Meta:"
    if meta_base is not None:
        bases = [ast.unparse(one) for one in model.bases]
        written = next((one for one in bases if one.rpartition(".")[2] == meta_base), None)
        if written is None:
            return False
        head = f"class Meta({written}.Meta):"
    fields = model.body
    for position, one in enumerate(model.body):
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            fields = model.body[:position]
            break
    if not fields:
        return False
    last = fields[-1]
    indent = edit.indent(last.lineno)
    step = indent[len(edit.indent(model.lineno)) :] or "    "
    edit.after_line(last.end_lineno or 0, "", f"{indent}{head}", f"{indent}{step}indexes = [{call}]")
    return True


def _into_meta(edit: _Lines, meta: ast.ClassDef, call: str, *, inherited: bool) -> bool:
    if meta.body[0].lineno == meta.lineno:
        return False
    for one in meta.body:
        if isinstance(one, (ast.Assign, ast.AnnAssign)) and "indexes" in _targets(one):
            if not isinstance(one.value, (ast.List, ast.Tuple)):
                return False
            edit.into_list(one.value, len(one.value.elts), call)
            return True
    if inherited:
        return False
    last = meta.body[-1]
    edit.after_line(last.end_lineno or 0, f"{edit.indent(last.lineno)}indexes = [{call}]")
    return True


def _literal(source: str, name: str) -> ast.expr | None:
    """What a name is set to, where the file sets it exactly once, at the top level, and changes it nowhere."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    changed = [
        one
        for one in ast.walk(tree)
        if (isinstance(one, ast.Name) and one.id == name)
        or (isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == name)
    ]
    sets = [
        one for one in tree.body if isinstance(one, (ast.Assign, ast.AnnAssign)) and name in _targets(one)
    ]
    if len(sets) != 1 or len(changed) != 1:
        return None
    return sets[0].value


def _mentions(source: str, name: str) -> bool:
    """Whether the file has the name at the top level: set there, or by a star import, which may bring it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    for one in _statements(tree.body):
        if isinstance(one, ast.ImportFrom) and any(alias.name in ("*", name) for alias in one.names):
            return True
        if isinstance(one, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and name in _targets(one):
            return True
    return False


def _targets(one: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[str]:
    """The plain names that a statement sets."""
    targets = one.targets if isinstance(one, ast.Assign) else [one.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _value_of(place: ast.expr | None, key: str) -> ast.expr | None:
    if not isinstance(place, ast.Dict):
        return None
    for name, value in zip(place.keys, place.values, strict=True):
        if isinstance(name, ast.Constant) and name.value == key:
            return value
    return None
