"""One response weighed: its bytes by coding, their time on a network, what they are spent on, and leaner forms of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from workbench.profile.sizes import codings, leaner, network, parts
from workbench.profile.sizes.codings import Coded
from workbench.profile.sizes.leaner import Leaner
from workbench.profile.sizes.parts import Part

#: Bytes beyond which a body is coded but not taken apart: that would take minutes.
LARGEST = 3_000_000


@dataclass(frozen=True)
class SizeAnalysis:
    """A response by its bytes.

    Attributes:
        url: of it.
        kind: its content type.
        bytes: without a coding.
        coded: in the coding that a browser of today would get from a server that codes.
        codings: all codings and levels.
        trips: round trips of a fresh connection, as it is and coded.
        seconds: by network, as it is and coded.
        parts: what the coded bytes are spent on, the dearest first.
        leaner: forms that take fewer, the best first.
        note: why it was not taken apart, or "".
    """

    url: str
    kind: str
    bytes: int
    coded: int
    codings: tuple[Coded, ...]
    trips: tuple[int, int]
    seconds: dict[str, tuple[float, float]]
    parts: tuple[Part, ...] = ()
    leaner: tuple[Leaner, ...] = ()
    note: str = ""


def analysed(url: str, kind: str, body: bytes) -> SizeAnalysis:
    """Weigh a response.

    Costs about a second for each 100 kB: the body is coded once for each of its parts.

    Args:
        url: for the record.
        kind: its Content-Type.
        body: without a coding.
    """
    coded = codings.usual(body)
    found, forms, note = _taken_apart(kind, body)
    return SizeAnalysis(
        url,
        kind,
        len(body),
        coded,
        codings.table(body),
        (network.round_trips(len(body)), network.round_trips(coded)),
        {
            one.name: (network.seconds(len(body), one), network.seconds(coded, one))
            for one in network.NETWORKS
        },
        found,
        forms,
        note,
    )


def _taken_apart(kind: str, body: bytes) -> tuple[tuple[Part, ...], tuple[Leaner, ...], str]:
    bare = kind.partition(";")[0].strip().lower()
    if len(body) > LARGEST:
        return (), (), f"{len(body):,} bytes are too many to be taken apart"
    if bare.endswith(("/json", "+json")):
        try:
            document: Any = json.loads(body)
        except (ValueError, RecursionError):
            return (), (), "it says that it is JSON, and cannot be read as such"
        try:
            return parts.of_json(document), leaner.of_json(body, document), ""
        except RecursionError:
            return (), (), "it is nested too deeply to be taken apart"
    if bare in ("text/html", "application/xhtml+xml"):
        text = body.decode("utf-8", errors="replace")
        return parts.of_html(text), leaner.of_html(text), ""
    return (), (), f"{bare or 'a body without a type'} is not taken apart"
