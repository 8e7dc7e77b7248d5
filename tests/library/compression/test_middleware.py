"""`CompressionMiddleware` in both its forms: what it codes, what it leaves alone, what it says in the headers."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from backports import zstd
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    JsonResponse,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.middleware.http import ConditionalGetMiddleware
from django.test import RequestFactory, override_settings
from django.utils.module_loading import import_string

from stalwart.compression import CompressionMiddleware

TEXT = b"All happy families are alike; each unhappy family is unhappy in its own way. " * 40
DECODE = {"gzip": gzip.decompress, "zstd": zstd.decompress}


def page(content: bytes = TEXT, content_type: str = "text/html", **headers: str) -> HttpResponse:
    return HttpResponse(
        content, content_type=content_type, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def ask(
    path: str = "/", *, accept: str | None = "gzip, zstd", method: str = "GET", **headers: str
) -> HttpRequest:
    if accept is not None:
        headers["Accept-Encoding"] = accept
    return RequestFactory().generic(
        method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.fixture(params=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Callable[..., HttpResponseBase]:
    """Send a request through the middleware to a view that gives the response."""

    def sync(http_request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return CompressionMiddleware(lambda _: response)(http_request)

    def asynchronous(http_request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        async def view(_: HttpRequest) -> HttpResponseBase:
            return response

        return asyncio.run(CompressionMiddleware(view)(http_request))

    return sync if request.param == "sync" else asynchronous


def test_dotted_path_of_the_settings_works() -> None:
    """The name that goes into MIDDLEWARE leads to the class."""
    assert import_string("stalwart.compression.CompressionMiddleware") is CompressionMiddleware


@pytest.mark.parametrize(
    ("accept", "coding"), [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.1, gzip", "gzip")]
)
def test_codes_what_the_client_accepts(send, accept, coding) -> None:
    """The body is coded as negotiated, its length is right, and caches are told that it varies."""
    response = send(ask(accept=accept), page(Content_Length=str(len(TEXT))))
    assert response["Content-Encoding"] == coding
    assert DECODE[coding](response.content) == TEXT
    assert response["Content-Length"] == str(len(response.content))
    assert response["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accept", [None, "", "br", "gzip;q=0", "identity"])
def test_uncoded_because_of_the_client_still_varies(send, accept) -> None:
    """A response that is coded for others says so also to a client that refuses."""
    response = send(ask(accept=accept), page())
    assert not response.has_header("Content-Encoding")
    assert response.content == TEXT
    assert response["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("setting", [{"ENABLED": False}, {"COMPRESSION": {"ENABLED": False}}])
def test_off_passes_through(send, setting) -> None:
    """Switched off, as a whole or by part, neither body nor headers change; on again, they do."""
    with override_settings(STALWART=setting):
        response = send(ask(), page())
    assert response.content == TEXT
    assert dict(response.headers) == {"Content-Type": "text/html"}
    assert send(ask(), page()).has_header("Content-Encoding")


@pytest.mark.parametrize(
    "response",
    [
        lambda: HttpResponse(status=204),
        lambda: page(b"x" * 500, Content_Range="bytes 0-499/1000"),
        lambda: HttpResponse(TEXT, status=206),
        lambda: page(Content_Encoding="br"),
        lambda: page(Cache_Control="public, no-transform"),
        lambda: page(Cache_Control="No-Transform"),
        lambda: page(content_type="image/png"),
        lambda: page(content_type="application/zip"),
        lambda: page(content_type="text/event-stream; charset=utf-8"),
        lambda: page(Content_Digest="sha-256=:abc:"),
    ],
)  # fmt: skip
def test_left_alone(send, response) -> None:
    """What must not or need not be coded keeps its body and its headers, and gets no Vary."""
    made = response()
    before = (made.content, dict(made.headers))
    after = send(ask(), made)
    assert (after.content, dict(after.headers)) == before


def test_no_transform_in_the_request_counts(send) -> None:
    """A client may ask for the bytes as they are."""
    assert not send(ask(Cache_Control="no-transform"), page()).has_header("Content-Encoding")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+json", "image/svg+xml", "text/css; charset=utf-8", "Text/HTML"]
)  # fmt: skip
def test_types_that_gain_are_coded(send, kind) -> None:
    """Text, JSON, XML and their relatives are coded, parameters and case aside."""
    assert send(ask(), page(content_type=kind)).has_header("Content-Encoding")


def test_small_and_incompressible_bodies_stay(send) -> None:
    """Bodies below 200 bytes, and such that do not get smaller, are sent as they are, with Vary."""
    noise = bytes(n * 7919 % 251 for n in range(250))
    for body in (b"x" * 199, noise):
        response = send(ask(accept="gzip"), page(body))
        assert not response.has_header("Content-Encoding")
        assert response.content == body
        assert response["Vary"] == "Accept-Encoding"


def test_strong_etag_becomes_weak_only_when_coded(send) -> None:
    """Other bytes need another strength of tag; uncoded ones keep theirs; weak ones stay."""
    assert send(ask(), page(ETag='"a"'))["ETag"] == 'W/"a"'
    assert send(ask(), page(ETag='W/"a"'))["ETag"] == 'W/"a"'
    assert send(ask(accept="br"), page(ETag='"a"'))["ETag"] == '"a"'


@pytest.mark.parametrize(("held", "expected"), [('W/"a"', 'W/"a"'), ('"a"', '"a"'), ('"b", W/"a"', 'W/"a"')])
def test_304_has_the_vary_and_the_tag_of_its_200(send, held, expected) -> None:
    """A 304 says Vary, and repeats the tag in the form that the client got with the 200."""
    response = HttpResponseNotModified(headers={"ETag": '"a"'})
    after = send(ask(If_None_Match=held), response)
    assert (after["Vary"], after["ETag"], after.content) == ("Accept-Encoding", expected, b"")


def test_conditional_requests_work_with_djangos_middleware() -> None:
    """200 coded with a weak tag, then 304 to that tag with the same tag and Vary: caches and clients agree."""
    stack = CompressionMiddleware(ConditionalGetMiddleware(lambda _: page()))
    first = stack(ask())
    again = stack(ask(If_None_Match=first["ETag"]))
    assert (first.status_code, again.status_code) == (200, 304)
    assert first["ETag"] == again["ETag"]
    assert first["ETag"].startswith("W/")
    assert first["Vary"] == again["Vary"]


def test_head_has_the_headers_of_get(send) -> None:
    """HEAD differs from GET only in the random padding."""
    get, head = (dict(send(ask(method=method), page(ETag='"a"')).headers) for method in ("GET", "HEAD"))
    assert get.pop("X-Padding")
    assert head.pop("X-Padding")
    assert get == head


def test_padding_is_random_bounded_and_can_be_switched_off(send) -> None:
    """Coded responses carry a header of varying length up to the limit; uncoded ones and PADDING=0 have none."""
    lengths = {len(send(ask(), page())["X-Padding"]) for _ in range(60)}
    assert len(lengths) > 10
    assert min(lengths) >= 1
    assert max(lengths) <= 100
    assert not send(ask(accept=None), page()).has_header("X-Padding")
    with override_settings(STALWART={"COMPRESSION": {"PADDING": 0}}):
        assert not send(ask(), page()).has_header("X-Padding")


def test_secret_beside_a_reflected_query_is_not_coded(send) -> None:
    """A page that sets a cookie, or holds a CSRF token, and repeats a query value gives BREACH nothing to measure."""
    reflecting = b"You searched for Guess1. " + TEXT

    def with_cookie(content: bytes) -> HttpResponse:
        response = page(content)
        response.set_cookie("session", "secret")
        return response

    assert not send(ask("/?q=guess1"), with_cookie(reflecting)).has_header("Content-Encoding")
    assert send(ask("/?q=guess1"), page(reflecting)).has_header("Content-Encoding")
    assert send(ask("/?q=guess1"), with_cookie(TEXT)).has_header("Content-Encoding")
    assert send(ask("/"), with_cookie(reflecting)).has_header("Content-Encoding")
    holding_token = ask("/?q=guess1")
    get_token(holding_token)
    assert not send(holding_token, page(reflecting)).has_header("Content-Encoding")


def test_large_bodies_take_the_quick_level(send) -> None:
    """From LARGE_SIZE on, the levels for large bodies are used."""
    body = b"".join(b'{"price": %d},' % (n * 7919 % 100_003) for n in range(20_000))
    quick = send(ask(accept="gzip"), page(body, "application/json"))
    with override_settings(STALWART={"COMPRESSION": {"LARGE_SIZE": 10_000_000}}):
        thorough = send(ask(accept="gzip"), page(body, "application/json"))
    assert gzip.decompress(quick.content) == gzip.decompress(thorough.content) == body
    assert len(quick.content) > len(thorough.content)


def test_json_response(send) -> None:
    """Django's JsonResponse is coded like any other."""
    response = send(ask(accept="zstd"), JsonResponse({"rows": list(range(500))}))
    assert zstd.decompress(response.content).startswith(b'{"rows": [0, 1')


