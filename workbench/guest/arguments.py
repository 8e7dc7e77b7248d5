"""Values for the arguments of a page, taken from the data: the model is read off the view, the field off the argument's name."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections, models, transaction

#: Names whose value is no row's.
_FIXED = {
    "page": ["1"], "lang": None, "language": None, "language_code": None, "format": ["json", "html"], "ext": ["json", "html"],
    "year": None, "month": None, "day": None, "week": ["1"], "hash": [], "token": [], "uidb64": [], "signature": [],
}  # fmt: skip
_KEYS = ("pk", "id", "uuid", "slug", "username", "name", "code", "key", "number", "path", "ref", "uid")
_EACH, _ALL = 3, 8  #: values tried for one argument; combinations tried for one page


def candidates(view: Any, names: list[str], entry: Any) -> Iterator[dict[str, Any]]:
    """Values for all arguments of a page, the likeliest first."""
    if not names:
        yield {}
        return
    tried = 0
    for model in [*models_of(view, names, entry), None]:
        rows: list[Any] = _rows(model) if model is not None else [None]
        for row in rows:
            values = [list(itertools.islice(_values(name, row, view, entry), _EACH)) for name in names]
            if not all(values):
                continue
            # All of the first row's fields; of the other rows the likeliest, which say more.
            for combination in itertools.islice(itertools.product(*values), _EACH if row is rows[0] else 1):
                yield dict(zip(names, combination))
                tried += 1
                if tried >= _ALL:
                    return


def models_of(view: Any, names: list[str], entry: Any) -> list[Any]:
    """Models that a page may show, the likeliest first."""
    found: list[Any] = []
    inner = getattr(view, "view_class", None) or getattr(view, "cls", None)
    options = {**(getattr(view, "view_initkwargs", None) or {}), **(getattr(view, "initkwargs", None) or {})}
    holders: tuple[Any, Any] = (options.get, lambda name: getattr(inner, name, None))
    for holder in holders:
        if (queryset := holder("queryset")) is not None and hasattr(queryset, "model"):
            found.append(queryset.model)
        if _is_model(model := holder("model")):
            found.append(model)
        form = getattr(holder("form_class") or holder("serializer_class"), "Meta", None) or getattr(
            holder("form_class") or holder("serializer_class"), "_meta", None
        )
        if _is_model(model := getattr(form, "model", None)):
            found.append(model)
    function = inner
    if function is None:
        try:
            function = inspect.unwrap(view)
        except ValueError:
            function = view
    known = {model.__name__.lower(): model for model in reversed(_models(function))}
    # What the code names: `get_object_or_404(Article, ...)`, in its order.
    for name in _names_in(function):
        used = getattr(inspect.getmodule(function), name, None)
        if _is_model(used):
            found.append(used)
    words = [re.sub(r"_?(pk|id|slug|uuid|name|code|key)$", "", name.lower()) for name in names]
    words += re.findall(r"[a-z]+", str(entry.name or "").lower())[::-1]
    words += re.findall(r"[a-z]+", str(entry.pattern).lower())[::-1]
    for word in filter(None, words):
        for form in (word.replace("_", ""), word.rstrip("s"), re.sub(r"ies$", "y", word)):
            found += [known[form]] if form in known else []
    return list(dict.fromkeys(model for model in found if not model._meta.abstract))[:4]


def _names_in(function: Any) -> list[str]:
    if inspect.isclass(function):
        codes = [getattr(item, "__code__", None) for item in vars(function).values()]
    else:
        codes = [getattr(function, "__code__", None)]
    return [name for code in codes if code is not None for name in code.co_names]


def _models(function: Any) -> list[Any]:
    """All models, those of the view's own app first."""
    place = str(getattr(function, "__module__", ""))
    return sorted(
        apps.get_models(), key=lambda model: not place.startswith(model.__module__.rpartition(".")[0])
    )


def _is_model(one: Any) -> bool:
    return inspect.isclass(one) and issubclass(one, models.Model) and not one._meta.abstract


