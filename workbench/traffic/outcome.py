"""What an answer counts as. Pure functions: no clock, no socket."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Mapping

from workbench.traffic.records import Outcome, Request

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Verdict = tuple[Outcome, str | None]


class MalformedError(ValueError):
    """A body that is not what its headers say."""


def decode(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding.

    Raises:
        MalformedError: the body is cut short or corrupt, or the encoding is none of gzip, zstd and identity.
    """
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        try:
            if name in ("gzip", "x-gzip"):
                body = gzip.decompress(body)
            elif name == "zstd":
                body = zstd.decompress(body)
            elif name not in ("", "identity"):
                raise MalformedError(f"unknown encoding {name}")
        except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
            raise MalformedError("malformed body") from error
    return body


def parse(body: bytes, headers: Mapping[str, str]) -> object:
    """The value of a JSON body; None for any other well-formed body.

    Args:
        body: as it came over the wire.
        headers: of the answer, names in lower case.

    Raises:
        MalformedError: it cannot be decoded, JSON does not parse, or an HTML page does not end in `</html>`.
    """
    plain = decode(body, headers.get("content-encoding", ""))
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(plain)
        except (ValueError, RecursionError) as error:
            raise MalformedError("malformed body") from error
    if kind in ("text/html", "application/xhtml+xml") and not plain.rstrip().lower().endswith(b"</html>"):
        raise MalformedError("malformed body")
    return None


def of_answer(
    request: Request, status: int, headers: Mapping[str, str], body: bytes, *, late: bool
) -> Verdict:
    """The outcome and the error class of a complete answer.

    Args:
        request: what was asked.
        status: the HTTP status.
        headers: of the answer, names in lower case.
        body: as it came over the wire.
        late: whether it was complete only after the request's time-out.
    """
    in_doubt: Outcome = "failed" if request.safe else "indeterminate"
    if late:
        return in_doubt, "timeout"
    if status == 503:
        return _of_unavailable(headers, body, in_doubt)
    if not 200 <= status < 400:
        return "failed", f"status {status}"
    if request.method == "HEAD" or status in (204, 205) or status >= 300:
        return "ok", None  # no body, or one that no program reads
    try:
        parse(body, headers)
    except MalformedError as error:
        return in_doubt, str(error)
    return "ok", None


def _of_unavailable(headers: Mapping[str, str], body: bytes, in_doubt: Outcome) -> Verdict:
    """A 503 says itself whether the outcome is known; one that cannot be read leaves an unsafe request in doubt."""
    if not body:
        return "failed", "status 503"
    try:
        said = parse(body, headers)
    except MalformedError:
        kind = headers.get("content-type", "")
        return (in_doubt if "json" in kind.lower() else "failed"), "status 503"
    unknown = isinstance(said, dict) and said.get("outcome") == "unknown"
    return ("indeterminate" if unknown else "failed"), "status 503"


def of_loss(request: Request, error: str, *, bytes_up: int) -> Verdict:
    """The outcome when no complete answer came: in doubt when an unsafe request may have reached the server."""
    return ("indeterminate" if bytes_up and not request.safe else "failed"), error
