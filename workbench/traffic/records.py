"""What a load sends and what it gets back, as plain records, one JSON line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Outcome = Literal["ok", "failed", "indeterminate", "dropped"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "failed", "indeterminate", "dropped")

#: A request of these methods changes nothing, so losing its answer leaves nothing in doubt, and it may be sent again.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Request:
    """One scheduled request.

    Args:
        id: the caller's own name for it, unique within a load.
        at: when it must leave, in seconds from the load's start.
        method: an HTTP method, in capitals.
        path: path and query, as they stand in the request line.
        kind: the caller's word for what it is (order, list, ...); outcomes are counted by it.
        headers: sent as given; `Host` and, with a body, `Content-Length` are added.
        body: text, sent as UTF-8.
        timeout: seconds from `at` within which the complete answer must be here.
    """

    id: str
    at: float
    method: str
    path: str
    kind: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    timeout: float = 5.0

    @property
    def safe(self) -> bool:
        """Whether the request changes nothing on the server."""
        return self.method in SAFE_METHODS


@dataclass(frozen=True)
class Reply:
    """What became of one request. Times are seconds from the load's start.

    Args:
        id: as in the request; so are `kind`, `method` and `path`.
        intended: when it should have left; latencies count from here.
        sent: when the generator began with it (wrote it, or began to connect). `sent - intended` is the generator's
            own lateness, so a server that is slow to accept does not count as a late generator. None when dropped.
        first_byte: when the first byte of the answer came; None when none came.
        done: when its outcome was known; None when dropped.
        status: the HTTP status; None when no complete head of an answer came.
        outcome: `ok`: a 2xx or 3xx within its time-out and with a whole, well-formed body. `indeterminate`: an unsafe
            request (POST, ...) whose answer was lost, late or unreadable after it was sent, or any 503 that
            says `{"outcome": "unknown"}`. `dropped`: never sent, because too many were in flight. `failed`: the rest.
        error: a short class such as `reset` or `status 503`; None when ok.
        bytes_up: bytes handed to the socket, headers included, over all attempts.
        bytes_down: bytes read from the socket, headers included and before decompression, over all attempts.
        attempts: connections it was written to; 2 when a kept-alive connection turned out closed (see `client`).
    """

    id: str
    kind: str
    method: str
    path: str
    intended: float
    sent: float | None
    first_byte: float | None
    done: float | None
    status: int | None
    outcome: Outcome
    error: str | None
    bytes_up: int
    bytes_down: int
    attempts: int = 1

    @property
    def latency(self) -> float | None:
        """Seconds from the intended time to the outcome; None when dropped."""
        return None if self.done is None else self.done - self.intended

    @property
    def lateness(self) -> float | None:
        """Seconds by which the generator was late; None when dropped."""
        return None if self.sent is None else self.sent - self.intended


def to_line(record: Request | Reply) -> str:
    """The record as one JSON line, line end included."""
    return json.dumps({**vars(record)}, ensure_ascii=False) + "\n"


def write_requests(path: Path, requests: Iterable[Request]) -> None:
    """Write requests, one a line, in the order given."""
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(to_line(request) for request in requests)


def read_requests(path: Path) -> list[Request]:
    """Read what `write_requests` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [Request(**json.loads(line)) for line in lines]


def read_replies(path: Path) -> list[Reply]:
    """Read a load's output file, in the order in which the outcomes were known.

    A last line without its line end is left out: the process that wrote it was killed in the middle of it.
    """
    with path.open(encoding="utf-8") as lines:
        return [Reply(**json.loads(line)) for line in lines if line.endswith("\n")]
