"""The faults a proxy knows, as checked records. Names and attributes are Toxiproxy's wherever it has the same fault.

Times are in milliseconds, rates in KB/s (1 KB = 1000 bytes), as there.

| kind | attributes | what it does to the bytes of its stream |
|---|---|---|
| latency | latency, jitter | each piece is delayed by latency ± jitter from its arrival; order and throughput are kept |
| bandwidth | rate | not more than rate KB/s |
| slow_close | delay | the end of the stream (FIN) is passed on later |
| timeout | timeout | read and thrown away; both sides closed after the time, 0 = never |
| reset_peer | timeout | a real RST to both sides after the time, 0 = at once; idle connections too |
| limit_data | bytes, how | the connection is cut after so many bytes |
| blackhole | mode, at, then | mode discard: read and thrown away; mode stop: not read, so that the sender's buffers fill; at connect: new connections are never answered |
| half_close | - | FIN at once in this direction, the other one goes on |
| cut_after_message | message, tag, sql_prefix, before_forwarding, how, count, partition | the connection is cut at a PostgreSQL message |
| refuse | - | the listener is closed: connection refused; open connections go on |

`then` is what becomes of connections that lost bytes in a blackhole when it is switched off: "reset" (a firewall that
answers for streams that it does not know any more), or "silence" (one that drops them: neither side ever hears of the
other again, nor of its end, until the connection is reset or the proxy stops). What lost nothing goes on.

`how` is what the client sees of a cut: "rst", "fin" (end of stream; what it still sends is thrown away) or "close" (as
when the process at the other end exits).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.servers import pgwire

STREAMS = ("downstream", "upstream", "both")
HOWS = ("rst", "fin", "close")
THENS = ("reset", "silence")
#: Toxics that act on the listener, not on the bytes of a connection.
LISTENER_KINDS = frozenset({"refuse"})


class ToxicError(ValueError):
    """A toxic that cannot be: the message names the value seen and what is allowed."""


def _number(low: float) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < 1e12:
            raise ToxicError(f"{name} must be a number of at least {low:g}, not {value!r}")
        return value

    return check


def _integer(low: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ToxicError(f"{name} must be a whole number of at least {low}, not {value!r}")
        return value

    return check


def _choice(*allowed: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ToxicError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return value

    return check


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ToxicError(f"{name} must be true or false, not {value!r}")
    return value


def _text(name: str, value: Any) -> str:
    # Half of what the framer keeps, so that leading space and a statement's name still fit.
    if not isinstance(value, str) or not len(value.encode()) <= pgwire.HEAD // 2:
        raise ToxicError(f"{name} must be a text of at most {pgwire.HEAD // 2} bytes, not {value!r}")
    return value


#: kind -> attribute -> (default, check)
KINDS: Mapping[str, Mapping[str, tuple[Any, Callable[[str, Any], Any]]]] = {
    "latency": {"latency": (0, _number(0)), "jitter": (0, _number(0))},
    "bandwidth": {"rate": (None, _number(0.001))},
    "slow_close": {"delay": (0, _number(0))},
    "timeout": {"timeout": (0, _number(0))},
    "reset_peer": {"timeout": (0, _number(0))},
    "limit_data": {"bytes": (None, _integer(0)), "how": ("close", _choice(*HOWS))},
    "blackhole": {
        "mode": ("discard", _choice("discard", "stop")),
        "at": ("established", _choice("established", "connect")),
        "then": ("reset", _choice(*THENS)),
    },
    "half_close": {},
    "cut_after_message": {
        "message": (None, _text),
        "tag": ("", _text),
        "sql_prefix": ("", _text),
        "before_forwarding": (False, _flag),
        "how": ("rst", _choice(*HOWS)),
        "count": (1, _integer(0)),
        "partition": (False, _flag),
    },
    "refuse": {},
}


@dataclass(frozen=True, slots=True)
class Toxic:
    """One fault that is switched on.

    Attributes:
        name: unique in its proxy.
        kind: a key of `KINDS`.
        stream: "upstream" (client to server), "downstream", or "both".
        toxicity: the share of connections that it applies to, 0 to 1; drawn once per connection.
        attributes: complete and checked.
    """

    name: str
    kind: str
    stream: str = "downstream"
    toxicity: float = 1.0
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def on_listener(self) -> bool:
        """Whether it acts on new connections before they are accepted."""
        return self.kind in LISTENER_KINDS or self.attributes.get("at") == "connect"

    def applies_to(self, stream: str) -> bool:
        """Whether the bytes of this direction are its business."""
        return self.stream in (stream, "both")

    def draw(self, seed: int, connection: int) -> bool:
        """Whether it applies to a connection: the same answer for the same seed, whatever else happened before."""
        return random.Random(f"{seed}/{self.name}/{connection}").random() < self.toxicity

    def as_dict(self) -> dict[str, Any]:
        """As Toxiproxy's API shows it."""
        return {
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
            "attributes": dict(self.attributes),
        }


