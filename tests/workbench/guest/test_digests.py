"""Equal answers have equal digests, and others have others."""

from __future__ import annotations

import gzip
from http.cookies import SimpleCookie
from typing import Any

import pytest

from workbench.guest import digests


class Response:
    """As Django's of before 3.2: items(), and no headers attribute."""

    def __init__(self, status: int = 200, headers: dict[str, str] | None = None, cookie: str = "") -> None:
        self.status_code = status
        self._headers = headers or {"Content-Type": "text/html"}
        self.cookies: Any = SimpleCookie(cookie)

    def items(self) -> Any:
        return self._headers.items()


PAGE = b"<html><p>one two</p></html>"
TOKEN = b"<input type='hidden' name='csrfmiddlewaretoken' value='%s'>"


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (Response(404), PAGE),
        (Response(headers={"Content-Type": "text/plain"}), PAGE),
        (Response(headers={"Content-Type": "text/html", "Location": "/x"}), PAGE),
        (Response(headers={"Content-Type": "text/html", "Vary": "Cookie"}), PAGE),
        (Response(cookie="a=1"), PAGE),
        (Response(), b"<html><p>one  two</p></html>"),
        (Response(), PAGE + b" "),
    ],
)
def test_what_a_client_can_see_counts(response: Response, body: bytes) -> None:
    """Status, headers that matter, cookies, every byte of the body."""
    assert digests.digest(response, body) != digests.digest(Response(), PAGE)


@pytest.mark.parametrize(
    "response",
    [
        Response(headers={"Content-Type": "text/html", "Date": "now", "X-Request-Id": "7", "ETag": '"1"'}),
        Response(headers={"content-type": "text/html"}),
    ],
)
def test_what_names_the_moment_does_not_count(response: Response) -> None:
    """Dates, request ids, a header's case."""
    assert digests.digest(response, PAGE) == digests.digest(Response(), PAGE)


def test_a_session_s_value_does_not_count() -> None:
    """A cookie's value is new for each visitor; its name and flags are not."""
    assert digests.digest(Response(cookie="s=1"), PAGE) == digests.digest(Response(cookie="s=2"), PAGE)
    secure = Response(cookie="s=1; Secure")
    assert digests.digest(secure, PAGE) != digests.digest(Response(cookie="s=1"), PAGE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TOKEN % (b"a" * 64), TOKEN % (b"b" * 64)),
        (b"nonce='abc+/='", b"nonce='xyz'"),
        (b"at 2026-11-25T03:08:33.123456+00:00", b"at 2026-11-25T03:08:34.5Z"),
        (b"Wed, 25 Nov 2026 03:08:33 GMT", b"Wed, 25 Nov 2026 03:08:34 GMT"),
        (b'{"csrfToken": "aaa"}', b'{"csrfToken": "bbb"}'),
    ],
)
def test_known_changes_are_masked(one: bytes, other: bytes) -> None:
    """Tokens, nonces and the present moment, by their form."""
    assert digests.digest(Response(), one) == digests.digest(Response(), other)


def test_stored_moments_are_not_masked() -> None:
    """A date in the data is data."""
    assert digests.digest(Response(), b"born 2026-11-25") != digests.digest(Response(), b"born 2026-11-26")


def test_words_that_differ_are_found_by_position() -> None:
    """And hidden by it, whatever they are next time."""
    one, other, third = b"<b>took 12 ms</b>", b"<b>took 13 ms</b>", b"<b>took 999 ms</b>"
    masks = digests.differing(one, other)
    assert masks == [2]
    assert digests.digest(Response(), third, masks) == digests.digest(Response(), one, masks)
    assert digests.digest(Response(), b"<b>lost 12 ms</b>", masks) != digests.digest(Response(), one, masks)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"a b", b"a b c"),
        (b"<p>a</p>", b"<b>a</b> "),
        (b" ".join(b"%d" % n for n in range(300)), b" ".join(b"x%d" % n for n in range(300))),
    ],
)
def test_other_shapes_are_unstable(one: bytes, other: bytes) -> None:
    """More or other places, or too many of them."""
    assert digests.differing(one, other) is None


def test_equal_pages_need_no_masks() -> None:
    """Nor do pages that differ in known ways alone."""
    assert digests.differing(PAGE, PAGE) == []
    assert digests.differing(TOKEN % b"a", TOKEN % b"b") == []


def test_the_content_coding_does_not_count() -> None:
    """Compressed with other padding, the same page is the same."""
    coded = Response(headers={"Content-Type": "text/html", "Content-Encoding": "gzip"})
    assert digests.digest(coded, gzip.compress(PAGE, 1)) == digests.digest(coded, gzip.compress(PAGE, 9))
    assert digests.digest(coded, b"no gzip") != digests.digest(coded, gzip.compress(PAGE))
