"""The negotiation against cases of the RFC, and against a slow implementation written only to be obviously right."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stalwart.compression.negotiation import MAX_LENGTH, negotiate

ZSTD_GZIP = ("zstd", "gzip")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("X-GZip;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.0", None),
        ("gzip;q=0.000", None),
        ("gzip; q=0.001", "gzip"),
        ("gzip ; Q=1.000", "gzip"),
        ("gzip;q=1.001", None),
        ("gzip;q=2", None),
        ("gzip;q=-1", None),
        ("gzip;q=", None),
        ("gzip;q=0.1234", None),
        ("gzip;q=nan", None),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("gzip;q=0.5, zstd;q=0.5", "zstd"),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("*;q=0", None),
        ("*;q=0.3, gzip;q=0.1", "zstd"),
        ("gzip, *;q=0", "gzip"),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, br", None),
        ("br", None),
        ("gzip-foo, notgzip", None),
        ("gzip;level=9;q=0.5", "gzip"),
        ("zstd;level=1;q=0, gzip", "gzip"),
        ("gzip;level=9", "gzip"),
        ("gzip zstd", None),
        (",,gzip,,", "gzip"),
        ("gzip;q=0, gzip", "gzip"),
        ("\tgzip\t;\tq=1", "gzip"),
    ],
)
def test_cases(header: str | None, expected: str | None) -> None:
    """Each header leads to the coding that RFC 9110, 12.5.3, asks for."""
    assert negotiate(header, ZSTD_GZIP) == expected


def test_long_headers_are_cut_between_elements() -> None:
    """Only whole elements within the limit count, so that no half name is read as another coding."""
    filler = "a" * (MAX_LENGTH - len("gzip, ") - len("zst"))
    assert negotiate(f"gzip, {filler}, zstd", ZSTD_GZIP) == "gzip"
    assert negotiate("x" * 100_000 + ", gzip", ZSTD_GZIP) is None
    assert negotiate("gzip" + ", br" * 100_000, ZSTD_GZIP) == "gzip"


def slow_negotiate(header: str, available: list[str]) -> str | None:
    """Character by character, with whole thousandths as weights, and by comparing every candidate with every other."""
    entries: list[tuple[str, int]] = []
    for element in header.split(","):
        parts = [part.strip(" \t") for part in element.split(";")]
        name = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in parts[0])
        if not name or any(not (c.isascii() and c.isalnum()) and c not in "!#$%&'*+-.^_`|~" for c in name):
            continue
        weight = 1000
        for part in parts[1:]:
            if part[:2] in ("q=", "Q="):
                weight = thousandths(part[2:])
                break
        entries.append(("gzip" if name == "x-gzip" else name, weight))

    def weight_of(coding: str) -> int | None:
        named = [weight for name, weight in entries if name == coding]
        starred = [weight for name, weight in entries if name == "*"]
        return max(named) if named else max(starred) if starred else None

    candidates = [(coding, weight_of(coding)) for coding in available]
    acceptable = [(coding, weight) for coding, weight in candidates if weight]
    winners = [coding for coding, weight in acceptable if all(weight >= other for _, other in acceptable)]
    identity = weight_of("identity")
    if not winners or (identity is not None and identity > dict(acceptable)[winners[0]]):
        return None
    return winners[0]


def thousandths(text: str) -> int:
    whole, _, decimals = text.partition(".")
    if whole not in ("0", "1") or len(decimals) > 3 or any(c not in "0123456789" for c in decimals):
        return 0
    value = int(whole) * 1000 + int((decimals + "000")[:3])
    return value if value <= 1000 else 0


names = st.sampled_from(
    ["gzip", "zstd", "br", "x-gzip", "*", "identity", "GZip", "deflate", "", "gz ip", "é"]
)
values = st.one_of(
    st.sampled_from(["0", "1", "0.5", "1.0", "0.001", "1.1", "", "0.", ".5", "-0", "0.5555", "٠"]),
    st.text("01.59", max_size=5),
)
space = st.sampled_from(["", " ", "\t"])
parameters = st.lists(
    st.builds("{}{}={}{}".format, space, st.sampled_from(["q", "Q", "level", "qq"]), values, space),
    max_size=2,
)
elements = st.builds(lambda name, pad, rest: ";".join([f"{pad}{name}{pad}", *rest]), names, space, parameters)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.lists(elements, max_size=6).map(",".join), st.text("gzipstdbr*;q=01. ,", max_size=40)),
    st.sampled_from([("zstd", "gzip"), ("gzip",), ("gzip", "zstd"), ("zstd", "br", "gzip"), ()]),
)
def test_agrees_with_the_slow_one(header: str, available: tuple[str, ...]) -> None:
    """For any header, the quick implementation and the slow one choose the same coding."""
    assert negotiate(header, available) == slow_negotiate(header, list(available))