def parse(payload: Any) -> Toxic:
    """Check what a client of the control channel sent.

    Args:
        payload: `{"type": ..., "name"?: ..., "stream"?: ..., "toxicity"?: ..., "attributes"?: {...}}`.

    Raises:
        ToxicError: anything wrong in it.
    """
    if not isinstance(payload, dict):
        raise ToxicError(f"a toxic must be a JSON object, not {type(payload).__name__}")
    unknown = payload.keys() - {"type", "name", "stream", "toxicity", "attributes"}
    if unknown:
        raise ToxicError(f"unknown field {', '.join(sorted(map(str, unknown)))} in a toxic")
    kind = _choice(*KINDS)("type", payload.get("type"))
    stream = _choice(*STREAMS)("stream", payload.get("stream") or "downstream")
    name = payload.get("name") or f"{kind}_{stream}"
    if not isinstance(name, str) or len(name) > 100 or not name.isprintable() or set("/?#% ") & set(name):
        raise ToxicError(f"name must be a short text that can stand in a URL, not {name!r}")
    toxicity = payload.get("toxicity", 1.0)
    if isinstance(toxicity, bool) or not isinstance(toxicity, int | float) or not 0 <= toxicity <= 1:
        raise ToxicError(f"toxicity must be a number from 0 to 1, not {toxicity!r}")
    given = payload.get("attributes") or {}
    if not isinstance(given, dict):
        raise ToxicError(f"attributes must be a JSON object, not {given!r}")
    toxic = Toxic(name, kind, stream, float(toxicity), _attributes(kind, given))
    if kind == "cut_after_message":
        _check_cut(toxic)
    return toxic


def _attributes(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    known = KINDS[kind]
    unknown = given.keys() - known.keys()
    if unknown:
        allowed = ", ".join(known) or "none"
        raise ToxicError(f"{kind} has no attribute {', '.join(sorted(unknown))}; it has: {allowed}")
    complete = {}
    for name, (default, check) in known.items():
        if name not in given and default is None:
            raise ToxicError(f"{kind} needs the attribute {name}")
        complete[name] = check(name, given[name]) if name in given else default
    return complete


def _check_cut(toxic: Toxic) -> None:
    if toxic.stream == "both":
        raise ToxicError(
            "cut_after_message needs stream upstream or downstream, not both: messages differ by direction"
        )
    names = pgwire.FRONTEND if toxic.stream == "upstream" else pgwire.BACKEND
    message = _choice(*names)("message", toxic.attributes["message"])
    if toxic.attributes["tag"] and message != "CommandComplete":
        raise ToxicError(f"tag goes with message CommandComplete, not with {message}")
    if toxic.attributes["sql_prefix"] and message not in ("Query", "Parse"):
        raise ToxicError(
            f"sql_prefix goes with message Query or Parse on stream upstream, not with {message}"
        )
