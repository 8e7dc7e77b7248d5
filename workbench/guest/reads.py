"""What of each instance a page read: attributes and relations, told by the one door that all of them go through.

`Model.__getattribute__` is put on for a pass whose times do not count, and taken off after it. When in doubt something counts
as read: an instance that was pickled or whose `__dict__` was taken has shown everything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import django
from django.db.models import Model

_DJANGO = os.path.dirname(os.path.abspath(django.__file__)) + os.sep
#: Prefetching asks for managers by name only to fill them.
_PREFETCHING = os.path.join(_DJANGO, "db", "models", "query.py")
#: Whoever asks for one of these takes the whole instance with him.
_WHOLE = frozenset({"__reduce__", "__reduce_ex__", "__getstate__"})
#: Read by Django alone, at every step; they are no data.
_INNER = frozenset({"_state", "_meta", "__class__", "_is_pk_set", "_get_pk_val", "pk"})
#: Rows of one evaluation whose values are measured; the others are taken to be like them.
MEASURED = 500

#: Stands for every name.
WHOLE = "*"

_get = object.__getattribute__

#: Gets the instance, the name, and whether only a prefetch asked.
Reader = Callable[[Any, str, bool], None]


def install(reader: Reader) -> None:
    """Tell `reader` of every attribute of an instance that is read; "*" stands for all of them."""

    def __getattribute__(self: Any, name: str) -> Any:  # noqa: N807 takes that method's place
        if name in _INNER:
            return _get(self, name)
        if name == "__dict__":
            if not sys._getframe(1).f_code.co_filename.startswith(_DJANGO):
                reader(self, WHOLE, False)
        elif name in _WHOLE:
            reader(self, WHOLE, False)
        elif not name.startswith("__"):
            reader(self, name, sys._getframe(1).f_code.co_filename == _PREFETCHING)
        return _get(self, name)

    Model.__getattribute__ = __getattribute__  # type: ignore[method-assign]


def uninstall() -> None:
    """Take it off; instances are read as fast as before."""
    if "__getattribute__" in Model.__dict__:
        del Model.__getattribute__


def sizes(row: Any) -> dict[str, int]:
    """Bytes of the values of one instance that can be large, by attribute."""
    found = {}
    for name, value in _get(row, "__dict__").items():
        if isinstance(value, (str, bytes, bytearray, memoryview)):
            found[name] = len(value)
        elif isinstance(value, (dict, list)):
            found[name] = len(repr(value))
    return found


def columns(model: Any) -> set[str]:
    """The attributes of a model that its own query fills, those of keys left out: Django reads these itself."""
    return {
        field.attname
        for field in model._meta.concrete_fields
        if not field.primary_key and not field.is_relation
    }
