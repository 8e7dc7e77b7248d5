"""The journal: an append-only file of JSON lines that several processes may write and anyone may judge again.

A line is written whole, under a lock, and forced to disk, so that a crash leaves at most one torn line at the end.
Secrets are redacted on the way in: what is in a journal may be shared.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import fastjsonschema
from filelock import FileLock

from workbench.errors import WorkbenchError
from workbench.records import KINDS, SCHEMA, Finding, Line, Plan, Record, Run, Trial
from workbench.redaction import redact
from workbench.schema import from_json, json_schema, to_json

R = TypeVar("R")


@dataclass(frozen=True)
class Journal:
    """All lines of a journal file, in order.

    Attributes:
        lines: as written.
        sha256: of the file's bytes as read.
        torn: how many lines were no JSON and were left out; a crash leaves one.
    """

    lines: tuple[Line, ...]
    sha256: str
    torn: int = 0

    def of(self, cls: type[R]) -> list[R]:
        """The records of one class, in order."""
        return [line.record for line in self.lines if isinstance(line.record, cls)]

    @property
    def run(self) -> Run | None:
        """The newest head; None in an empty journal."""
        runs = self.of(Run)
        return runs[-1] if runs else None

    @property
    def plans(self) -> list[Plan]:
        """The newest plan of each drill: a drill that was run again replaces its earlier trials."""
        return list({plan.drill: plan for plan in self.of(Plan)}.values())

    @property
    def findings(self) -> list[Finding]:
        return self.of(Finding)

    def times_run(self, drill: str) -> int:
        """How many plans of the drill have trials behind them: more than one means that somebody looked and ran again."""
        runs, fresh = 0, False
        for line in self.lines:
            if isinstance(line.record, Plan) and line.record.drill == drill:
                fresh = True
            elif isinstance(line.record, Trial) and line.record.drill == drill and fresh:
                runs, fresh = runs + 1, False
        return runs

    def trials(self, drill: str) -> list[Trial]:
        """The trials that follow the newest plan of a drill."""
        found: list[Trial] = []
        for line in self.lines:
            if isinstance(line.record, Plan) and line.record.drill == drill:
                found = []
            elif isinstance(line.record, Trial) and line.record.drill == drill:
                found.append(line.record)
        return found


class JournalWriter:
    """Appends records to a journal file.

    Args:
        path: the file; it and its folder are made when missing.
        run: id of the run that the lines belong to.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.run = run
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise WorkbenchError(
                f"cannot write the journal {path} ({error.strerror})",
                "choose a folder that you may write: --out DIR",
            ) from error
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    def append(self, record: Record, *, now: float | None = None) -> Line:
        """Write one record and force it to disk.

        Args:
            record: any record of `workbench.records.KINDS`.
            now: seconds since the epoch; the present by default.
        """
        line = Line(run=self.run, t=time.time() if now is None else now, record=record)
        data = encode(line) + "\n"
        with self._lock, self.path.open("a+b") as file:
            # A predecessor that died in the middle of its line must not swallow ours.
            if file.tell() and not _ends_with_newline(file):
                file.write(b"\n")
            file.write(data.encode())
            file.flush()
            os.fsync(file.fileno())
        return line


def plan_hash(plan: Plan) -> str:
    """The sha256 that a plan carries: over everything in it but the hash itself, as it stands in the journal."""
    text = json.dumps(_finite(redact({**to_json(plan), "hash": ""})), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    last = file.read(1)
    file.seek(0, os.SEEK_END)
    return bool(last == b"\n")


def encode(line: Line) -> str:
    """A line as JSON, redacted; numbers that JSON has no word for become null."""
    flat = {"schema": line.schema, "run": line.run, "kind": line.kind, "t": line.t, **to_json(line.record)}
    return json.dumps(
        _finite(redact(flat)), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def decode(text: str) -> Line:
    """The line that `encode` wrote.

    Raises:
        ValueError: when it is no JSON object, of a newer schema, or does not fit the schema; the message says what.
    """
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply to be a journal line") from error
    if not isinstance(data, dict):
        raise ValueError(f"a journal line is a JSON object, not {type(data).__name__}")  # noqa: TRY004 one error kind
    if data.get("schema") != SCHEMA:
        raise ValueError(f"schema {data.get('schema')!r}; this version reads {SCHEMA}")
    if data.get("kind") not in KINDS:
        raise ValueError(f"unknown kind {data.get('kind')!r}; known: {', '.join(KINDS)}")
    try:
        _validator(data["kind"])(data)
    except fastjsonschema.JsonSchemaValueException as error:
        raise ValueError(f"{data['kind']}: {error.message[:200]}") from error
    head = {"schema", "run", "kind", "t"}
    record = from_json(KINDS[data["kind"]], {key: value for key, value in data.items() if key not in head})
    return Line(run=data["run"], t=data["t"], record=record)


@cache
def _validator(kind: str) -> Callable[[Any], Any]:
    # Compiled to a function once: a journal has thousands of lines. (jsonschema itself costs a second to import.)
    schema = json_schema()
    own = next(one for one in schema["oneOf"] if one["properties"]["kind"]["const"] == kind)
    # fastjsonschema knows drafts up to 7, which say "definitions" for "$defs"; nothing else here differs.
    check: Callable[[Any], Any] = fastjsonschema.compile({**own, "$defs": schema["$defs"]})
    return check


def read(path: Path) -> Journal:
    """Read a journal file.

    Raises:
        WorkbenchError: when it is missing, empty, or holds a JSON line that does not fit the schema. Lines that are no
            JSON at all are left out and counted: a writer that was killed leaves one.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise WorkbenchError(
            f"cannot read the journal {path} ({error.strerror})",
            "name a journal.jsonl that `workbench report` wrote",
        ) from error
    lines, torn = _parse(raw, path)
    return Journal(lines=tuple(lines), sha256=hashlib.sha256(raw).hexdigest(), torn=torn)


def _parse(raw: bytes, path: Path) -> tuple[list[Line], int]:
    lines: list[Line] = []
    torn = 0
    texts = list(_numbered(raw))
    for number, text in texts:
        try:
            lines.append(decode(text))
        except ValueError as error:
            # Only the writer's death leaves a line that is no JSON; the next writer then ends it with a newline.
            if isinstance(error, json.JSONDecodeError):
                torn += 1
                continue
            raise WorkbenchError(
                f"{path}, line {number}: {error}",
                "the file was changed or is of another version; take an unchanged copy",
            ) from error
    if not lines:
        raise WorkbenchError(
            f"{path} holds no journal line", "name a journal.jsonl that `workbench report` wrote"
        )
    return lines, torn


def _numbered(raw: bytes) -> Iterator[tuple[int, str]]:
    for number, text in enumerate(raw.decode("utf-8-sig", errors="replace").split("\n"), start=1):
        if text.strip():
            yield number, text
