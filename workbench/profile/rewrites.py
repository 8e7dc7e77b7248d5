"""Edits that change more than one call: taking a name out of a call, a count that the database makes, rows written in one go."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from workbench.profile import placing
from workbench.profile.edits import Call, Edit, Spot
from workbench.profile.sources import NoEditError, Replacement, Source

_Loop = ast.For | ast.AsyncFor | ast.comprehension
_Function = ast.FunctionDef | ast.AsyncFunctionDef

#: Makes an edit of an expression, or says why not.
Rewrite = Callable[[Source, ast.expr], Edit]


def without_name(source: Source, chain: Sequence[ast.Call], verb: str, path: str) -> Edit:
    """Take a path out of `select_related` or `prefetch_related`, and what it only leads to; a path to what is above stays.

    Args:
        source: of the file.
        chain: the calls on the queryset.
        verb: which of the two.
        path: that nothing reads.

    Raises:
        NoEditError: no call names it in so many words.
    """
    for call in chain:
        if not isinstance(call.func, ast.Attribute) or call.func.attr != verb or call.keywords:
            continue
        named = [_text(argument) for argument in call.args]
        for position, name in enumerate(named):
            if name is not None and (name == path or name.startswith(f"{path}__")):
                above = path.rpartition("__")[0]
                kept = above and not any(other and _covers(other, above) for other in named if other != name)
                if kept:
                    return Edit(replacements=(_replaced(source, call.args[position], above),))
                return Edit(replacements=(_dropped(source, call, position),))
    raise NoEditError(f"no {verb}() of this queryset names {path} in so many words")


def undeferred(source: Source, chain: Sequence[ast.Call], name: str) -> Edit:
    """Have a column loaded with the rows: out of `defer`, or into `only`.

    Raises:
        NoEditError: neither stands there in so many words.
    """
    for call in chain:
        if not isinstance(call.func, ast.Attribute) or call.keywords:
            continue
        named = [_text(argument) for argument in call.args]
        if call.func.attr == "defer" and name in named:
            return Edit(replacements=(_dropped(source, call, named.index(name)),))
        if call.func.attr == "only" and named and None not in named:
            end = source.end(call.args[-1])
            text = f", {source.quote}{name}{source.quote}"
            return Edit(replacements=(Replacement(source.file, end, end, text),))
    raise NoEditError(f"no defer() or only() of this queryset names {name} in so many words")


def counted(
    source: Source, spot: Spot, asking: ast.Call, accessor: str, query: str, *, taken: Sequence[str]
) -> Edit:
    """`.count()` of a relation of each row, as an annotation of the rows.

    Args:
        source: of the file, in which both stand.
        spot: where the rows' queryset can be changed.
        asking: the call in the loop.
        accessor: the relation.
        query: the name that queries have for it.
        taken: names that the model has already.

    Raises:
        NoEditError: it cannot be seen that the loop goes over those rows and nothing else.
    """
    holder = _counted_of(asking, accessor)
    if holder is None:
        raise NoEditError(f"what counts is not written as row.{accessor}.count()")
    loop = _loop_of(source, asking, holder.id)
    if loop is None or spot.file != source.file or not _goes_over(source, loop, spot):
        raise NoEditError(f"{holder.id} may come from elsewhere than the rows that would be annotated")
    name = f"{accessor}_count"
    if name in taken:
        raise NoEditError(f"the model has a {name} already")
    count, imports = _imported(source)
    code = f"{name}={count}({source.quote}{query}{source.quote}, distinct=True)"
    start, end = source.start(asking), source.end(asking)
    replaced = Replacement(source.file, start, end, f"{source.of(holder)}.{name}")
    return Edit((Call(spot, "annotate", code=(code,)),), (replaced, *imports))


def in_pieces(source: Source, node: ast.expr, size: int) -> Edit:
    """`.iterator()` where a loop goes over a queryset directly, and so once.

    Raises:
        NoEditError: the result may be used again.
    """
    above = source.parents.get(node)
    if not (isinstance(above, _Loop) and above.iter is node):
        raise NoEditError("no loop goes over it where it is made, so that it may be used again")
    end = source.end(node)
    spot = Spot(source.file, end, node.end_lineno or node.lineno, words="where the loop goes over it")
    return Edit((Call(spot, "iterator", code=(f"chunk_size={size}",)),))


def written_at_once(source: Source, creating: ast.Call) -> Edit:
    """`create()` as all that a loop does, as one `bulk_create()`.

    Raises:
        NoEditError: the loop does more, or what it writes may depend on what it wrote.
    """
    statement = source.parents.get(creating)
    loop = source.parents.get(statement) if statement is not None else None
    if not isinstance(statement, ast.Expr) or not isinstance(loop, ast.For) or loop.body != [statement]:
        raise NoEditError("the loop does more than create rows, or uses them")
    func = creating.func
    if not isinstance(func, ast.Attribute) or not isinstance(func.value, ast.Attribute) or creating.args:
        raise NoEditError("the rows are not created by Model.objects.create(…)")
    model = func.value.value
    if (
        not isinstance(model, ast.Name | ast.Attribute)
        or not source.of(model).rpartition(".")[2][:1].isupper()
    ):
        raise NoEditError("the rows are not created by Model.objects.create(…)")
    parts = [keyword.value for keyword in creating.keywords]
    calls = any(
        isinstance(one, ast.Call | ast.Await | ast.NamedExpr | ast.Yield | ast.YieldFrom)
        for part in parts
        for one in ast.walk(part)
    )
    if calls or loop.orelse or not _is_plain(loop.iter):
        raise NoEditError("its values, or what it goes over, may depend on the rows that it has written")
    if any(isinstance(one, ast.Try | ast.With) for one in _within_function(source, loop)):
        raise NoEditError("a try or with around it may mean each row by itself")
    if "\n" in source.text[source.start(loop) : source.end(loop)].replace(source.newline, "", 1):
        raise NoEditError("its statement goes over several lines")
    targets = {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
    around: ast.AST = source.function(loop) or source.tree
    within = set(ast.walk(loop))
    if any(isinstance(one, ast.Name) and one.id in targets and one not in within for one in ast.walk(around)):
        raise NoEditError("its variable is used outside of the loop as well")
    arguments = source.text[source.end(func) : source.end(creating)]
    text = (
        f"{source.of(func.value)}.bulk_create([{source.of(model)}{arguments} "
        f"for {source.of(loop.target)} in {source.of(loop.iter)}])"
    )
    return Edit(replacements=(Replacement(source.file, source.start(loop), source.end(loop), text),))


def _is_plain(node: ast.expr) -> bool:
    """Names, constants, and a range of them."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "range" and not node.keywords
    return isinstance(node, ast.Name | ast.List | ast.Tuple | ast.Constant)


