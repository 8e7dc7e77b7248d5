"""The pages of a project, read off its URL configurations; arguments are filled from the data (`workbench.guest.arguments`)."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.urls.resolvers import LocalePrefixPattern
from django.utils.regex_helper import normalize

from workbench.guest import arguments

#: Tools that people keep in their URLs and that no visitor sees.
_LEFT_OUT = ("admin", "djdt", "debug_toolbar", "silk", "hijack", "browser_reload", "django_browser_reload")
#: Likewise, by the module of their URL configuration.
_LEFT_MODULES = ("wagtail.admin.urls", "django.contrib.admindocs.urls", "debug_toolbar.urls", "silk.urls")
_FILES = ("django.views.static", "django.contrib.staticfiles.views", "django.conf.urls.static")


def urls(limit: int = 500) -> list[dict[str, Any]]:
    """A row for each page: template, view, methods, whether it asks for a login, and a URL to visit (None without one).

    Pages of another host's URL configuration have an absolute URL: `http://api.localhost/...`.
    """
    found: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    for host, module in hosts():
        try:
            resolver = get_resolver(module)
            leaves = list(_leaves(resolver, "", "^/", False))
        except Exception as error:  # noqa: BLE001 one host's configuration may be broken, and the others not
            found.append(_row("(%s)" % (module or settings.ROOT_URLCONF), "", error=_line(error)))
            continue
        for template, regex, entry in leaves:
            row = _page(host, module, template, regex, entry)
            if (row["template"], row["view"]) not in seen:
                seen.add((row["template"], row["view"]))
                found.append(row)
    return found[:limit]


def hosts() -> list[tuple[str, str | None]]:
    """Each host (or "") with its URL configuration; None is ROOT_URLCONF."""
    found: list[tuple[str, str | None]] = [("", None)]
    for name, module in dict(getattr(settings, "SUBDOMAIN_URLCONFS", None) or {}).items():
        found.append((_host(name), module))
    if getattr(settings, "ROOT_HOSTCONF", None):
        try:
            patterns = importlib.import_module("django_hosts.resolvers").get_host_patterns()
        except Exception:  # noqa: BLE001 without the package the setting says nothing
            patterns = []
        for pattern in patterns:
            literal = str(pattern.regex).strip("^$").replace("\\.", ".")
            if not any(sign in literal for sign in "()[]{}?*+|\\"):
                found.append((_host(literal), pattern.urlconf))
    return [(host, module) for host, module in found if host == "" or module != settings.ROOT_URLCONF]


def _host(name: Any) -> str:
    parent = str(
        getattr(settings, "PARENT_HOST", "") or getattr(settings, "SESSION_COOKIE_DOMAIN", "") or "localhost"
    )
    return f"{name}.{parent.lstrip('.')}" if name else parent.lstrip(".")


def _leaves(resolver: Any, template: str, regex: str, login: bool) -> Iterator[tuple[str, str, Any]]:
    for entry in resolver.url_patterns:
        text, part = _text(entry.pattern), str(entry.pattern.regex.pattern)
        below = regex + part[1:] if part.startswith("^") else regex + ("" if part == "" else ".*" + part)
        if isinstance(entry, URLResolver):
            module = getattr(entry.urlconf_name, "__name__", entry.urlconf_name)
            left = {entry.app_name, entry.namespace} & set(_LEFT_OUT) or (
                isinstance(module, str) and module in _LEFT_MODULES
            )
            if not left:
                yield from _leaves(entry, template + text, below, login)
        elif isinstance(entry, URLPattern) and not _serves_files(entry.callback):
            yield template + text, below, entry


def _text(pattern: Any) -> str:
    if isinstance(pattern, LocalePrefixPattern):
        return str(pattern.language_prefix)
    return str(pattern)


def _serves_files(view: Any) -> bool:
    return getattr(view, "__module__", "").startswith(_FILES) or getattr(view, "__module__", "").startswith(
        ("debug_toolbar", "silk", "django.contrib.admin")
    )


def _page(host: str, module: str | None, template: str, regex: str, entry: Any) -> dict[str, Any]:
    view = entry.callback
    row = _row(
        (host + "/" if host else "") + template,
        view_name(view),
        methods=methods(view),
        login=asks_for_login(view),
    )
    if row["methods"] and "GET" not in row["methods"]:
        return row
    try:
        path = _filled(module, regex, entry)
    except Exception as error:  # noqa: BLE001 a converter or a view of the project may raise
        row["error"] = _line(error)
        return row
    if path is None:
        row["error"] = "no value was found for its arguments"
    else:
        row["url"] = f"http://{host}{path}" if host else path
    return row


def _filled(module: str | None, regex: str, entry: Any) -> str | None:
    """The path of a page: its pattern turned round as Django's `reverse` does it, with values that lead back to its view."""
    view, defaults = entry.callback, entry.default_args
    candidates = []
    for form, names in normalize(regex):
        # The form is one for the % operator, in which a % of the path stands doubled.
        candidates += [form % values for values in arguments.candidates(view, names, entry)]
        if not names:
            break
    good = []
    for path in dict.fromkeys(candidates):
        try:
            match = resolve(path, module)
        except Exception:  # noqa: BLE001, S112 a value of the wrong form is no candidate
            continue
        if match.func is view or view_name(match.func) == view_name(view) or match.kwargs == defaults:
            good.append(path)
    if len(good) < 2:
        return good[0] if good else None
    return arguments.first_that_answers(good)


