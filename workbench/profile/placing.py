"""Where in the source a queryset can be changed, from the places where it came into being and was refined.

The last refinement is the best place: what comes before may be shared by more. A helper, manager method or property that does
nothing but return the queryset is left alone, and its caller is changed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.profile.edits import Spot
from workbench.profile.records import Site
from workbench.profile.sources import NoEditError, Source, Sources

#: First line, last line, first column, last column, as `workbench.guest.positions` tells them.
Span = tuple[int, int, int, int]

#: Methods that give a queryset: more calls can follow.
REFINING = frozenset(
    {
        "alias", "all", "annotate", "complex_filter", "defer", "distinct", "exclude", "extra", "filter", "get_queryset", "none",
        "only", "order_by", "prefetch_related", "raw", "reverse", "select_for_update", "select_related", "using",
    }
)  # fmt: skip
#: Methods that end a chain: more calls go before them.
ENDING = frozenset(
    {"aearliest", "afirst", "aget", "aiterator", "alast", "alatest", "earliest", "first", "get", "iterator", "last", "latest"}
)  # fmt: skip
SHORTCUTS = frozenset({"aget_list_or_404", "aget_object_or_404", "get_list_or_404", "get_object_or_404"})
#: They cut a page out of a queryset that was made before, and give no queryset.
PAGING = frozenset({"get_page", "page", "paginate_queryset", "paginate"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class _Node:
    """A place of a queryset's making with the expression that stands there."""

    site: Site
    source: Source
    node: ast.expr | ast.ClassDef


def spots(sources: Sources, created: Sequence[Site], spans: Mapping[Site, Span], manager: str) -> list[Spot]:
    """Where calls on the queryset can be put, the best place first.

    Args:
        sources: the project's files.
        created: of the evaluation.
        spans: of these sites, where the interpreter tells.
        manager: name of the model's default manager.

    Raises:
        NoEditError: there is no such place, and why.
    """
    if not created:
        raise NoEditError("no line of the project makes this queryset")
    nodes, reasons = [], []
    for site in reversed(created):
        try:
            source = sources.read(site.file)
            nodes.append(_Node(site, source, _node(source, site, spans.get(site))))
        except NoEditError as error:
            reasons.append(str(error))
    found: list[Spot] = []
    for calls in (_of_queryset, _of_unknown):
        for one in nodes:
            try:
                spot = calls(one, nodes, manager)
            except NoEditError as error:
                reasons.append(str(error))
                continue
            if spot is not None:
                found.append(spot)
    if not found:
        raise NoEditError(reasons[0] if reasons else f"no queryset is made at {created[-1].location}")
    return list(dict.fromkeys(found))


def expressions(
    sources: Sources, created: Sequence[Site], spans: Mapping[Site, Span]
) -> list[tuple[Source, ast.expr]]:
    """The whole expressions in which a queryset is made, the last first.

    Raises:
        NoEditError: none can be told.
    """
    found, reasons = [], [f"no queryset is made at {site.location}" for site in created[-1:]]
    for site in reversed(created):
        try:
            source = sources.read(site.file)
            node: ast.AST = _node(source, site, spans.get(site))
        except NoEditError as error:
            reasons.append(str(error))
            continue
        if isinstance(node, ast.ClassDef):
            made = [
                one.value
                for one in node.body
                if isinstance(one, ast.Assign) and _name(one.targets[0]) == "queryset"
            ]
            found += [(source, one) for one in made]
            continue
        while _goes_on(source.parents.get(node), node):
            node = source.parents[node]
        assert isinstance(node, ast.expr)
        found.append((source, node))
    if not found:
        raise NoEditError(reasons[-1] if reasons else "no line of the project makes this queryset")
    return list(dict.fromkeys(found))


def _goes_on(above: ast.AST | None, node: ast.AST) -> bool:
    """Whether what stands above only continues the chain."""
    if isinstance(above, ast.Attribute | ast.Subscript):
        return above.value is node
    return isinstance(above, ast.Call) and above.func is node


def _node(source: Source, site: Site, span: Span | None) -> ast.expr | ast.ClassDef:
    if span is not None:
        ends = [
            node
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call | ast.Subscript | ast.Attribute | ast.BinOp)
            and (node.end_lineno, node.end_col_offset) == (span[1], span[3])
        ]
        # A call over several lines begins, for the interpreter, at its method's name; its end is told as it is.
        exact = [node for node in ends if (node.lineno, node.col_offset) == (span[0], span[2])]
        if exact or ends:
            return (exact or sorted(ends, key=lambda node: isinstance(node, ast.BinOp)))[0]
        raise NoEditError(f"{site.location} is no call that could be followed by another")
    if site.lasti < 0:
        return _class(source, site)
    return _on_line(source, site)


def _class(source: Source, site: Site) -> ast.ClassDef:
    found: ast.AST = source.tree
    for name in site.function.split("."):
        inner = [one for one in getattr(found, "body", []) if getattr(one, "name", None) == name]
        if not inner:
            raise NoEditError(f"{site.function} is not made by a class statement in {source.file}")
        found = inner[-1]
    if not isinstance(found, ast.ClassDef):
        raise NoEditError(f"{site.function} is no class in {source.file}")
    return found


def _on_line(source: Source, site: Site) -> ast.expr:
    """Where the interpreter tells a line only: the one chain of calls on a queryset that is there."""
    chains = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in REFINING | ENDING
            or _name(node.func.value) == "objects"
            or node.func.attr in SHORTCUTS
        )
        and node.lineno <= site.line <= (node.end_lineno or node.lineno)
    ] + [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _name(node.func) in SHORTCUTS and node.lineno == site.line
    ]
    inside = {inner for node in chains for inner in ast.walk(node) if inner is not node}
    outer = [node for node in chains if node not in inside]
    if len(outer) != 1:
        raise NoEditError(
            f"Python before 3.11 does not tell which of {len(outer)} querysets at {site.location} it is"
            if outer
            else f"no queryset is made at {site.location}"
        )
    return outer[0]