def _within_function(source: Source, node: ast.AST) -> Iterator[ast.AST]:
    for one in source.above(node):
        if isinstance(one, _Function):
            return
        yield one


def _covers(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}__")


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _replaced(source: Source, node: ast.expr, text: str) -> Replacement:
    return Replacement(
        source.file, source.start(node), source.end(node), f"{source.quote}{text}{source.quote}"
    )


def _dropped(source: Source, call: ast.Call, position: int) -> Replacement:
    """An argument taken out, and with the last one the call; a manager alone is no queryset that can be gone over."""
    assert isinstance(call.func, ast.Attribute)
    if len(call.args) > 1:
        if position:
            start, end = source.end(call.args[position - 1]), source.end(call.args[position])
        else:
            start, end = source.start(call.args[0]), source.start(call.args[1])
        return Replacement(source.file, start, end, "")
    goes_on = isinstance(source.parents.get(call), ast.Attribute)
    needed = not goes_on and not isinstance(call.func.value, ast.Call)
    return Replacement(source.file, source.end(call.func.value), source.end(call), ".all()" if needed else "")


def _counted_of(asking: ast.Call, accessor: str) -> ast.Name | None:
    """The name of the row, where the call is `row.accessor.count()`."""
    func = asking.func
    if not isinstance(func, ast.Attribute) or func.attr != "count" or asking.args or asking.keywords:
        return None
    manager = func.value
    if not isinstance(manager, ast.Attribute) or manager.attr != accessor:
        return None
    return manager.value if isinstance(manager.value, ast.Name) else None


