"""Which responses may be coded at all, whoever asks."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase

_TYPES = frozenset(
    {
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/manifest",
        "application/rtf",
        "application/toml",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/xml",
        "application/yaml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    }
)
_SUFFIXES = ("+json", "+xml", "+text", "+yaml", "+json-seq")
# Digests of the content as it is sent: coding would make them wrong, and they are not ours to make anew.
_DIGESTS = ("Content-Digest", "Repr-Digest", "Digest", "Content-MD5")


def is_codable_type(content_type: str) -> bool:
    """Whether bodies of this Content-Type gain from a coding. Event streams are left alone: many proxies hold them back."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return False
    return kind.startswith("text/") or kind in _TYPES or kind.endswith(_SUFFIXES)


def is_negotiable(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the response depends on Accept-Encoding, so that caches must be told (`Vary`), coded or not."""
    status = response.status_code
    if status < 200 or status in (204, 205, 206, 304) or response.has_header("Content-Range"):
        return False
    if response.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        return False
    if any(response.has_header(name) for name in _DIGESTS):
        return False
    # Asked for by either side: a client behind a broken proxy says it as well.
    if _has_no_transform(response.get("Cache-Control", "")):
        return False
    if _has_no_transform(request.META.get("HTTP_CACHE_CONTROL", "")):
        return False
    return is_codable_type(response.get("Content-Type", ""))


def may_have_been_coded(not_modified: HttpResponseBase) -> bool:
    """Whether the 200 that a 304 stands for could have been coded, as far as its headers tell."""
    content_type = not_modified.get("Content-Type", "")
    return not _has_no_transform(not_modified.get("Cache-Control", "")) and (
        not content_type or is_codable_type(content_type)
    )


def _has_no_transform(cache_control: str) -> bool:
    return any(directive.strip().lower() == "no-transform" for directive in cache_control.split(","))
