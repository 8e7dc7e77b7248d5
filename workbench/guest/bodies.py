"""What a browser is sent for a page, and what it is sent when it asks again and nothing has changed."""

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
    """Visit a page as a browser does, and as one that has it already.

    Args:
        url, headers: as for `pages.visit`.
        seconds: that each visit may take.

    Returns:
        status, kind, body (base64, as it was sent; None where there is none, or it is larger than `LARGEST`), sent, coding,
        validator and repeated, as the profile's record of a response has them.
    """
    asked: dict[str, str] = {
        name: value for name, value in (headers or {}).items() if name.lower() != "accept-encoding"
    }
    asked["Accept-Encoding"] = ACCEPT
    limit = {"seconds": seconds}
    _, body, response = pages.observed(url, "warm", asked, limit)
    if response is None:
        return {"body": None}
    tag, modified = _header(response, "ETag"), _header(response, "Last-Modified")
    repeated = None
    if tag or modified:
        again = {"If-None-Match": tag} if tag else {"If-Modified-Since": modified}
        repeated = len(pages.observed(url, "warm", {**asked, **again}, limit)[1])
    return {
        "status": response.status_code,
        "kind": _header(response, "Content-Type"),
        "body": base64.b64encode(body).decode("ascii") if len(body) <= LARGEST else None,
        "sent": len(body),
        "coding": _header(response, "Content-Encoding"),
        "validator": "ETag" if tag else "Last-Modified" if modified else "",
        "repeated": repeated,
    }


def _header(response: Any, name: str) -> str:
    return str(response.get(name) or "")
