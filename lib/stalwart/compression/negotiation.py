"""Which content coding to send: RFC 9110, section 12.5.3, in full.

What the RFC leaves open is settled so that a client is never sent what it might not understand:

* no header: identity, though anything would be allowed; an empty header: identity, nothing else is wanted;
* a weight that is no weight counts as 0, any other parameter is ignored, an element that is no token too;
* `x-gzip` is `gzip`; an entry for a coding beats `*`; of several entries for one coding the highest weight counts;
* among equal weights the server's order decides, and a coding is preferred to identity;
* when everything that we have is refused, identity included, identity is sent (the RFC allows it).
"""

from __future__ import annotations

import re
from functools import lru_cache

# Real headers have some 30 characters. Behind this many, whole elements are dropped, never half ones.
MAX_LENGTH = 2048

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ALIASES = {"x-gzip": "gzip"}


@lru_cache(maxsize=512)
def negotiate(header: str | None, available: tuple[str, ...]) -> str | None:
    """The coding to use.

    Args:
        header: the value of Accept-Encoding, None without one.
        available: the codings that can be made, best first, in lower case.

    Returns:
        One of `available`, or None for identity.
    """
    if not header:
        return None
    weights = _weights(header)
    anything = weights.get("*")
    best, best_weight = None, 0.0
    for coding in available:
        weight = weights.get(coding, anything)
        if weight is not None and weight > best_weight:
            best, best_weight = coding, weight
    # Identity is acceptable without being named, but preferred to a coding only when it is given more weight.
    identity = weights.get("identity", anything)
    return None if identity is not None and identity > best_weight else best


def _weights(header: str) -> dict[str, float]:
    if len(header) > MAX_LENGTH:
        header = header[: header.rfind(",", 0, MAX_LENGTH + 1) + 1]
    weights: dict[str, float] = {}
    for element in header.split(","):
        name, *parameters = element.split(";")
        coding = name.strip(" \t").lower()
        if _TOKEN.fullmatch(coding) is None:
            continue
        coding = _ALIASES.get(coding, coding)
        weights[coding] = max(weights.get(coding, 0.0), _weight(parameters))
    return weights


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        key, equals, value = parameter.strip(" \t").partition("=")
        if equals and key.lower() == "q":
            return float(value) if _WEIGHT.fullmatch(value) else 0.0
    return 1.0
