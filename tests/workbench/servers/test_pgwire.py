"""The PostgreSQL framers find message boundaries in any pieces, and bound what they keep."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.servers.pgwire import (
    BACKEND,
    CANCEL_REQUEST,
    FRONTEND,
    GSSENC_REQUEST,
    HEAD,
    SSL_REQUEST,
    Conversation,
    Framer,
    Message,
)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack(">BI", kind, len(body) + 4) + body


def startup(code: int = 3 << 16, body: bytes = b"user\0app\0\0") -> bytes:
    return struct.pack(">II", 8 + len(body), code) + body


def query(sql: str) -> bytes:
    return message(FRONTEND["Query"], sql.encode() + b"\0")


def complete(tag: str) -> bytes:
    return message(BACKEND["CommandComplete"], tag.encode() + b"\0")


def started() -> Conversation:
    conversation = Conversation()
    conversation.upstream.feed(startup())
    return conversation


def feed(framer: Framer, data: bytes, cuts: list[int]) -> list[Message]:
    found = []
    edges = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(data)), len(data)]
    for low, high in itertools.pairwise(edges):
        found += framer.feed(data[low:high])
        assert framer.position - framer.settled < HEAD + 5
    return found


bodies = st.binary(max_size=600)
frontend = st.lists(st.tuples(st.sampled_from(sorted(FRONTEND.values())), bodies), max_size=12)
backend = st.lists(st.tuples(st.sampled_from(sorted(BACKEND.values())), bodies), max_size=12)
cuts = st.lists(st.integers(1, 8000), max_size=30)


@settings(deadline=None)
@given(frontend, cuts)
def test_every_split_of_a_frontend_stream_gives_the_same_messages(sent, where):
    """However TCP cuts a client's bytes, each Query is reported once, with its place and the head of its text."""
    stream, expected = startup(), []
    for kind, body in sent:
        if kind == FRONTEND["Query"]:
            expected.append(Message(kind, len(stream), len(stream) + 5 + len(body), body[:HEAD]))
        stream += message(kind, body)
    conversation = Conversation()
    conversation.upstream.watch = frozenset({FRONTEND["Query"]})
    assert feed(conversation.upstream, stream, where) == expected
    assert conversation.protocol == "postgres"
    assert conversation.upstream.settled == len(stream)


@settings(deadline=None)
@given(backend, cuts)
def test_every_split_of_a_backend_stream_gives_the_same_messages(sent, where):
    """However TCP cuts a server's bytes, each CommandComplete is reported once, at its place."""
    stream, expected = b"", []
    for kind, body in sent:
        if kind == BACKEND["CommandComplete"]:
            expected.append(Message(kind, len(stream), len(stream) + 5 + len(body), body[:HEAD]))
        stream += message(kind, body)
    framer = started().downstream
    framer.watch = frozenset({BACKEND["CommandComplete"]})
    assert feed(framer, stream, where) == expected


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=20), st.booleans())
def test_garbage_never_raises_and_is_always_counted(pieces, as_server):
    """Bytes of any kind, from either side, are counted to the last one and end as opaque or as harmless messages."""
    conversation = started() if as_server else Conversation()
    framer = conversation.downstream if as_server else conversation.upstream
    framer.watch = frozenset({FRONTEND["Query"], BACKEND["CommandComplete"]})
    before = framer.position
    for piece in pieces:
        framer.feed(piece)
        assert framer.position - framer.settled < HEAD + 5
    assert framer.position - before == sum(map(len, pieces))


def test_a_giant_message_is_counted_through():
    """A message that claims two gigabytes holds nothing back once its head is known, and the next one is found."""
    framer = started().downstream
    framer.watch = frozenset({BACKEND["CommandComplete"]})
    body = 2**31 - 5
    (giant,) = framer.feed(struct.pack(">BI", BACKEND["CommandComplete"], body + 4) + b"x" * HEAD)
    assert giant.end - giant.start == body + 5
    left, piece = body - HEAD, bytes(1 << 24)
    while left:
        assert framer.feed(piece[: min(left, len(piece))]) == []
        assert framer.settled == framer.position
        left -= min(left, len(piece))
    assert [m.tag for m in framer.feed(complete("COMMIT"))] == ["COMMIT"]


