"""`workbench.profile_queries`: what a callable, a page or a piece of code asks of the database."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import linecache
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.profile import fingerprints, scaling
from workbench.profile.findings import suspects
from workbench.profile.loading import DEMO, Data, Loaded
from workbench.profile.records import PageView, Pass
from workbench.schema import from_json
from workbench.steps.observing import is_set_up, observed
from workbench.steps.step import Step

#: The name under which code that is given as text stands in tracebacks and places.
CODE = "<cell: code>"
_URL = re.compile(r"(?:https?:/)?/")
_UNSAFE = "DJANGO_ALLOW_ASYNC_UNSAFE"

#: Visits a page in a pass, with a limit.
_Visit = Callable[[Pass, Mapping[str, Any] | None], PageView]


def profile_queries(
    target: Callable[[], Any] | str,
    *,
    prove: bool = False,
    headers: Mapping[str, str] | None = None,
    project: str | Path | Loaded | None = None,
    settings: str | None = None,
    namespace: dict[str, Any] | None = None,
) -> Step:
    """See `workbench.profile_queries`."""
    if isinstance(target, str) and _URL.match(target):
        if prove:
            raise WorkbenchError(
                "prove= is for callables and code: the findings of a page are tested always", "leave it out"
            )
        return _page(target, headers or {}, project, settings)
    if headers is not None or project is not None or settings is not None:
        raise WorkbenchError(
            "headers=, project= and settings= are for a URL: a callable or code runs in this process, as Django is here",
            'leave them out, or give a URL ("/orders/")',
        )
    _require_here("a callable or code")
    call, label = _compiled(target, namespace) if isinstance(target, str) else _callable(target)
    with observed(label) as made:
        call()
    return _proven(call, label, made.step) if prove else made.step


def _callable(target: Any) -> tuple[Callable[[], Any], str]:
    """What to call, and its name; its own folder is somebody's project, wherever it lies."""
    if not callable(target):
        raise WorkbenchError(
            f"{type(target).__name__} is nothing that can be profiled",
            'give a callable without arguments, a URL ("/orders/") or code as text',
        )
    from workbench.guest import sites

    plain = target
    while isinstance(plain, functools.partial):
        plain = plain.func
    plain = inspect.unwrap(plain)
    code = getattr(plain, "__code__", None) or getattr(vars(type(plain)).get("__call__"), "__code__", None)
    if code is not None and not code.co_filename.startswith("<"):
        sites.also(str(Path(code.co_filename).parent))
    if inspect.iscoroutinefunction(plain):
        from asgiref.sync import async_to_sync

        target = async_to_sync(target)
    return target, str(getattr(plain, "__qualname__", type(plain).__name__))


def _compiled(code: str, namespace: dict[str, Any] | None) -> tuple[Callable[[], Any], str]:
    made = compile(code, CODE, "exec")
    linecache.cache[CODE] = (len(code), None, code.splitlines(keepends=True), CODE)
    names = vars(sys.modules["__main__"]) if namespace is None else namespace
    label = code.strip().partition("\n")[0][:60]
    return lambda: exec(made, names), label  # noqa: S102 the user's own code


def _proven(call: Callable[[], Any], label: str, step: Step) -> Step:
    """Call again with the rows of each likely producer cut."""
    from workbench.guest.capture import PageCutError

    whole = step.view

    def visit(limit: dict[str, Any]) -> PageView:
        made = None
        try:
            # One that sees fewer rows than it counted may loop without end.
            with observed(label, limit={**limit, "queries": 3 * len(whole.queries) + 50}) as made:
                call()
        except (Exception, PageCutError):  # it is in the record, and so this cut shows nothing
            if made is None:
                raise
        return made.step.view

    judged = scaling.judged(suspects(None, whole, whole), whole, visit)
    return replace(step, findings=tuple(one.finding for one in judged))


def _page(
    url: str, headers: Mapping[str, str], project: str | Path | Loaded | None, settings: str | None
) -> Step:
    if project is None and settings is None:
        _require_here("a URL without project=")
        from workbench.guest import sandbox

        if not sandbox.is_on():
            raise WorkbenchError(
                f"{url} is not visited: Django is on databases of its own here, and a page may write, send and call",
                "give project=PATH to visit it on a private copy; where it may do what it does, profile "
                f"lambda: django.test.Client().get({url!r})",
            )
        return _visited(_here(url, headers))
    from workbench import project as projects
    from workbench.profile import pages

    with contextlib.ExitStack() as stack:
        loaded = project
        if not isinstance(loaded, Loaded):
            found = projects.find(None if project is None else Path(str(project)), settings)
            loaded = stack.enter_context(Loaded(found, DEMO if found.demo else Data()))
        process = stack.enter_context(loaded.process(attribution=True))
        return _visited(lambda pass_, limit: pages.visit(process, url, pass_, headers=headers, limit=limit))


def _here(url: str, headers: Mapping[str, str]) -> _Visit:
    from workbench.guest import capture, pages

    def visit(pass_: Pass, limit: Mapping[str, Any] | None) -> PageView:
        try:
            return from_json(PageView, pages.visit(url, pass_, headers, limit))
        except RuntimeError as error:
            raise WorkbenchError(str(error), "let the other one end first") from error
        finally:
            capture.unwatch()

    return visit


def _visited(visit: _Visit) -> Step:
    """A page by all passes: times from the warm view, relations from the attributed one, verdicts by cutting its rows."""
    cold, warm, attributed = (visit(pass_, None) for pass_ in ("cold", "warm", "attributed"))
    found = suspects(cold, warm, attributed)
    judged = scaling.judged(found, attributed, lambda limit: visit("truncated", limit))
    view, told = _joined(warm, attributed)
    return Step(view, tuple(one.finding for one in judged), attributed=told, timed=True)


def _joined(warm: PageView, attributed: PageView) -> tuple[PageView, bool]:
    """The warm view with what the attributed one tells of the same statements; by itself where they differ."""
    pairs = list(zip(warm.queries, attributed.queries, strict=False))
    same = all(fingerprints.of(one) == fingerprints.of(other) for one, other in pairs)
    if not same or len(warm.queries) != len(attributed.queries):
        return warm, False
    queries = tuple(
        replace(
            one,
            relation=other.relation,
            producer=other.producer,
            batch=other.batch,
            same_as=other.same_as,
            template=other.template or one.template,
        )
        for one, other in pairs
    )
    return replace(warm, queries=queries, batches=attributed.batches), True


def _require_here(what: str) -> None:
    if not is_set_up():
        raise WorkbenchError(
            f"{what} is profiled in this process, and Django is not set up in it",
            "call django.setup() first (DJANGO_SETTINGS_MODULE names the settings), or in a notebook %django load PATH; "
            "or give a URL with project=PATH",
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if not os.environ.get(_UNSAFE):
        raise WorkbenchError(
            "an event loop runs in this thread, as in every ordinary cell of a notebook, and Django refuses its databases there",
            "put %%django above the cell, or %django auto once; in asynchronous code, await sync_to_async(profile_queries)(...)",
        )
