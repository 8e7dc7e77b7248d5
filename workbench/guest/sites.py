"""Which frames of a stack are the project's own, and which place of the project a statement comes from.

A file is read once for what it is: the project's, an installed app's, a template engine's, or nobody's that a reader could
change. Walks go by file name and the code's identity alone: hashing code objects would cost ten times as much.
"""

from __future__ import annotations

import dis
import inspect
import os
import sys
import sysconfig
from types import CodeType, FrameType
from typing import Any, NamedTuple

import django
from django.apps import apps
from django.conf import settings

#: What a file is, in the order in which a walk asks.
SKIP, DJANGO, GENERIC, TEMPLATE, COMPILED, HANDLER, TOOLKIT, APP, PROJECT = range(9)

#: Installed apps whose frames carry other people's views: named only when nothing nearer to the project is found.
TOOLKITS = frozenset(
    {"corsheaders", "debug_toolbar", "django_filters", "graphene_django", "ninja", "rest_framework", "silk"}
)

#: Cells and consoles: there the project's only frame may be the cell itself.
CELLS = ("<ipython-input", "<console>", "<stdin>", "<cell", "<django cell")

_HERE = os.path.realpath(os.path.dirname(os.path.abspath(__file__)))
_DJANGO = os.path.dirname(os.path.abspath(django.__file__))
_GENERIC = tuple(
    os.path.join(_DJANGO, *path)
    for path in (("views", "generic"), ("contrib", "admin"), ("contrib", "flatpages"), ("contrib", "auth"))
)
_HANDLERS = tuple(os.path.join(_DJANGO, "core", "handlers", name) for name in ("exception.py", "base.py"))
_NODES = os.path.join(_DJANGO, "template", "base.py")
_LIBRARIES = tuple({os.path.abspath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})

#: The folder that the project's files are named from.
_root = os.path.realpath(os.getcwd())
_also: set[str] = set()
_kinds: dict[str, int] = {}
_marks: dict[int, tuple[int, str]] = {}
_held: list[CodeType] = []
_steadied: dict[tuple[int, int], int] = {}


class Place(NamedTuple):
    """One frame, as it stands at the moment of the walk."""

    file: str
    line: int
    function: str
    lasti: int

    def as_json(self) -> dict[str, Any]:
        return {
            "file": shown(self.file),
            "line": self.line,
            "function": self.function,
            "lasti": self.lasti,
        }


class Look(NamedTuple):
    """What one walk saw, from the inside out.

    Attributes:
        places: the project's frames, the nearest first; an installed app's where the project has none.
        template: the nearest node of a template; the search for frames ends there.
        rank, origin: what in Django made the statement, by the strongest mark that was passed.
        trail: the marked frames themselves, where they were asked for.
    """

    places: tuple[Place, ...]
    template: Place | None
    rank: int
    origin: str
    trail: tuple[tuple[str, FrameType], ...]


#: The project's frame and the origin, as they stand: code, offset, origin. The line is looked up when the clock has stopped.
Near = tuple[CodeType, int, str]


def root(folder: str | None = None) -> str:
    """The project's folder; set it to look from another one than the working directory at the start."""
    global _root
    if folder is not None:
        _root = os.path.realpath(folder)
        _kinds.clear()
    return _root


def also(folder: str) -> None:
    """A further folder of the project's: that of a callable which lies outside of everything else that is known."""
    whole = os.path.realpath(folder) + os.sep
    if whole not in _also:
        _also.add(whole)
        _kinds.clear()


def shown(file: str) -> str:
    """A file as a report names it: below the project's root where it lies there."""
    if file.startswith("<"):
        return file
    whole = os.path.realpath(file)
    return os.path.relpath(whole, _root) if whole.startswith(_root + os.sep) else whole


def kind_of(file: str) -> int:
    """What a file is; remembered, but not while the project is still being imported."""
    kind = _judge(file)
    if apps.ready or kind in (SKIP, DJANGO, GENERIC, TEMPLATE, HANDLER):
        _kinds[file] = kind
    return kind


def _judge(file: str) -> int:
    if file.startswith("<"):
        return PROJECT if file.startswith(CELLS) else SKIP
    whole = os.path.abspath(file)
    if whole.startswith(_DJANGO + os.sep):
        if whole.startswith(_GENERIC):
            return GENERIC
        if whole in _HANDLERS:
            return HANDLER
        return TEMPLATE if whole == _NODES else DJANGO
    real = os.path.realpath(file)
    if real.startswith(_HERE + os.sep) or real in _ours():
        return SKIP
    if f"{os.sep}ipykernel_" in whole:
        return PROJECT
    installed = _installed(whole)
    if installed is not None:
        return installed if whole.endswith((".py", ".pyc")) else COMPILED
    site = f"{os.sep}site-packages{os.sep}" in whole or f"{os.sep}dist-packages{os.sep}" in whole
    if site or whole.startswith(_LIBRARIES) or _ours_folder(real):
        return SKIP
    if real.startswith((_root + os.sep, *_also)) or _of_settings(whole):
        return PROJECT if whole.endswith((".py", ".pyc")) else COMPILED
    return SKIP