class Source:
    """An iterator that notes how far it was read and whether it was closed."""

    def __init__(self, chunks: list[bytes | str]) -> None:
        self.chunks, self.read, self.closed = chunks, 0, False

    def __iter__(self) -> Iterator[bytes | str]:
        return self

    def __next__(self) -> bytes | str:
        if self.read == len(self.chunks):
            raise StopIteration
        self.read += 1
        return self.chunks[self.read - 1]

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_stream_is_coded_chunk_by_chunk(coding) -> None:
    """Each chunk can be decoded before the next is asked for, the length header is gone, the source is closed."""
    source = Source(["one,", b"", b"two,", b"three"])
    response = StreamingHttpResponse(
        source, content_type="text/plain", headers={"Content-Length": "13", "ETag": '"a"'}
    )
    coded = CompressionMiddleware(lambda _: response)(ask(accept=coding))
    assert coded["Content-Encoding"] == coding
    assert not coded.has_header("Content-Length")
    assert coded["ETag"] == 'W/"a"'
    decoder = zstd.ZstdDecompressor() if coding == "zstd" else __import__("zlib").decompressobj(31)
    parts = iter(coded)
    assert decoder.decompress(next(parts)) == b"one,"
    assert source.read == 1
    assert decoder.decompress(next(parts)) == b"two,"
    assert b"".join(decoder.decompress(part) for part in parts) == b"three"
    assert source.closed