def _loop_of(source: Source, node: ast.AST, name: str) -> _Loop | None:
    """The loop whose variable this name is, within the same function."""
    inside: ast.AST = node
    for one in source.above(node):
        if isinstance(one, ast.For | ast.AsyncFor) and inside in one.body and _is_target(one.target, name):
            return one
        if isinstance(one, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            for generator in one.generators:
                if _is_target(generator.target, name) and inside is not generator:
                    return generator
        if isinstance(one, _Function):
            return None
        inside = one
    return None


def _is_target(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name


def _goes_over(source: Source, loop: _Loop, spot: Spot) -> bool:
    """Whether a loop goes over the queryset of a spot: it is made there, or bound to a name that is bound once."""
    iterated = loop.iter
    while (
        isinstance(iterated, ast.Call)
        and isinstance(iterated.func, ast.Name)
        and iterated.func.id == "list"
        and iterated.args
    ):
        iterated = iterated.args[0]
    if source.start(iterated) <= spot.offset <= source.end(iterated):
        return _is_chain(iterated)
    function = source.function(iterated)
    if not isinstance(iterated, ast.Name) or function is None:
        return False
    bound = [
        one
        for one in ast.walk(function)
        if isinstance(one, ast.Name) and one.id == iterated.id and isinstance(one.ctx, ast.Store)
    ]
    made = source.parents.get(bound[0]) if len(bound) == 1 else None
    if not isinstance(made, ast.Assign) or any(
        one.arg == iterated.id for one in ast.walk(function) if isinstance(one, ast.arg)
    ):
        return False
    return source.start(made.value) <= spot.offset <= source.end(made.value) and _is_chain(made.value)


def _is_chain(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or bool(list(placing.chain(node)))


def _imported(source: Source) -> tuple[str, tuple[Replacement, ...]]:
    """How `Count` is called in a file, and what must be added for it."""
    imports = [one for one in source.tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
    for one in imports:
        for alias in one.names:
            module = one.module if isinstance(one, ast.ImportFrom) else None
            if (module, alias.name) == ("django.db.models", "Count"):
                return alias.asname or "Count", ()
            if (module, alias.name) == ("django.db", "models"):
                return f"{alias.asname or 'models'}.Count", ()
    names = {one.id for one in ast.walk(source.tree) if isinstance(one, ast.Name)}
    if "Count" in names:
        raise NoEditError("the file has a Count of its own")
    for one in imports:
        text = source.of(one)
        if isinstance(one, ast.ImportFrom) and one.module == "django.db.models" and text[-1] != ")":
            return "Count", (Replacement(source.file, source.end(one), source.end(one), ", Count"),)
    first = next((one for one in imports if getattr(one, "module", "") != "__future__"), None)
    if first is None or source.parents.get(first) is not source.tree:
        raise NoEditError("the file imports nothing, so that there is no place for Count")
    start = source.start(first)
    text = f"from django.db.models import Count{source.newline}"
    return "Count", (Replacement(source.file, start, start, text),)


def calls_of(node: ast.expr) -> list[ast.Call]:
    """The calls of a chain, from the last one inwards; those around it, as `list()`, are looked through."""
    return list(placing.chain(node))


def calls_at(source: Source, line: int, method: str, holder: str = "") -> list[ast.Call]:
    """The calls of a method on one line, those of `something.holder.method()` where a holder is given."""
    return [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method
        and node.lineno <= line <= (node.end_lineno or node.lineno)
        and (not holder or (isinstance(node.func.value, ast.Attribute) and node.func.value.attr == holder))
    ]
