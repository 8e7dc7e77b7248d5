"""Model instances across a repeat: what a rolled back attempt did to them is taken back.

A rollback undoes the rows and not the objects: a saved one keeps its key and the belief that its row exists, so that the
next `save()` would update nothing, and `account.value += 1` would count twice.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from django.db.models import Model
from django.db.models.signals import pre_save

_PREFETCHED = "_prefetched_objects_cache"
_keeping: ContextVar[Instances | None] = ContextVar("stalwart_instances", default=None)


class Kept:
    """One instance as it is now: its fields, with what is in their lists, dicts and sets; its state; its loaded relations."""

    __slots__ = ("_about", "_fields", "_instance", "related")

    def __init__(self, instance: Model) -> None:
        state: Any = instance._state
        self._instance = instance
        self._fields = copied(instance.__dict__)
        self._about = dict(state.__dict__)
        self.related: dict[str, Any] = dict(state.fields_cache)

    def put_back(self) -> None:
        """Make it what it was; any number of times."""
        state: Any = self._instance._state
        refill(self._instance.__dict__, copied(self._fields))
        refill(state.__dict__, self._about)
        state.fields_cache = dict(self.related)


def keep(instances: Iterable[Model], known: set[int] | None = None) -> Iterator[Kept]:
    """Those instances and the ones that they have loaded, each once.

    Args:
        instances: where to begin.
        known: ids of those that are kept already.
    """
    known = set() if known is None else known
    for instance in instances:
        if id(instance) not in known:
            known.add(id(instance))
            kept = Kept(instance)
            yield kept
            yield from keep([each for each in kept.related.values() if isinstance(each, Model)], known)


def copied(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which lists, dicts and sets are copies, too, with all that is in them. Raises what copying that raises."""
    return {
        name: _copy_of(name, value) if isinstance(value, list | dict | set) else value
        for name, value in attributes.items()
    }


def _copy_of(name: str, value: Any) -> Any:
    # A deep copy of a queryset would have forgotten its rows.
    return copy.copy(value) if name == _PREFETCHED else copy.deepcopy(value)


def refill(container: Any, content: Any) -> None:
    """Have a list, dict or set hold just this, in place: others may hold on to it."""
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(content)


class Instances:
    """The instances of one attempt. A context manager around it.

    Those among the arguments (also inside a list, tuple, set or dict), and those that they had loaded, get all their fields
    back; those that the function has from elsewhere get their key and state back as they were before their first `save()`.

    Attributes:
        refusal: why they cannot be put back, so that the function must not run again; None when they can.
    """

    def __init__(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
        self.refusal: str | None = None
        self._whole: list[Kept] = []
        try:
            self._whole += keep(_models([*args, *kwargs.values()]))
        except Exception as error:  # noqa: BLE001  whatever a foreign object's copying raises
            self.refusal = f"an instance among its arguments could not be copied ({type(error).__name__})"
        self._keys: dict[int, tuple[Model, Any, tuple[bool, str | None]]] = {}

    def __enter__(self) -> Instances:
        self._token = _keeping.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _keeping.reset(self._token)

    def remember(self, instance: Model) -> None:
        """Note an instance that is about to be saved."""
        self._keys.setdefault(id(instance), (instance, instance.pk, _state_of(instance)))

    def put_back(self) -> None:
        """After a rollback: have them as they were."""
        for instance, key, state in self._keys.values():
            instance.pk = key
            instance._state.adding, instance._state.db = state
        for kept in self._whole:
            kept.put_back()


def keep_watch() -> None:
    """Have `save()` tell the attempt that is going on, if any; calling it again changes nothing."""
    pre_save.connect(_about_to_save, dispatch_uid="stalwart.database.instances")


def _about_to_save(sender: Any, instance: Model, **_: Any) -> None:
    keeper = _keeping.get()
    if keeper is not None:
        keeper.remember(instance)


def _models(values: Iterable[Any]) -> Iterator[Model]:
    for value in values:
        if isinstance(value, Model):
            yield value
        elif isinstance(value, list | tuple | set | frozenset):
            yield from (each for each in value if isinstance(each, Model))
        elif isinstance(value, dict):
            yield from (each for each in value.values() if isinstance(each, Model))


def _state_of(instance: Model) -> tuple[bool, str | None]:
    return instance._state.adding, instance._state.db
