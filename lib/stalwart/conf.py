"""The settings as frozen plain records: `STALWART` in, records and a list of problems out.

Django is not needed here; `stalwart.django_conf` reads the dict from `settings`. A value that cannot work falls back to
its default and becomes a problem: a typo is shown by `manage.py check` and never takes a running site down.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class PartConfig:
    """A part that so far has only its switch."""

    enabled: bool = True


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """`STALWART["DATABASE"]`.

    Attributes:
        enabled: off, `database_retry` calls the function straight through, and `resilient_transaction` is `atomic`.
        reconnect_within: seconds that one decorated call may spend, in all, on getting a usable connection again; a
            resilient transaction, on each outage, and as long again on finding out what became of a COMMIT.
        replay_max_bytes: about what the log of one resilient transaction may hold; a longer one is not replayed.
        reply_within: seconds of silence after which a reply is overdue: its connection is closed, so that a silent network
            makes a lost connection. Set it above your longest statement, what it waits for locks and in the queue of a
            pooler included; `stalwart.database.reply_within` allows more for a block. PostgreSQL with psycopg 3 only, and
            needs `"stalwart"` in INSTALLED_APPS. 0: replies are waited for without a limit.
        transparent_reads: outside transactions, a reading statement of the ORM whose connection was lost runs once more.
        request_retries: times at most that `RequestRetryMiddleware` runs a failed view again. 0: never.
        request_body_bytes: a request with a larger body is not run again.
        commit_marker: a resilient transaction that writes, or one inside `database_retry`, leaves a row that tells, in all
            cases, whether it was committed (PostgreSQL); needs `"stalwart.database.marker"` in INSTALLED_APPS.
        pool_waiting: threads that may wait for a connection of a pool at once; one more is refused. 0: no limit of ours.
        held_too_long: seconds after which a connection that is still checked out of its pool is reported with the stack
            that took it. 0: not watched.
        slow_query: seconds from which on a query counts as slow. 0: not watched.
        explain_slow_queries: have the plan of each new kind of slow reading query explained, never executed.
    """

    enabled: bool = True
    reconnect_within: float = field(default=4.0, metadata={"at_least": 0.0})
    replay_max_bytes: int = field(default=4_000_000, metadata={"at_least": 0})
    reply_within: float = field(default=0.0, metadata={"at_least": 0.0})
    transparent_reads: bool = False
    request_retries: int = field(default=0, metadata={"at_least": 0})
    request_body_bytes: int = field(default=1_000_000, metadata={"at_least": 0})
    commit_marker: bool = False
    pool_waiting: int = field(default=0, metadata={"at_least": 0})
    held_too_long: float = field(default=0.0, metadata={"at_least": 0.0})
    slow_query: float = field(default=0.5, metadata={"at_least": 0.0})
    explain_slow_queries: bool = False


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """`STALWART["MEMORY"]`. Off, `chunk_queryset` is `iter(queryset)`."""

    enabled: bool = True


@dataclass(frozen=True, slots=True)
class CompressionConfig:
    """`STALWART["COMPRESSION"]`.

    Attributes:
        enabled: off, the middleware hands the response on as it is.
        min_size: bytes; smaller bodies are not worth a coding.
        large_size: bytes; from here on the quicker `*_large` levels are used.
        zstd_level, zstd_level_large: 1 to 19; higher ones would need a window above the 8 MB that RFC 9659 allows.
        gzip_level, gzip_level_large: 1 to 9.
        padding: bytes; a coded response carries a header of random length up to this (BREACH). 0 switches it off.
    """

    enabled: bool = True
    min_size: int = field(default=200, metadata={"at_least": 0})
    large_size: int = field(default=65_536, metadata={"at_least": 0})
    zstd_level: int = field(default=3, metadata={"at_least": 1, "at_most": 19})
    zstd_level_large: int = field(default=1, metadata={"at_least": 1, "at_most": 19})
    gzip_level: int = field(default=6, metadata={"at_least": 1, "at_most": 9})
    gzip_level_large: int = field(default=1, metadata={"at_least": 1, "at_most": 9})
    padding: int = field(default=100, metadata={"at_least": 0, "at_most": 1000})


@dataclass(frozen=True, slots=True)
class Config:
    """The whole `STALWART` dict. A part's `enabled` already counts the switch of the whole in."""

    enabled: bool = True
    database: DatabaseConfig = DatabaseConfig()
    memory: MemoryConfig = MemoryConfig()
    errors: PartConfig = PartConfig()
    compression: CompressionConfig = CompressionConfig()
    shutdown: PartConfig = PartConfig()
    monitoring: PartConfig = PartConfig()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings.

    Attributes:
        where: the setting, as `STALWART["DATABASE"]["RECONNECT_WITHIN"]`.
        message: what is wrong with it.
        hint: the next step.
        unknown: the key does not exist (else: its value cannot work).
    """

    where: str
    message: str
    hint: str
    unknown: bool = False


def parse(raw: object) -> tuple[Config, tuple[Problem, ...]]:
    """Read the dict of the settings.

    Args:
        raw: the value of `settings.STALWART`; None and {} mean all defaults.

    Returns:
        The records, with defaults where a value cannot work, and the problems found.
    """
    problems: list[Problem] = []
    config = _record(Config, {} if raw is None else raw, "STALWART", problems, whole_on=True)
    return config, tuple(problems)


def _record(kind: type[Any], raw: object, where: str, problems: list[Problem], *, whole_on: bool) -> Any:
    if not isinstance(raw, Mapping):
        problems.append(Problem(where, f"{where} is {raw!r}, not a dict.", "Write a dict, or leave it out."))
        raw = {}
    known = {f.name.upper(): f for f in fields(kind)}
    problems += [_unknown(where, key, list(known)) for key in raw if key not in known]
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    # `enabled` is the first field of every record, so the parts below already know the switch above them.
    for key, spec in known.items():
        inside = f'{where}["{key}"]'
        wanted = hints[spec.name]
        if wanted in (bool, int, float):
            default = spec.default
            assert default is not MISSING
            values[spec.name] = (
                _plain(wanted, raw[key], default, spec.metadata, inside, problems) if key in raw else default
            )
        else:
            on = whole_on and values["enabled"]
            values[spec.name] = _record(wanted, raw.get(key, {}), inside, problems, whole_on=on)
    values["enabled"] = whole_on and values["enabled"]
    return kind(**values)


def _plain(
    wanted: type, value: object, default: object, limits: Mapping[str, Any] | types.MappingProxyType[Any, Any],
    where: str, problems: list[Problem],
) -> object:  # fmt: skip
    low, high = limits.get("at_least"), limits.get("at_most")
    fits: bool
    if wanted is bool:
        fits = isinstance(value, bool)
    else:
        allowed = (int, float) if wanted is float else (int,)
        # A bool is an int for Python, and a slip for everybody else. NaN fails both comparisons.
        fits = (
            isinstance(value, allowed)
            and not isinstance(value, bool)
            and (low is None or value >= low)
            and (high is None or value <= high)
            and value not in (float("inf"), float("-inf"))
        )
    if fits:
        return value
    name = {bool: "True or False", int: "a whole number", float: "a number of seconds"}[wanted]
    bounds = "" if low is None else f" of at least {low}" + ("" if high is None else f" and at most {high}")
    problems.append(
        Problem(where, f"{where} is {value!r}.", f"Use {name}{bounds}; until then it is {default!r}.")
    )
    return default


def _unknown(where: str, key: object, known: list[str]) -> Problem:
    near = difflib.get_close_matches(str(key).upper(), known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return Problem(
        f"{where}[{key!r}]",
        f"{where} has no key {key!r}.",
        f"{hint}It knows {', '.join(known)}.",
        unknown=True,
    )
