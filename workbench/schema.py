"""Records to JSON and back, and the JSON schema of a journal line, all read off the dataclasses' own annotations.

A journal can so be checked by any program, years later, without this code. A field whose name is a Python keyword
carries an underscore at its end, which JSON does not show (`with_` is `with`).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

from workbench.records import KINDS, SCHEMA, Json

T = TypeVar("T")


def to_json(record: object) -> dict[str, Json]:
    """A record as plain JSON types."""
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        raise TypeError(f"not a record: {record!r}")
    return {_json_name(f.name): _plain(getattr(record, f.name)) for f in dataclasses.fields(record)}


def _plain(value: Any) -> Json:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _json_name(name: str) -> str:
    return name.removesuffix("_")


def from_json(cls: type[T], data: Mapping[str, Json]) -> T:
    """Build a record from plain JSON types.

    Raises:
        ValueError: for a missing or unknown field, naming it.
    """
    hints = typing.get_type_hints(cls)
    fields = {_json_name(f.name): f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = set(data) - set(fields)
    if unknown:
        raise ValueError(f"{cls.__name__}: unknown field {min(unknown)!r}")
    missing = [
        name
        for name, f in fields.items()
        if name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{cls.__name__}: field {missing[0]!r} is missing")
    return cls(**{fields[name].name: _value(hints[fields[name].name], value) for name, value in data.items()})


def _value(hint: Any, value: Json) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if value is None:
        return None
    if origin in (Union, types.UnionType):
        inner = [a for a in arguments if a is not type(None)]
        return _value(inner[0], value) if len(inner) == 1 else value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_json(typing.cast("type[Any]", hint), value)
    if origin is tuple and isinstance(value, Sequence):
        return tuple(_value(arguments[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {key: _value(arguments[1], item) for key, item in value.items()}
    return value


def json_schema() -> dict[str, Json]:
    """The JSON schema (draft 2020-12) of a journal line."""
    definitions: dict[str, Json] = {}
    for cls in KINDS.values():
        _describe(cls, definitions)
    envelope = {
        "schema": {"const": SCHEMA},
        "run": {"type": "string"},
        "t": {"type": "number"},
    }
    lines = []
    for kind, cls in KINDS.items():
        own = definitions[cls.__name__]
        lines.append(
            {
                "type": "object",
                "properties": {**envelope, "kind": {"const": kind}, **own["properties"]},
                "required": ["schema", "run", "kind", "t", *own["required"]],
                "additionalProperties": False,
            }
        )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": lines, "$defs": definitions}


def _describe(cls: type[Any], definitions: dict[str, Json]) -> Json:
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}  # placed first: a record may hold another of its kind
        hints = typing.get_type_hints(cls)
        fields = dataclasses.fields(cls)
        definitions[cls.__name__] = {
            "type": "object",
            "properties": {_json_name(f.name): _type(hints[f.name], definitions) for f in fields},
            "required": [
                _json_name(f.name)
                for f in fields
                if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            ],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _type(hint: Any, definitions: dict[str, Json]) -> Json:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    plain = {str: "string", bool: "boolean", int: "integer", float: "number"}
    if hint in plain:
        return {"type": plain[hint]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        inner = [_type(a, definitions) for a in arguments if a is not type(None)]
        return {"anyOf": [*inner, {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    if dataclasses.is_dataclass(hint):
        return _describe(typing.cast("type[Any]", hint), definitions)
    return {}
