"""The codings: zstd where Python has it (3.14, or backports.zstd), gzip everywhere.

A zstd compressor holds some hundred kilobytes and takes longer to make than a small body to code, so each thread keeps one
per level; they must not be shared between threads. Levels end at 19, whose window is 8 MB, the most that RFC 9659 lets an
HTTP client be asked for.
"""

from __future__ import annotations

import sys
import threading
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING or sys.version_info < (3, 14):
    try:
        from backports import zstd
    except ImportError:  # an odd platform: gzip alone is a complete service
        zstd = None  # type: ignore[assignment]
else:
    from compression import zstd

AVAILABLE: tuple[str, ...] = ("gzip",) if zstd is None else ("zstd", "gzip")

_GZIP_WINDOW = 31  # 32 KB of history in gzip's own wrapping
_local = threading.local()


class StreamCoder(Protocol):
    """Codes one body bit by bit."""

    def feed(self, chunk: bytes, *, flush: bool) -> bytes:
        """Code a chunk; with `flush`, all that was fed so far can be decoded from what was returned so far."""

    def end(self) -> bytes:
        """The rest of the coded body. The coder cannot be used again."""


def compress(coding: str, body: bytes, level: int) -> bytes:
    """Code a whole body.

    Args:
        coding: one of `AVAILABLE`.
        body: the bytes.
        level: zstd 1 to 19, gzip 1 to 9.
    """
    if coding == "zstd":
        return _compressor(level).compress(body, zstd.ZstdCompressor.FLUSH_FRAME)
    # No time and no name in the header: the same body gives the same bytes.
    return zlib.compress(body, level, _GZIP_WINDOW)


def stream(coding: str, level: int) -> StreamCoder:
    """A coder for a body that comes in chunks; arguments as for `compress`."""
    return _ZstdStream(level) if coding == "zstd" else _GzipStream(level)


def _compressor(level: int) -> zstd.ZstdCompressor:
    compressors: dict[int, zstd.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {}
    compressor = compressors.get(level)
    if compressor is None or compressor.last_mode != compressor.FLUSH_FRAME:
        # The second condition: an exception (MemoryError, an interrupt) left the old one in the middle of a frame.
        compressor = compressors[level] = zstd.ZstdCompressor(level)
    return compressor


class _ZstdStream:
    """A coder of its own for each stream: chunks of several streams come by turns in one thread."""

    def __init__(self, level: int) -> None:
        self._coder = zstd.ZstdCompressor(level)

    def feed(self, chunk: bytes, *, flush: bool) -> bytes:
        return self._coder.compress(chunk, self._coder.FLUSH_BLOCK if flush else self._coder.CONTINUE)

    def end(self) -> bytes:
        return self._coder.flush(self._coder.FLUSH_FRAME)


class _GzipStream:
    def __init__(self, level: int) -> None:
        self._coder = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)

    def feed(self, chunk: bytes, *, flush: bool) -> bytes:
        coded = self._coder.compress(chunk)
        return coded + self._coder.flush(zlib.Z_SYNC_FLUSH) if flush else coded

    def end(self) -> bytes:
        return self._coder.flush(zlib.Z_FINISH)
