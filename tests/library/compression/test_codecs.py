"""The codings give back what went in, whole and in chunks, from several threads."""

from __future__ import annotations

import gzip
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from backports import zstd

from stalwart.compression import codecs

DECODE = {"gzip": gzip.decompress, "zstd": zstd.decompress}
BODY = b"".join(b'{"price": %d, "name": "company %d"},' % (n * 7919 % 1000, n) for n in range(3000))


@pytest.mark.parametrize("coding", codecs.AVAILABLE)
@pytest.mark.parametrize("level", [1, 3, 9])
def test_whole_bodies(coding: str, level: int) -> None:
    """A body survives coding, gets smaller, and gives the same bytes each time."""
    coded = codecs.compress(coding, BODY, level)
    assert DECODE[coding](coded) == BODY
    assert len(coded) < len(BODY)
    assert codecs.compress(coding, BODY, level) == coded


@pytest.mark.parametrize("coding", codecs.AVAILABLE)
def test_flushed_chunks_can_be_read_at_once(coding: str) -> None:
    """After each flushed chunk, a client can decode all that was fed, and the end makes one complete body."""
    coder = codecs.stream(coding, 3)
    decoder = zstd.ZstdDecompressor() if coding == "zstd" else __import__("zlib").decompressobj(31)
    whole = b""
    for chunk in (b"first,", b"second,", BODY):
        coded = coder.feed(chunk, flush=True)
        assert decoder.decompress(coded) == chunk
        whole += coded
    whole += coder.end()
    assert DECODE[coding](whole) == b"first,second," + BODY


@pytest.mark.parametrize("coding", codecs.AVAILABLE)
def test_threads_do_not_disturb_each_other(coding: str) -> None:
    """Bodies coded in four threads at once all come back right."""
    bodies = [random.Random(n).randbytes(50) * 400 for n in range(40)]
    with ThreadPoolExecutor(4) as pool:
        coded = list(pool.map(lambda body: codecs.compress(coding, body, 3), bodies))
    assert [DECODE[coding](each) for each in coded] == bodies


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("level", [1, 3, 19])
def test_zstd_window_is_within_the_limit(level: int, streamed: bool) -> None:
    """No zstd frame asks for more than 8 MB of window (RFC 9659), also for bodies larger than that."""
    body = bytes(9_000_000)
    if streamed:
        coder = codecs.stream("zstd", level)
        coded = coder.feed(body, flush=False) + coder.end()
    else:
        coded = codecs.compress("zstd", body, level)
    assert window(coded) <= 8 * 1024 * 1024
    assert zstd.decompress(coded) == body


def window(frame: bytes) -> int:
    """The window size of a zstd frame, read from its header (RFC 8878, 3.1.1.1)."""
    descriptor = frame[4]
    if descriptor & 0x20:  # single segment: the window is the content
        return zstd.get_frame_info(frame).decompressed_size
    exponent, mantissa = frame[5] >> 3, frame[5] & 7
    base = 1 << (10 + exponent)
    return base + base // 8 * mantissa


def test_whole_zstd_bodies_tell_their_size() -> None:
    """The frame holds the content's size, so that clients can make room at once."""
    assert zstd.get_frame_info(codecs.compress("zstd", BODY, 3)).decompressed_size == len(BODY)


def test_interrupted_compressor_is_not_used_again() -> None:
    """A thread's compressor that stopped in the middle of a frame is replaced."""
    codecs.compress("zstd", BODY, 5)
    kept = codecs._local.compressors[5]
    kept.compress(b"half a body", kept.CONTINUE)
    assert zstd.decompress(codecs.compress("zstd", BODY, 5)) == BODY