def _ours() -> set[str]:
    """Single files of ours that run inside a project beside the guest's folder."""
    return {os.path.join(os.path.dirname(_HERE), name) for name in ("__init__.py", "__main__.py")}


def _ours_folder(real: str) -> bool:
    """Whether a file is the workbench's or the library's; their frames must never be taken for the project's.

    A demo that lies inside the workbench is a project like any other.
    """
    if real.startswith(_root + os.sep) and _root.startswith(os.path.dirname(_HERE) + os.sep):
        return False
    if real.startswith(os.path.dirname(_HERE) + os.sep):
        return True
    library = sys.modules.get("stalwart")
    place = getattr(library, "__file__", None)
    return place is not None and real.startswith(os.path.dirname(os.path.realpath(place)) + os.sep)


def _installed(whole: str) -> int | None:
    best: Any = None
    for config in list(apps.app_configs.values()):
        if whole.startswith(config.path + os.sep) and (best is None or len(config.path) > len(best.path)):
            best = config
    if best is None:
        return None
    top = best.name.partition(".")[0]
    if top == "stalwart":
        return SKIP
    if f"{os.sep}site-packages{os.sep}" in whole or f"{os.sep}dist-packages{os.sep}" in whole:
        return TOOLKIT if top in TOOLKITS else APP
    return PROJECT


def _of_settings(whole: str) -> bool:
    """A project may lie beside the folder of its manage.py, and an installed one in no app: its URLs name its package."""
    if not settings.configured:
        return False
    package = sys.modules.get(str(getattr(settings, "ROOT_URLCONF", "")).partition(".")[0])
    place = getattr(package, "__file__", None)
    return place is not None and whole.startswith(os.path.dirname(os.path.abspath(place)) + os.sep)