def view_name(view: Any) -> str:
    """The dotted name of a view, below its decorators."""
    inner: Any = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if inner is None:
        try:
            inner = inspect.unwrap(view)
        except ValueError:
            inner = view
        inner = getattr(inner, "func", inner)  # functools.partial
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    return f"{getattr(inner, '__module__', '') or type(inner).__module__}.{name}"


def methods(view: Any) -> list[str]:
    """What a view answers, as far as its class or its decorator tells; [] when neither does."""
    if actions := getattr(view, "actions", None):  # a viewset of the REST framework
        return sorted({name.upper() for name in actions})
    if listed := _closed_over(view, "request_method_list"):
        return sorted({str(name).upper() for name in listed})
    inner = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if inner is not None:
        return sorted(
            name.upper() for name in inner.http_method_names if name != "options" and hasattr(inner, name)
        )
    return []


def asks_for_login(view: Any) -> bool:
    """Whether a decorator, a mixin or a permission class asks for a user; what a view does inside is not seen."""
    inner = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if inner is not None:
        names = {one.__name__ for one in getattr(inner, "__mro__", ())}
        if names & {
            "LoginRequiredMixin",
            "PermissionRequiredMixin",
            "UserPassesTestMixin",
            "StaffuserRequiredMixin",
        }:
            return True
        permissions = [
            getattr(one, "__name__", "") for one in getattr(inner, "permission_classes", None) or ()
        ]
        if any(
            name.startswith(("IsAuthenticated", "IsAdmin", "DjangoModel")) and "ReadOnly" not in name
            for name in permissions
        ):
            return True
        dispatch = getattr(inner, "dispatch", None)
        if _closed_over(dispatch, "test_func") or _closed_over(dispatch, "login_url"):
            return True
    if _closed_over(view, "test_func"):
        return True
    everywhere = any(str(one).endswith("LoginRequiredMiddleware") for one in settings.MIDDLEWARE)
    return everywhere and getattr(view, "login_required", True)


def _closed_over(view: Any, name: str) -> Any:
    """A variable that a decorator closed over, at any depth of wrapping."""
    for _ in range(20):
        code, cells = getattr(view, "__code__", None), getattr(view, "__closure__", None)
        if code is not None and cells and name in code.co_freevars:
            try:
                return cells[code.co_freevars.index(name)].cell_contents
            except ValueError:
                return None
        view = getattr(view, "__wrapped__", None)
        if view is None:
            return None
    return None


def _row(template: str, view: str, **more: Any) -> dict[str, Any]:
    return {
        "template": template,
        "view": view,
        "methods": [],
        "login": False,
        "url": None,
        "error": None,
        **more,
    }


def _line(error: BaseException) -> str:
    return (f"{type(error).__name__}: {error}").strip().splitlines()[0][:300]
