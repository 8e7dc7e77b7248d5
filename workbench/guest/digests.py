"""Whether two answers are the same: a digest of what a client sees, with what changes by itself masked.

Known changes (CSRF tokens, nonces, dates of this very moment) are masked by their form. What else differs between two
visits of an unchanged page is found by comparing both, word by word; a page that differs in more than words is unstable,
and nothing can be said about changes to it.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable
from typing import Any

#: Headers that a client acts upon. Others name times, servers and requests.
HEADERS = (
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Language",
    "Content-Type",
    "Link",
    "Location",
    "Vary",
    "WWW-Authenticate",
)

_MASKS = tuple(
    re.compile(pattern)
    for pattern in (
        rb"""(?<=csrfmiddlewaretoken['"] value=['"])[\w-]+""",
        rb"""(?<=value=['"])[\w-]{32,64}(?=['"] name=['"]csrfmiddlewaretoken)""",
        rb"""(?i)(?<=csrf[-_]token['"] content=['"])[\w-]+""",
        rb"""(?i)(?<=csrfToken['"]: ['"])[\w-]+""",
        rb"""(?<=nonce=['"])[\w+/=-]+""",
        rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+(?:Z|[+-]\d\d:?\d\d)?",
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    )
)
_WORD = re.compile(rb"[^\s<>\"'&;,{}\[\]()]+")
#: Words that differ between two visits, above which a page is called unstable.
MOST = 200


def words(body: bytes) -> list[bytes]:
    """What a body says, without what is known to change."""
    return _WORD.findall(_masked(body))


def differing(first: bytes, second: bytes) -> list[int] | None:
    """Positions of the words in which two visits of one page differ; None when they differ in more than that."""
    if _masked(first) == _masked(second):
        return []
    one, other = words(first), words(second)
    if len(one) != len(other) or _gaps(first) != _gaps(second):
        return None
    positions = [index for index, (a, b) in enumerate(zip(one, other)) if a != b]
    return positions if len(positions) <= MOST else None


def digest(response: Any, body: bytes, masks: Iterable[int] = ()) -> str:
    """Status, headers that matter, cookies' names and flags, and the body, as a short hash.

    Args:
        response: Django's; of any version.
        body: as it was sent.
        masks: positions of words that change by themselves (see `differing`).
    """
    headers = {name.lower(): value for name, value in response.items()}
    plain = unpacked(body, headers.get("content-encoding", ""))
    made = hashlib.sha256()
    made.update(str(response.status_code).encode())
    for name in HEADERS:
        value = headers.get(name.lower())
        if value is not None:
            made.update(f"\n{name}: {value}".encode())
    for name, morsel in sorted(response.cookies.items()):
        flags = [str(morsel[flag]) for flag in ("path", "domain", "secure", "httponly", "samesite")]
        made.update(f"\ncookie {name} {' '.join(flags)}".encode())
    made.update(b"\n\n")
    hidden = set(masks)
    text = _masked(plain)
    if hidden:
        counted = iter(range(len(text)))
        text = _WORD.sub(lambda match: b"*" if next(counted) in hidden else match.group(), text)
    made.update(text)
    return made.hexdigest()[:32]


def unpacked(body: bytes, encoding: str) -> bytes:
    """Without the content coding: compressed with random padding, equal bodies look different."""
    try:
        if encoding == "gzip":
            return gzip.decompress(body)
        if encoding == "deflate":
            return zlib.decompress(body)
    except (OSError, EOFError, zlib.error):
        return body
    return body


def _masked(body: bytes) -> bytes:
    for pattern in _MASKS:
        body = pattern.sub(b"*", body)
    return body


def _gaps(body: bytes) -> bytes:
    return _WORD.sub(b"x", _masked(body))
