"""Model instances across a repeat: what a rolled back attempt did to them is taken back.

A rollback undoes the rows and not the objects: a saved one keeps its key and the belief that its row exists, so that the
next `save()` would update nothing, and `account.value += 1` would count twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from django.db.models import Model
from django.db.models.signals import pre_save

_keeping: ContextVar[Instances | None] = ContextVar("stalwart_instances", default=None)


class Instances:
    """The instances of one attempt. A context manager around it.

    Those among the arguments (also inside a list, tuple, set or dict) get all their fields back; those that the function
    has from elsewhere get their key and state back as they were before their first `save()`.
    """

    def __init__(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
        self._whole = [
            (each, dict(each.__dict__), _state_of(each)) for each in _models([*args, *kwargs.values()])
        ]
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
            _put_state(instance, state)
        for instance, fields, state in self._whole:
            instance.__dict__.clear()
            instance.__dict__.update(fields)
            _put_state(instance, state)


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


def _put_state(instance: Model, state: tuple[bool, str | None]) -> None:
    instance._state.adding, instance._state.db = state
