"""A body in the codings that servers use, at the levels at which they use them: bytes and milliseconds."""

from __future__ import annotations

import importlib
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

Code = Callable[[bytes], bytes]
_GZIP_WINDOW = 31  # zlib's largest, in gzip's own wrapping
#: From here on level 1 of zstd is both quicker and, on rows of numbers, smaller than level 3.
LARGE = 65_536
_LEVELS = {"gzip": (1, 6, 9), "zstd": (1, 3, 6, 19), "br": (4, 5, 11)}
#: Slow levels are for files that are coded once; on a large body they would take seconds.
_SLOW, _SLOW_UP_TO = {("zstd", 19), ("br", 11)}, 300_000


@dataclass(frozen=True)
class Coded:
    """One coding of a body.

    Attributes:
        coding: as in Content-Encoding.
        level: of it.
        bytes: of the coded body.
        milliseconds: the quickest of some runs.
    """

    coding: str
    level: int
    bytes: int
    milliseconds: float


def table(body: bytes) -> tuple[Coded, ...]:
    """The body in every coding that this Python has; at most about a second."""
    found = []
    for coding, levels in _LEVELS.items():
        for level in levels:
            code = _coder(coding, level)
            if code is None or ((coding, level) in _SLOW and len(body) > _SLOW_UP_TO):
                continue
            found.append(Coded(coding, level, len(code(body)), _quickest(code, body)))
    return tuple(found)


def usual(body: bytes) -> int:
    """Bytes in the coding that a browser of today gets from a server with sensible levels: zstd, or gzip without it."""
    code = _coder("zstd", 1 if len(body) > LARGE else 3) or _coder("gzip", 6)
    assert code is not None
    return len(code(body))


@cache
def _coder(coding: str, level: int) -> Code | None:
    if coding == "gzip":

        def gzip(body: bytes) -> bytes:
            coder = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)
            return coder.compress(body) + coder.flush()

        return gzip
    if coding == "zstd" and (zstd := _module("compression.zstd", "backports.zstd")) is not None:
        return lambda body: bytes(zstd.compress(body, level))
    if coding == "br" and (brotli := _module("brotli", "brotlicffi")) is not None:
        return lambda body: bytes(brotli.compress(body, quality=level))
    return None


def _module(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _quickest(code: Code, body: bytes) -> float:
    best, until = float("inf"), time.perf_counter() + 0.03
    for _ in range(5):
        before = time.perf_counter()
        code(body)
        best = min(best, time.perf_counter() - before)
        if time.perf_counter() > until:
            break
    return best * 1000
