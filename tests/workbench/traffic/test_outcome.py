"""What an answer counts as."""

from __future__ import annotations

import gzip
import sys

import pytest

from workbench.traffic import Request, outcome

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GET = Request("a", 0, "GET", "/", "read")
POST = Request("a", 0, "POST", "/", "order", body="{}")
JSON = {"content-type": "application/json; charset=utf-8"}
PROBLEM = {"content-type": "application/problem+json"}
HTML = {"content-type": "text/html; charset=utf-8"}
UNKNOWN = b'{"outcome": "unknown"}'
MALFORMED = "malformed body"


def judge(request: Request, status: int, headers: dict[str, str], body: bytes) -> outcome.Verdict:
    return outcome.of_answer(request, status, headers, body, late=False)


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (200, JSON, b'{"a": [1, null]}', None),
        (201, JSON, b"[]", None),
        (204, JSON, b"", None),
        (302, HTML, b"", None),
        (304, HTML, b"", None),
        (200, HTML, b"<p>hello</p></HTML>\n", None),
        (200, {"content-type": "text/csv"}, b"a,b", None),
        (200, {}, b"", None),
        (200, JSON, b'{"a": [1, nu', MALFORMED),
        (200, JSON, b"", MALFORMED),
        (200, PROBLEM, b"<html>", MALFORMED),
        (200, JSON, b"\xff\xfe\x00", MALFORMED),
        (200, JSON, b"[" * 200_000, MALFORMED),
        (200, HTML, b"<html><p>hel", MALFORMED),
        (400, JSON, b"{}", "status 400"),
        (404, HTML, b"", "status 404"),
        (500, JSON, b'{"outcome": "unknown"}', "status 500"),
        (503, JSON, b'{"outcome": "refused"}', "status 503"),
        (503, JSON, b"[1]", "status 503"),
        (503, HTML, b"busy", "status 503"),
        (503, {}, b"", "status 503"),
    ],
)
def test_a_complete_answer_to_a_read(
    status: int, headers: dict[str, str], body: bytes, error: str | None
) -> None:
    """A GET is ok for a whole, well-formed 2xx or 3xx, and else failed with a class that tells why."""
    assert judge(GET, status, headers, body) == ("failed" if error else "ok", error)


@pytest.mark.parametrize(
    ("status", "headers", "body", "verdict"),
    [
        (200, JSON, b'{"id": 1}', ("ok", None)),
        (409, JSON, b"{}", ("failed", "status 409")),
        (500, JSON, b"{", ("failed", "status 500")),
        (503, JSON, b'{"error": "busy"}', ("failed", "status 503")),
        (503, JSON, UNKNOWN, ("indeterminate", "status 503")),
        (503, JSON, UNKNOWN[:-3], ("indeterminate", "status 503")),
        (503, HTML, b"busy", ("failed", "status 503")),
        (200, JSON, b'{"id": ', ("indeterminate", MALFORMED)),
    ],
)
def test_a_complete_answer_to_a_write(
    status: int, headers: dict[str, str], body: bytes, verdict: outcome.Verdict
) -> None:
    """A POST is in doubt when a 503 says so, or when the answer that would say whether it took effect is unreadable."""
    assert judge(POST, status, headers, body) == verdict


def test_an_unknown_outcome_is_indeterminate_for_reads_too() -> None:
    """A 503 that says the outcome is unknown is believed for any method."""
    assert judge(GET, 503, JSON, UNKNOWN) == ("indeterminate", "status 503")


@pytest.mark.parametrize(("request_", "verdict"), [(GET, "failed"), (POST, "indeterminate")])
def test_a_late_answer_is_a_time_out(request_: Request, verdict: str) -> None:
    """An answer after the time-out never counts as ok, and leaves a write in doubt."""
    assert outcome.of_answer(request_, 200, JSON, b"{}", late=True) == (verdict, "timeout")


@pytest.mark.parametrize(
    ("request_", "bytes_up", "verdict"),
    [(GET, 0, "failed"), (GET, 9, "failed"), (POST, 0, "failed"), (POST, 9, "indeterminate")],
)
def test_a_lost_answer(request_: Request, bytes_up: int, verdict: str) -> None:
    """A write is in doubt from the moment in which its first byte may have reached the server, not before."""
    assert outcome.of_loss(request_, "reset", bytes_up=bytes_up) == (verdict, "reset")


@pytest.mark.parametrize(
    ("name", "packed"),
    [("gzip", gzip.compress(b"[1]", mtime=0)), ("zstd", zstd.compress(b"[1]"))],
    ids=["gzip", "zstd"],
)
def test_compressed_bodies_are_read(name: str, packed: bytes) -> None:
    """gzip and zstd are decoded before JSON is parsed; a cut or corrupt one is malformed, never ok."""
    headers = {**JSON, "content-encoding": name}
    assert judge(GET, 200, headers, packed) == ("ok", None)
    assert judge(GET, 200, headers, packed[:-4]) == ("failed", MALFORMED)
    assert judge(GET, 200, headers, b"[1]") == ("failed", MALFORMED)


def test_encodings_in_a_row_are_undone_in_reverse() -> None:
    """`gzip, zstd` was applied in this order, so zstd comes off first; what we cannot undo is named."""
    packed = zstd.compress(gzip.compress(b"[1]"))
    assert outcome.parse(packed, {**JSON, "content-encoding": "gzip, zstd"}) == [1]
    assert judge(GET, 200, {**JSON, "content-encoding": "br"}, b"x") == ("failed", "unknown encoding br")