def test_stream_that_is_given_up_closes_its_source() -> None:
    """When the client goes away, closing the response closes the source at once."""
    source = Source([b"x"] * 100)
    response = CompressionMiddleware(lambda _: StreamingHttpResponse(source))(ask())
    next(iter(response))
    response.close()
    assert source.closed
    assert source.read == 1


def test_async_stream_is_coded_and_its_source_closed() -> None:
    """An asynchronous source is coded chunk by chunk, and closed also when the reader stops in the middle."""
    closed = []

    async def source() -> AsyncIterator[str]:
        try:
            for number in range(100):
                yield f"{number},"
        finally:
            closed.append(True)

    async def view(_: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(source())

    async def main() -> None:
        response = await CompressionMiddleware(view)(ask(accept="zstd"))
        whole = b"".join([part async for part in response])
        assert zstd.decompress(whole).decode() == "".join(f"{n}," for n in range(100))
        assert closed == [True]
        response = await CompressionMiddleware(view)(ask(accept="zstd"))
        parts = aiter(response.streaming_content)
        assert zstd.ZstdDecompressor().decompress(await anext(parts)) == b"0,"
        await response._iterator.aclose()
        assert closed == [True, True]
        await parts.aclose()

    asyncio.run(main())


def test_files_are_coded_without_flushing_and_closed() -> None:
    """A file is coded as one stream, past the server's own file sending, and closed at the end."""
    file = io.BytesIO(TEXT * 50)
    response = CompressionMiddleware(lambda _: FileResponse(file, content_type="text/css"))(
        ask(accept="gzip")
    )
    assert response.file_to_stream is None
    coded = b"".join(response)
    response.close()
    assert gzip.decompress(coded) == TEXT * 50
    assert len(coded) < 3000
    assert file.closed