def mark(function: Any, rank: int, origin: str) -> None:
    """Know a function of Django's by its code; of two marks on one stack the higher rank tells the origin."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is not None:
        _held.append(code)
        _marks[id(code)] = (rank, origin)


def mark_inner(function: Any, rank: int, origin: str, first: str) -> None:
    """Know the functions that a factory makes: their code is a constant of its own, shared by all that it makes.

    Args:
        function: the factory.
        rank, origin: as `mark`.
        first: only functions whose first argument has this name.
    """
    pending = [function.__code__]
    while pending:
        for constant in pending.pop().co_consts:
            if isinstance(constant, CodeType):
                pending.append(constant)
                if constant.co_varnames[:1] == (first,) and id(constant) not in _marks:
                    _held.append(constant)
                    _marks[id(constant)] = (rank, origin)


def _steady(code: CodeType, lasti: int) -> int:
    """The offset of an instruction, the same on every run.

    Since Python 3.11 an instruction that has run often is replaced by a special one, and a frame that waits in it may
    point to a cache entry behind it, or to the first half of a call. All of them have one position in the source.
    """
    key = (id(code), lasti)
    known = _steadied.get(key)
    if known is None:
        known = lasti
        positions_of = getattr(code, "co_positions", None)
        if positions_of is not None:
            positions = list(positions_of())
            mine = positions[lasti // 2] if 0 <= lasti // 2 < len(positions) else (None,) * 4
            if mine[2] is not None:  # without columns, all of a line would be one
                known = 2 * positions.index(mine)
        _held.append(code)
        _steadied[key] = known
    return known


def look(frame: FrameType | None, wanted: int = 1, trail: list[tuple[str, FrameType]] | None = None) -> Look:
    """Walk outwards until the project's own frame, a template's node, or the border between two middlewares.

    Beyond that border stand the project's middlewares, which hand on every request and made none of its statements.

    Args:
        frame: where to begin.
        wanted: how many of the project's frames.
        trail: collects Django's marked frames; only then is a template looked for beyond the project's frame.
    """
    found: list[Place] = []
    second: list[Place] = []
    third: Place | None = None
    template: Place | None = None
    view: Any = None
    rank, origin = -1, "raw"
    kinds, marks = _kinds, _marks
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        kind = kinds.get(file)
        if kind is None:
            kind = kind_of(file)
        if kind == DJANGO:
            if not found:
                known = marks.get(id(code))
                if known is not None:
                    if known[0] > rank:
                        rank, origin = known
                    if trail is not None:
                        trail.append((known[1], frame))
        elif kind == PROJECT:
            if found and code.co_name == "<module>":
                break  # who imported it says nothing
            if view is None or found or frame.f_locals.get("self") is view:
                if len(found) < wanted:
                    found.append(Place(file, frame.f_lineno, code.co_name, _steady(code, frame.f_lasti)))
            else:
                # A decorator around a generic view: the class says more than the line that calls it on.
                found.append(_statement(type(view)))
            if trail is None and len(found) >= wanted:
                break
        elif kind == TEMPLATE:
            if code.co_name == "render_annotated":
                template = _node(frame)
                if template is not None:
                    break
        elif kind == COMPILED:
            if template is None:
                template = _compiled(frame)
                break
        elif kind == HANDLER:
            break
        elif kind == APP:
            if len(second) < wanted:
                second.append(Place(file, frame.f_lineno, code.co_name, _steady(code, frame.f_lasti)))
        elif kind >= GENERIC and view is None:
            if kind == TOOLKIT and third is None:
                third = Place(file, frame.f_lineno, code.co_name, _steady(code, frame.f_lasti))
            view = _of_project(frame)
        frame = frame.f_back
    if not found:
        if second:
            found = second
        elif template is None and view is not None:
            found.append(_statement(type(view)))
        elif template is None and third is not None:
            found.append(third)
    return Look(tuple(found), template, rank, origin, () if trail is None else tuple(trail))


def nearest(frame: FrameType | None) -> Look | Near:
    """What `look` sees of one frame, in the fewest steps: for passes whose times count."""
    rank, origin = -1, "raw"
    here = frame
    kinds, marks = _kinds, _marks
    while here is not None:
        code = here.f_code
        kind = kinds.get(code.co_filename)
        if kind == DJANGO:
            known = marks.get(id(code))
            if known is not None and known[0] > rank:
                rank, origin = known
        elif kind == PROJECT:
            return (code, here.f_lasti, origin)
        elif kind != SKIP:
            break
        here = here.f_back
    return look(frame)


def resolved(seen: Look | Near | None) -> Look | None:
    """A look, whichever way it was taken."""
    if seen is None or isinstance(seen, Look):
        return seen
    code, lasti, origin = seen
    return Look((_place(code, lasti),), None, 0, origin, ())


def _place(code: CodeType, lasti: int) -> Place:
    return Place(code.co_filename, _line(code, lasti), code.co_name, _steady(code, lasti))


def _line(code: CodeType, lasti: int) -> int:
    """The line of an instruction. A frame would tell it too, by a walk through the code's table while the clock runs."""
    line = code.co_firstlineno
    for start, number in dis.findlinestarts(code):
        if start > lasti:
            break
        line = number or line
    return line


def _node(frame: FrameType) -> Place | None:
    node = frame.f_locals.get("self")
    token, origin = getattr(node, "token", None), getattr(node, "origin", None)
    if token is None or origin is None:
        return None
    return Place(str(getattr(origin, "name", "<template>")), getattr(token, "lineno", 0) or 0, "", -1)


def _compiled(frame: FrameType) -> Place:
    """A template that an engine such as Jinja compiled under the template's own name, with a map of its lines."""
    line = frame.f_lineno
    made = frame.f_globals.get("__jinja_template__")
    if made is not None:
        line = made.get_corresponding_lineno(line)
    return Place(frame.f_code.co_filename, line, "", -1)


def _of_project(frame: FrameType) -> Any:
    """The object whose generic method runs here, when the project wrote its class."""
    if frame.f_code.co_varnames[:1] != ("self",):
        return None
    holder = frame.f_locals.get("self")
    module = sys.modules.get(type(holder).__module__)
    file = getattr(module, "__file__", None)
    return holder if file is not None and kind_of(file) in (PROJECT, APP) else None


_statements: dict[type, Place] = {}


def _statement(made: type) -> Place:
    """The class statement of a view without code of its own."""
    place = _statements.get(made)
    if place is None:
        try:
            line = inspect.getsourcelines(made)[1]
        except (OSError, TypeError):  # no source at hand
            line = 0
        file = getattr(sys.modules.get(made.__module__), "__file__", None) or "<unknown>"
        place = _statements[made] = Place(file, line, made.__qualname__, -1)
    return place


def as_json(place: Place | None) -> dict[str, Any] | None:
    return None if place is None else place.as_json()
