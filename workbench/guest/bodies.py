"""What a browser is sent for a page: the body with and without codings, and again when nothing has changed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from workbench.guest import pages

#: What a browser of today takes.
ACCEPT = "gzip, deflate, br, zstd"
#: Bytes of a body that leave this process.
LARGEST = 16 * 2**20


def answers(
    url: str, headers: Mapping[str, str] | None = None, seconds: float = pages.SECONDS
) -> dict[str, Any]:
    """Visit a page as a browser does, as a client without codings does, and as a browser that has it already.

    Args:
        url, headers: as for `pages.visit`.
        seconds: that each visit may take.

    Returns:
        kind, body (base64; None where there is none, or it is larger than `LARGEST`), sent, coding, validator and repeated, as
        the profile's record of a response has them.
    """
    plain: dict[str, str] = {
        name: value for name, value in (headers or {}).items() if name.lower() != "accept-encoding"
    }
    limit = {"seconds": seconds}
    _, coded, response = pages.observed(url, "warm", {**plain, "Accept-Encoding": ACCEPT}, limit)
    _, body, bare = pages.observed(url, "warm", plain, limit)
    if response is None or bare is None:
        return {"body": None}
    tag, modified = _header(bare, "ETag"), _header(bare, "Last-Modified")
    repeated = None
    if tag or modified:
        asked = {"If-None-Match": tag} if tag else {"If-Modified-Since": modified}
        _, again, _ = pages.observed(url, "warm", {**plain, **asked}, limit)
        repeated = len(again)
    return {
        "kind": _header(bare, "Content-Type"),
        "body": base64.b64encode(body).decode("ascii") if len(body) <= LARGEST else None,
        "sent": len(coded),
        "coding": _header(response, "Content-Encoding"),
        "validator": "ETag" if tag else "Last-Modified" if modified else "",
        "repeated": repeated,
    }


def _header(response: Any, name: str) -> str:
    return str(response.get(name) or "")
