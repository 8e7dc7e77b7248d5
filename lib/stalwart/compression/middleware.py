"""`CompressionMiddleware`: codes responses with zstd or gzip, as the client wishes.

List it first, or right after `UpdateCacheMiddleware` and `SecurityMiddleware`; `ConditionalGetMiddleware` comes after it, so
that ETags are made from the uncoded bytes. A system check holds the order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeAlias, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from stalwart import django_conf
from stalwart.compression import breach, codecs
from stalwart.compression.eligibility import is_negotiable, may_have_been_coded
from stalwart.compression.negotiation import negotiate
from stalwart.conf import CompressionConfig

GetResponse: TypeAlias = (
    Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]
)

# Bytes; coding more than this takes about a millisecond, which the event loop should not stand still for.
_OFF_THE_LOOP = 131_072


class CompressionMiddleware:
    """Codes what gains from it and says so in the headers; for WSGI and ASGI.

    * The coding is negotiated by RFC 9110; `Vary: Accept-Encoding` is set whenever it could have mattered, also on a 304.
    * Left as they are: 1xx, 204, 205, 206, 304, Content-Range, an existing Content-Encoding, `no-transform`, digests, types
      that are compressed already, event streams, bodies below `MIN_SIZE`, and bodies that would not get smaller.
    * A strong ETag becomes weak when the body was coded; a 304 repeats the form that the client holds.
    * HEAD gets the headers of GET, as long as the view makes the body that Django then drops.
    * Streamed bodies are coded as they come, with everything sent on at once (files excepted: they wait for nothing); their
      source is closed when the client goes away.
    * Against BREACH see `stalwart.compression.breach`.

    Off (`STALWART["COMPRESSION"]["ENABLED"]`), responses pass through untouched.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._is_async: bool = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        response = cast("HttpResponseBase", self.get_response(request))
        config = django_conf.current().compression
        return process(request, response, config) if config.enabled else response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response = await cast("Awaitable[HttpResponseBase]", self.get_response(request))
        config = django_conf.current().compression
        if not config.enabled:
            return response
        if not response.streaming and len(cast("HttpResponse", response).content) > _OFF_THE_LOOP:
            return await asyncio.to_thread(process, request, response, config)
        return process(request, response, config)


def process(request: HttpRequest, response: HttpResponseBase, config: CompressionConfig) -> HttpResponseBase:
    """Code a response in place.

    Args:
        request: what was asked.
        response: the answer; it is changed and returned.
        config: levels and limits.
    """
    if response.status_code == 304:
        # A 304 mostly has no type to go by. A Vary too many costs a cache little; one too few serves a client what it
        # cannot read.
        if may_have_been_coded(response):
            patch_vary_headers(response, ("Accept-Encoding",))
            _repeat_etag(request, response)
        return response
    if not is_negotiable(request, response):
        return response
    patch_vary_headers(response, ("Accept-Encoding",))
    coding = negotiate(request.META.get("HTTP_ACCEPT_ENCODING"), codecs.AVAILABLE)
    if coding is None:
        return response
    if isinstance(response, StreamingHttpResponse):
        _code_stream(response, coding, config)
    elif not _code_whole(request, cast("HttpResponse", response), coding, config):
        return response
    response.headers["Content-Encoding"] = coding
    if noise := breach.padding(config.padding):
        response.headers[breach.HEADER] = noise
    etag = response.get("ETag", "")
    if etag.startswith('"'):  # other bytes under a strong tag would be a lie (RFC 9110, 8.8.1)
        response.headers["ETag"] = f"W/{etag}"
    return response


def _code_whole(request: HttpRequest, response: HttpResponse, coding: str, config: CompressionConfig) -> bool:
    body = response.content
    if len(body) < config.min_size or breach.leaks(request, response):
        return False
    coded = codecs.compress(coding, body, _level(coding, len(body), config))
    if len(coded) >= len(body):
        return False
    response.content = coded
    response.headers["Content-Length"] = str(len(coded))
    return True


def _code_stream(response: StreamingHttpResponse, coding: str, config: CompressionConfig) -> None:
    coder = codecs.stream(coding, _level(coding, 0, config))
    flush = not isinstance(response, FileResponse)
    # Not `streaming_content`: its wrapper would keep us from closing an asynchronous source.
    source: Any = getattr(response, "_iterator", None) or response.streaming_content
    if response.is_async:
        response.streaming_content = _coded_async(source, coder, response.make_bytes, flush)
    else:
        response.streaming_content = _coded(source, coder, response.make_bytes, flush)
    del response.headers["Content-Length"]


def _coded(
    source: Iterable[Any], coder: codecs.StreamCoder, make_bytes: Callable[[Any], bytes], flush: bool
) -> Iterator[bytes]:
    try:
        for part in source:
            if (chunk := make_bytes(part)) and (coded := coder.feed(chunk, flush=flush)):
                yield coded
        yield coder.end()
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


async def _coded_async(
    source: AsyncIterator[Any], coder: codecs.StreamCoder, make_bytes: Callable[[Any], bytes], flush: bool
) -> AsyncIterator[bytes]:
    try:
        async for part in source:
            if (chunk := make_bytes(part)) and (coded := coder.feed(chunk, flush=flush)):
                yield coded
        yield coder.end()
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


def _level(coding: str, size: int, config: CompressionConfig) -> int:
    large = size >= config.large_size
    if coding == "zstd":
        return config.zstd_level_large if large else config.zstd_level
    return config.gzip_level_large if large else config.gzip_level


def _repeat_etag(request: HttpRequest, response: HttpResponseBase) -> None:
    """Give a 304 the tag of the 200 that the client holds: weak when that one was coded (RFC 9110, 15.4.5)."""
    etag = response.get("ETag", "")
    held = {tag.strip() for tag in request.META.get("HTTP_IF_NONE_MATCH", "").split(",")}
    if etag.startswith('"') and etag not in held and f"W/{etag}" in held:
        response.headers["ETag"] = f"W/{etag}"