def _of_queryset(one: _Node, nodes: Sequence[_Node], manager: str) -> Spot | None:
    """A place that certainly makes a queryset; None for others."""
    node, source = one.node, one.source
    if isinstance(node, ast.ClassDef):
        return _on_class(source, node, manager)
    caller = _caller(one, nodes)
    if caller is not None:
        return _after(caller.source, caller.node, "the caller of what makes it")
    if isinstance(node, ast.Subscript):
        return _after(source, node.value, "before the slice")
    if not isinstance(node, ast.Call):
        return None
    called = _name(node.func)
    if called in SHORTCUTS and node.args:
        return _first_argument(source, node.args[0], manager)
    if isinstance(node.func, ast.Attribute):
        if called in ENDING:
            return _after(source, node.func.value, f"before .{called}()")
        if called in REFINING:
            return _after(source, node, f"after .{called}()")
    return None


def _of_unknown(one: _Node, nodes: Sequence[_Node], manager: str) -> Spot | None:
    """A method of the project's own, which may or may not give a queryset: the trial tells."""
    node = one.node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in REFINING | ENDING | PAGING | SHORTCUTS:
            return None
        on_manager = _name(node.func.value) in ("objects", manager) or isinstance(node.func.value, ast.Call)
        return _after(one.source, node, f"after .{node.func.attr}()") if on_manager else None
    return None


def _after(source: Source, node: ast.expr, words: str) -> Spot:
    if not isinstance(node, ast.Call | ast.Name | ast.Attribute | ast.Subscript):
        raise NoEditError(f"{source.file}:{node.lineno} is no expression that a call can follow")
    end, line = source.end(node), node.end_lineno or node.lineno
    return Spot(source.file, end, line, joint=_joint(source, node, end), words=words)


def _joint(source: Source, node: ast.expr, end: int) -> str:
    """Where every call of a chain has a line of its own, so has the new one; a comment keeps its line."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    line = source.line(node.func.end_lineno or node.func.lineno)
    own = re.match(r"([ \t]+)\.", line)
    if own is None or source.text[end : source.end_of_line(end)].strip():
        return ""
    above = source.line((node.func.end_lineno or node.func.lineno) - 1)
    return "" if above.rstrip().endswith("\\") else source.newline + own[1]


def _first_argument(source: Source, argument: ast.expr, manager: str) -> Spot:
    """A model, or a queryset of it."""
    spot = _after(source, argument, "the first argument")
    name = _name(argument)
    is_model = isinstance(argument, ast.Name | ast.Attribute) and name[:1].isupper()
    return replace(spot, lead=f".{manager}") if is_model else spot


def _on_class(source: Source, node: ast.ClassDef, manager: str) -> Spot:
    """A generic view: its `queryset`, or one beside its `model`."""
    model: ast.Assign | None = None
    for one in node.body:
        if isinstance(one, _Function) and one.name == "get_queryset":
            raise NoEditError(f"{node.name}.get_queryset makes it in a way that the place does not tell")
        if isinstance(one, ast.Assign) and len(one.targets) == 1:
            if _name(one.targets[0]) == "queryset" and not isinstance(one.value, ast.Constant):
                return _after(source, one.value, "the class's queryset")
            if _name(one.targets[0]) == "model" and isinstance(one.value, ast.Name | ast.Attribute):
                model = one
    if model is None:
        bases = ", ".join(source.of(base) for base in node.bases)
        raise NoEditError(f"{node.name} has its queryset from {bases or 'elsewhere'}: give it one of its own")
    end = source.end(model)
    rest = source.text[end : source.end_of_line(end)].strip()
    line = source.line(model.lineno)
    indent = line[: len(line) - len(line.lstrip())]
    made = f"queryset = {source.of(model.value)}.{manager}"
    if rest and not rest.startswith("#"):
        return Spot(source.file, end, model.lineno, lead=f"; {made}", words="beside the class's model")
    return Spot(
        source.file,
        source.end_of_line(end),
        model.lineno,
        lead=f"{source.newline}{indent}{made}",
        words="beside the class's model",
    )


@dataclass(frozen=True)
class _Caller:
    source: Source
    node: ast.expr


def _caller(one: _Node, nodes: Sequence[_Node]) -> _Caller | None:
    """Who calls the function that does nothing but return this queryset; a generic view's caller is Django."""
    assert isinstance(one.node, ast.expr)
    function = one.source.function(one.node)
    if function is None or function.name != one.site.function or not _only_returns(function, one.node):
        return None
    for other in nodes:
        node = other.node
        if isinstance(node, ast.ClassDef) or other.source.function(node) is function:
            continue
        named = _name(node.func) if isinstance(node, ast.Call) else _name(node)
        if named == function.name:
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and _is_super(node.func.value)
            ):
                return None
            return _Caller(other.source, node)
    return None


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) == "super"


def _only_returns(function: _Function, node: ast.expr) -> bool:
    body = [
        one
        for one in function.body
        if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
    ]
    return len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is node


def _name(node: ast.expr) -> str:
    """The last name of a dotted expression; "" for others."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def chain(node: ast.expr) -> Iterator[ast.Call]:
    """The calls of a chain, from the last one inwards."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node
            node = node.func.value
        elif isinstance(node, ast.Subscript | ast.Attribute):
            node = node.value
        else:
            return