def test_nothing_is_held_back_when_nobody_watches():
    """Half a header passes on at once when its type is not watched."""
    framer = started().downstream
    framer.watch = frozenset({BACKEND["ErrorResponse"]})
    framer.feed(complete("COMMIT")[:3])
    assert framer.settled == framer.position == 3


def test_a_watched_message_is_held_back_until_it_can_be_judged():
    """The first byte of a message whose type is watched stays unsettled until its head is complete."""
    framer = started().downstream
    framer.watch = frozenset({BACKEND["CommandComplete"]})
    whole = complete("COMMIT")
    for at in range(len(whole) - 1):
        assert framer.feed(whole[at : at + 1]) == []
        assert framer.settled == 0
    assert framer.feed(whole[-1:])[0].tag == "COMMIT"
    assert framer.settled == len(whole)


@pytest.mark.parametrize("request_code", [SSL_REQUEST, GSSENC_REQUEST])
def test_a_refused_encryption_leaves_the_stream_readable(request_code):
    """SSLRequest and GSSENCRequest are answered by one bare byte N; then the start-up goes on in plain."""
    conversation = Conversation()
    conversation.upstream.feed(struct.pack(">II", 8, request_code))
    conversation.downstream.watch = frozenset({BACKEND["CommandComplete"]})
    assert conversation.downstream.feed(b"N") == []
    conversation.upstream.feed(startup())
    assert conversation.protocol == "postgres"
    found = conversation.downstream.feed(message(BACKEND["ReadyForQuery"], b"I") + complete("COMMIT"))
    assert [m.tag for m in found] == ["COMMIT"]


@pytest.mark.parametrize("answer", [b"S", b"G"])
def test_an_encrypted_stream_is_given_up(answer):
    """After a granted encryption neither direction is read any more."""
    conversation = Conversation()
    conversation.upstream.feed(struct.pack(">II", 8, SSL_REQUEST if answer == b"S" else GSSENC_REQUEST))
    conversation.downstream.feed(answer)
    assert conversation.protocol == "encrypted"
    assert conversation.upstream.opaque
    assert conversation.downstream.opaque


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">II", 7, 3 << 16),
        struct.pack(">II", 2**31, 3 << 16),
        struct.pack(">II", 8, 2 << 16),
        b"\0" * 64,
    ],
    ids=["http", "too short", "too long", "version 2", "zeros"],
)
def test_what_does_not_start_like_postgres_is_opaque(first):
    """Another protocol, or nonsense, is recognised by its first eight bytes."""
    conversation = Conversation()
    conversation.upstream.feed(first)
    assert conversation.protocol == "opaque"


def test_a_server_that_speaks_first_is_opaque():
    """A greeting before the client has said anything is not PostgreSQL's way."""
    conversation = Conversation()
    conversation.downstream.feed(b"220 ready\r\n")
    assert conversation.protocol == "opaque"


def test_a_cancel_request_is_read():
    """A CancelRequest is a start-up packet with nothing behind it."""
    conversation = Conversation()
    conversation.upstream.feed(struct.pack(">IIII", 16, CANCEL_REQUEST, 1, 2))
    assert conversation.protocol == "postgres"


def test_the_text_of_a_statement_is_found_in_query_and_parse():
    """`sql` skips the statement's name in a Parse."""
    framer = started().upstream
    framer.watch = frozenset({FRONTEND["Query"], FRONTEND["Parse"]})
    found = framer.feed(query("COMMIT") + message(FRONTEND["Parse"], b"s1\0select $1\0\0\0"))
    assert [m.sql for m in found] == ["COMMIT", "select $1"]