def _rows(model: Any, number: int = 3) -> list[Any]:
    """A few rows, as the model's own manager shows them; of a model that cannot be read, none."""
    for manager in (model._default_manager, model._base_manager):
        try:
            with transaction.atomic(using=manager.db):
                # From the middle: the first row is often a root or an example that no page shows.
                found = list(manager.order_by("pk")[:25])
            if found:
                return list(dict.fromkeys([found[len(found) // 2], found[0], found[-1]]))[:number]
        except Exception:  # noqa: BLE001, S112 unmanaged, or a manager that fails
            continue
    return []


def _values(name: str, row: Any, view: Any, entry: Any) -> Iterator[Any]:
    lowered = name.lower()
    converter = (getattr(entry.pattern, "converters", None) or {}).get(name)
    nameless = name.startswith(
        "_"
    )  # a group without a name, which may match nothing at all: the root of a site
    for value in itertools.chain(_raw(lowered, name, row, view), [""] if nameless and row is None else []):
        if value is None or (value == "" and not nameless):
            continue
        try:
            yield converter.to_url(value) if converter is not None else str(value)
        except Exception:  # noqa: BLE001, S112 a converter refuses what is not its own
            continue


def _raw(lowered: str, name: str, row: Any, view: Any) -> Iterator[Any]:
    if lowered in _FIXED and not (row is not None and _has(row, name)):
        fixed = _FIXED[lowered]
        if fixed is not None:
            yield from fixed
        elif lowered.startswith("lang"):
            yield settings.LANGUAGE_CODE
        else:
            yield from _date_part(lowered, row)
        return
    if row is None:
        # No model: a converter's own example, and the numbers that pages without rows take.
        yield from ("1", "a")
        return
    inner = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if name in (getattr(inner, "slug_url_kwarg", None), getattr(inner, "lookup_url_kwarg", None)):
        yield _get(row, getattr(inner, "slug_field", None) or getattr(inner, "lookup_field", None) or "slug")
    if name in (getattr(inner, "pk_url_kwarg", None), getattr(inner, "lookup_field", None)):
        yield _get(row, name if _has(row, name) else "pk")
    if lowered == "pk" or lowered == "object_id":
        yield row.pk
    if _has(row, name):
        yield _get(row, name)
    for key in _KEYS:
        if lowered != key and lowered.endswith(key):
            owner = lowered[: -len(key)].rstrip("_")
            related = _get(row, owner) if owner and _has(row, owner) else None
            if isinstance(related, models.Model):
                yield _get(related, key)
            elif _has(row, key):
                yield _get(row, key)
    yield row.pk
    for field in row._meta.concrete_fields:
        if field.unique and not field.primary_key:
            yield _get(row, field.attname)
    for field in row._meta.concrete_fields:
        if isinstance(field, models.SlugField):
            yield _get(row, field.attname)


def _date_part(part: str, row: Any) -> Iterator[Any]:
    for field in row._meta.concrete_fields if row is not None else ():
        value = _get(row, field.attname) if isinstance(field, models.DateField) else None
        if value is not None:
            number = getattr(value, part, None)
            yield number
            if part == "month":
                yield value.strftime("%b").lower()


def _has(row: Any, name: str) -> bool:
    if name == "pk":
        return True
    try:
        row._meta.get_field(name)
    except Exception:  # noqa: BLE001 FieldDoesNotExist, and what a broken model raises
        return name in {field.attname for field in row._meta.concrete_fields}
    return True


def _get(row: Any, name: str) -> Any:
    try:
        return getattr(row, name, None)
    except Exception:  # noqa: BLE001 a relation that dangles
        return None


def first_that_answers(paths: list[str]) -> str:
    """The first of some paths that is not answered by 404, else the first; what they write is rolled back."""
    from contextlib import ExitStack

    from django.test import Client

    for path in paths:
        with ExitStack() as stack:
            for alias in connections:
                stack.enter_context(transaction.atomic(using=alias))
            try:
                status = Client(raise_request_exception=False).get(path, HTTP_HOST="localhost").status_code
            except Exception:  # noqa: BLE001 a middleware may raise past the client
                status = 500
            for alias in connections:
                transaction.set_rollback(True, using=alias)
        if status != 404:
            return path
    return paths[0]
